"""Where two images match, as masks of their activation maps (spatial training, thesis §4.5.1)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rrtool.core.matching.detection import (
    DetectionOptions,
    concatenate,
    features_of,
    selected_rows,
)
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.mser import Stability, detect_regions, quantize
from rrtool.core.matching.region_pixels_numba import fill_regions
from rrtool.core.matching.spatial_matching import MatchingOptions, match


@dataclass(frozen=True)
class LocatedFeatures:
    """Local features of one image at one scale, and the pixels of their regions.

    A region is the 8-connected component of ``{levels >= threshold}`` around its seed, in the
    channel of its feature (see :class:`rrtool.core.matching.mser.Regions`).

    Attributes:
        features: ``n`` of them.
        levels: ``(k, h, w)`` uint8.
        thresholds: ``(n,)`` uint8.
        seeds: ``(n,)`` int32, ``y * w + x``.
    """

    features: LocalFeatures
    levels: np.ndarray
    thresholds: np.ndarray
    seeds: np.ndarray


def locate(
    activation_map: np.ndarray, *, scale: float, delta: int, options: DetectionOptions
) -> LocatedFeatures:
    """Detect and select the local features of one activation map, and keep where they are.

    Args:
        activation_map: ``(k, h, w)`` float32, after ReLU.
        scale, delta: levels per unit of activation, and MSER's step in levels.

    Raises:
        ValueError: the map has another shape, or holds NaN or infinite values.
    """
    activation_map = np.asarray(activation_map, np.float32)
    levels = quantize(activation_map, scale)
    regions = detect_regions(
        levels,
        activation_map,
        Stability(
            delta=delta,
            min_diversity=options.min_diversity,
            max_variation=options.max_variation,
        ),
    )
    (rows,) = selected_rows([regions], len(activation_map), options)
    features = features_of([regions], [rows])
    return LocatedFeatures(features, levels, regions.levels[rows], regions.seeds[rows])


def matching_features(
    image: LocatedFeatures, others: Sequence[LocatedFeatures], options: MatchingOptions
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split the inliers of one image with each of the others by the image they lie in.

    Spatial matching tries every hypothesis and draws nothing, so there is no seed.

    Returns:
        For each of the others, ``Q_{1|2}`` and ``Q_{2|1}`` of the thesis: features of the image
        that are inliers, and those of the other, each once, in rising order.
    """
    if not others:
        return []
    database = concatenate([other.features for other in others])
    found = match(image.features, 0, database, np.arange(len(others)), options)
    inliers = np.split(found.inliers, found.inlier_offsets[1:-1])
    return [(np.unique(each[:, 0]), np.unique(each[:, 1])) for each in inliers]


def region_mask(located: LocatedFeatures, rows: np.ndarray) -> np.ndarray:
    """The union of the regions of some features, in the channel of each: ``(k, h, w)`` bool."""
    mask = np.zeros(located.levels.shape, bool)
    # Of regions in one channel, one either lies in the other or does not touch it. The outer one
    # has the lower threshold and goes first, so that what it holds is full already.
    order = rows[np.argsort(located.thresholds[rows], kind="stable")]
    channels = located.features.channels[order]
    fill_regions(located.levels, channels, located.thresholds[order], located.seeds[order], mask)
    return mask
