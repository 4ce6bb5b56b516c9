"""MSER written plainly: the definitions applied to sets of pixels. The oracle of the tests."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

EIGHT = np.ones((3, 3), int)


def component(levels: np.ndarray, seed: int, level: int) -> np.ndarray:
    """The mask of the 8-connected component of ``{levels >= level}`` that holds the seed."""
    labels, _ = ndimage.label(levels >= level, EIGHT)
    return labels == labels.flat[seed]


def key(levels: np.ndarray, mask: np.ndarray) -> tuple[int, int]:
    """A region's name: its smallest level and the last pixel in raster order at that level."""
    level = int(levels[mask].min())
    return level, int(np.flatnonzero(mask & (levels == level))[-1])


def extremal_regions(levels: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """All extremal regions of one map, innermost first, equal sets once at their highest level."""
    regions = {}
    for level in range(int(levels.max()), int(levels.min()) - 1, -1):
        labels, n = ndimage.label(levels >= level, EIGHT)
        for i in range(1, n + 1):
            regions.setdefault(key(levels, labels == i), labels == i)
    return regions


def brute_force(
    levels, *, delta, min_diversity=0.7, max_variation=0.5, min_area=0.0, max_area=0.75
) -> dict[tuple[int, int], np.ndarray]:
    """Applies the definitions of the module's docstring to sets of pixels, slowly."""
    regions = extremal_regions(levels)
    keys = list(regions)
    around = {
        a: [b for b in keys if b[0] < a[0] and regions[b].flat[a[1]]] for a in keys
    }  # outer regions, nearest first
    area = {a: int(regions[a].sum()) for a in keys}
    variation = {}
    for a in keys:
        tops = [b for b in around[a] if b[0] >= a[0] - delta]
        variation[a] = np.float32(max([area[b] for b in tops] or [area[a]]) - area[a]) / np.float32(
            area[a]
        )
    kept = {a for a in keys if around[a]}
    for a in keys:
        for parent in around[a][:1]:
            if parent[0] == a[0] - 1:
                kept.discard(parent if variation[a] < variation[parent] else a)
    f = np.float32
    for a in sorted(kept):  # rising level: outermost first
        surrounding = next((b for b in around[a] if b in kept), around[a][-1])
        diversity = f(area[surrounding] - area[a]) / f(area[surrounding])
        if (
            variation[a] >= f(max_variation)
            or f(area[a]) > f(max_area) * f(levels.size)
            or f(area[a]) < f(min_area) * f(levels.size)
            or (min_diversity < 1 and diversity < f(min_diversity))
        ):
            kept.discard(a)
    return {a: regions[a] for a in kept}


def is_line(mask: np.ndarray) -> bool:
    y, x = (axis.tolist() for axis in np.nonzero(mask))
    return all(
        (x[i] - x[0]) * (y[-1] - y[0]) == (y[i] - y[0]) * (x[-1] - x[0]) for i in range(len(x))
    )


def not_lines(regions: dict[tuple[int, int], np.ndarray]) -> set[tuple[int, int]]:
    return {a for a, mask in regions.items() if not is_line(mask)}
