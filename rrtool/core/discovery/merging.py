"""Parts of one thing, found as objects of their own, made one: a cap, a label, a whole front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from rrtool.core.discovery.object_discovery import DiscoveredObjects

# Of the photos of the rarer one, how many must show the other too.
_TOGETHER = 0.5
# Parts keep their place: the distance varies by no more than this share of the first one's size,
# and so does the logarithm of their sizes' quotient.
_STEADY = 0.35
# By which the outermost corners of boxes are all the smallest.
_OUTWARDS = np.array([1, 1, -1, -1])


def merge_parts(
    found: DiscoveredObjects, images: np.ndarray, boxes: np.ndarray, min_images: int
) -> tuple[DiscoveredObjects, np.ndarray]:
    """Join objects that occur in the same photos at a steady place to each other.

    Two are parts of one thing if at least ``min_images`` photos, and half of those of the rarer
    one, show both, and in these photos the place and the size of one, seen from the other, vary
    little: the median deviation from the median counts, so that a wrong sight or two don't.

    Args:
        found: objects.
        images, boxes: of all regions, as for ``discover_objects``.

    Returns:
        The objects, in the order of ``found`` otherwise, and ``(m, 4)`` the box of each sight:
        around the parts that are seen there. The region and the weight of a sight are those of
        its most frequent part, and the first sight is that of the most frequent part, too.
    """
    bounds = list(pairwise(found.offsets.tolist()))
    parts = [found.regions[start:stop] for start, stop in bounds]
    weights = [found.weights[start:stop] for start, stop in bounds]
    joined = [
        (a, b)
        for a, b in _together(found, images, min_images)
        if _is_steady(parts[a], parts[b], images, boxes)
    ]
    rows, columns = np.array(joined, dtype=np.int64).reshape(-1, 2).T
    graph = sparse.csr_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(parts),) * 2)
    labels = connected_components(graph, directed=False)[1]
    merged = []
    for label in dict.fromkeys(labels.tolist()):
        members = np.flatnonzero(labels == label)
        regions, values = (np.concatenate([each[i] for i in members]) for each in (parts, weights))
        merged.append(_one_a_photo(regions, values, images, boxes))
    merged.sort(key=lambda one: -len(one[0]))
    return _as_objects(merged, boxes.dtype)


def _together(
    found: DiscoveredObjects, images: np.ndarray, least: int
) -> Iterator[tuple[int, int]]:
    """Pairs of objects that enough photos show both of."""
    sizes = np.diff(found.offsets)
    columns = images[found.regions]
    shape = len(sizes), int(columns.max(initial=-1)) + 1
    incidence = sparse.csr_array(
        (np.ones(len(columns), np.int64), (np.repeat(np.arange(len(sizes)), sizes), columns)),
        shape=shape,
    )
    both = sparse.triu(incidence @ incidence.T, k=1).tocoo()
    wanted = np.maximum(least, _TOGETHER * np.minimum(sizes[both.row], sizes[both.col]))
    kept = both.data >= wanted
    yield from zip(both.row[kept].tolist(), both.col[kept].tolist(), strict=True)


def _is_steady(
    first: np.ndarray, second: np.ndarray, images: np.ndarray, boxes: np.ndarray
) -> bool:
    """Whether place and size of the second, seen from the first, are the same in most photos."""
    _, own, others = np.intersect1d(
        images[first], images[second], assume_unique=True, return_indices=True
    )
    one, other = boxes[first[own]], boxes[second[others]]
    size, other_size = (np.sqrt(_sides(each).prod(axis=1)) for each in (one, other))
    if not (size.all() and other_size.all()):
        return False
    place = (_centres(other) - _centres(one)) / size[:, None]
    seen = np.column_stack([place, np.log(other_size / size)])
    return bool((np.median(np.abs(seen - np.median(seen, axis=0)), axis=0) <= _STEADY).all())


def _sides(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, 2:] - boxes[:, :2]


def _centres(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _one_a_photo(
    regions: np.ndarray, weights: np.ndarray, images: np.ndarray, boxes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The first region of each photo, its weight, and the box around all that are there."""
    _, first, photo = np.unique(images[regions], return_index=True, return_inverse=True)
    corners = np.full((len(first), 4), np.inf)
    np.minimum.at(corners, photo, boxes[regions] * _OUTWARDS)
    order = np.argsort(first)
    return regions[first[order]], weights[first[order]], (corners * _OUTWARDS)[order]


def _as_objects(
    merged: Sequence[tuple[np.ndarray, ...]], dtype: np.dtype
) -> tuple[DiscoveredObjects, np.ndarray]:
    regions = np.concatenate([np.zeros(0, np.int64), *(own for own, _, _ in merged)])
    weights = np.concatenate([np.zeros(0, np.float32), *(values for _, values, _ in merged)])
    around = np.concatenate([np.zeros((0, 4)), *(corners for _, _, corners in merged)])
    sizes = [len(own) for own, *_ in merged]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return DiscoveredObjects(offsets, regions, weights), around.astype(dtype)
