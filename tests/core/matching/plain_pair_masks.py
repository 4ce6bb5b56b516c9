"""Masks of a pair of images written plainly: sets of pixels, loops, float64. An oracle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import MatchingOptions
from tests.core.matching.plain_fsm import match_plain
from tests.core.matching.plain_mser import brute_force, is_line


@dataclass(frozen=True)
class PlainFeatures:
    """The local features of an image, and the pixels of each as ``(k, h, w)`` bool."""

    features: LocalFeatures
    pixels: list[np.ndarray]


def plain_features(maps: np.ndarray, scale: float, delta: int) -> PlainFeatures:
    """Those of a query: no suppression, channels of more than 20 left out, the k strongest."""
    levels = np.clip(np.rint(maps * np.float32(scale)), 0, 255).astype(np.uint8)
    found = []
    for channel in range(len(maps)):
        regions = brute_force(levels[channel], delta=delta)
        regions = {a: mask for a, mask in regions.items() if not is_line(mask)}
        if len(regions) <= 20:
            found += [
                (channel, float(maps[channel][mask].max()), seed, mask)
                for (_, seed), mask in regions.items()
            ]
    found.sort(key=lambda each: (-each[1], each[0], each[2]))
    kept = sorted(found[: len(maps)], key=lambda each: (each[0], -each[1], each[2]))
    return PlainFeatures(_described(kept), [_in_channel(maps.shape, each) for each in kept])


def plain_masks(
    first: PlainFeatures, second: PlainFeatures, shapes: list[tuple[int, ...]]
) -> tuple[np.ndarray, np.ndarray, list[tuple[int, int]]]:
    """Masks of the first and of the second, and the inliers."""
    (match,) = match_plain(first.features, 0, second.features, [0], MatchingOptions())
    masks = [np.zeros(shape, bool) for shape in shapes]
    inliers = [(int(i), int(j)) for i, j in match["inliers"]]
    for i, j in inliers:
        masks[0] |= first.pixels[i]
        masks[1] |= second.pixels[j]
    return masks[0], masks[1], inliers


def _in_channel(shape: tuple[int, ...], feature: tuple) -> np.ndarray:
    pixels = np.zeros(shape, bool)
    pixels[feature[0]] = feature[3]
    return pixels


def _described(kept: list[tuple]) -> LocalFeatures:
    means, covariances = [], []
    for *_, mask in kept:
        y, x = np.nonzero(mask)
        (xx, xy), (_, yy) = np.cov(x, y, ddof=0)
        means.append((x.mean(), y.mean()))
        covariances.append((xx, xy, yy))
    return LocalFeatures(
        means=np.array(means, np.float32).reshape(-1, 2),
        covariances=np.array(covariances, np.float32).reshape(-1, 3),
        strengths=np.array([each[1] for each in kept], np.float32),
        channels=np.array([each[0] for each in kept], np.int32),
        offsets=np.array([0, len(kept)], np.int64),
        n_scales=1,
    )
