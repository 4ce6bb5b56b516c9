"""Affine frames of local features and their tentative correspondences (thesis §4.3.5)."""

from dataclasses import dataclass

import numpy as np

from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching_numba import (
    AffineFrames,
    Correspondences,
    list_correspondences,
)

GRID_BITS = 21  # positions in the least squares are rounded to 2⁻²¹ of the group's largest
MAX_CORRESPONDENCES = 1 << 20  # of one scale pair: 2 · 21 + 20 bits leave int64 moments exact


@dataclass(frozen=True)
class MatchingProblem:
    """Everything a search reads: frames and tentative correspondences.

    Problem ``p = (candidate · query scales + query scale) · database scales + database scale``.
    """

    query: AffineFrames
    database: AffineFrames
    correspondences: Correspondences
    n_candidates: int
    n_scales: tuple[int, int]


def prepare(
    query: LocalFeatures, query_image: int, database: LocalFeatures, candidate_ids: np.ndarray
) -> MatchingProblem:
    """Frames and tentative correspondences of one query and its candidates; see `match`."""
    candidate_ids = np.asarray(candidate_ids, np.int64).reshape(-1)
    query_frames = affine_frames(query, np.array([query_image], np.int64))
    database_frames = affine_frames(database, candidate_ids)
    n_scales = (query.n_scales, database.n_scales)
    found = _tentative_correspondences(query_frames, database_frames, n_scales)
    return MatchingProblem(query_frames, database_frames, found, len(candidate_ids), n_scales)


def affine_frames(features: LocalFeatures, image_ids: np.ndarray) -> AffineFrames:
    """The usable features of some images with the Cholesky factors of their covariances.

    Args:
        features: local features.
        image_ids: ``(c,)`` int64.

    Returns:
        Frames in ``c * n_scales`` groups.

    Raises:
        ValueError: an image id out of range, or channels that are not sorted inside a group.
    """
    rows, feature_ids, groups = _rows_of_images(features, image_ids)
    channels = np.asarray(features.channels[rows], np.int32)
    if np.any((channels[1:] < channels[:-1]) & (groups[1:] == groups[:-1])):
        raise ValueError("local features must be sorted by channel inside each image and scale")
    positions = np.asarray(features.means[rows], np.float64)
    from_circle, to_circle, usable = _cholesky(np.asarray(features.covariances[rows], np.float64))
    usable &= np.isfinite(positions[:, 0]) & np.isfinite(positions[:, 1])
    groups, positions = groups[usable], positions[usable]
    n_groups = len(image_ids) * features.n_scales
    offsets = np.searchsorted(groups, np.arange(n_groups + 1)).astype(np.int64)
    grid_scales = _grid_scales(positions, groups, n_groups)
    return AffineFrames(
        positions,
        np.rint(positions * grid_scales[groups, None]).astype(np.int64),
        from_circle[usable],
        to_circle[usable],
        channels[usable],
        feature_ids[usable],
        offsets,
        grid_scales,
    )


def _rows_of_images(
    features: LocalFeatures, image_ids: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature rows of the images one after the other, their index in the image, their group."""
    if len(image_ids) and not (image_ids.min() >= 0 and image_ids.max() < features.n_images):
        raise ValueError(
            f"image ids must lie in 0..{features.n_images - 1}, "
            f"found {image_ids.min()}..{image_ids.max()}"
        )
    group_ids = image_ids[:, None] * features.n_scales + np.arange(features.n_scales)
    offsets = np.asarray(features.offsets)
    sizes = (offsets[group_ids + 1] - offsets[group_ids]).reshape(-1)
    groups = np.repeat(np.arange(group_ids.size), sizes)
    image_sizes = sizes.reshape(group_ids.shape).sum(axis=1)
    starts = np.cumsum(image_sizes) - image_sizes
    feature_ids = np.arange(len(groups)) - np.repeat(starts, image_sizes)
    rows = feature_ids + np.repeat(offsets[image_ids * features.n_scales], image_sizes)
    return rows, feature_ids.astype(np.int32), groups


def _cholesky(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Entries (11, 21, 22) of ``L`` and ``L⁻¹``, ``Σ = L Lᵀ``, and whether ``Σ`` has them."""
    xx, xy, yy = covariances.T
    with np.errstate(all="ignore"):  # what is not positive definite ends as NaN or infinity
        l11 = np.sqrt(xx)
        l21 = xy / l11
        l22 = np.sqrt(yy - l21 * l21)
        from_circle = np.stack([l11, l21, l22], axis=1)
        i11, i21, i22 = 1 / l11, -l21 / (l11 * l22), 1 / l22
        to_circle = np.stack([i11, i21, i22], axis=1)
        usable = np.isfinite(l11 + l21 + l22 + i11 + i21 + i22)
    return from_circle, to_circle, usable


def _grid_scales(positions: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
    """Per group the power of two that brings its largest coordinate to at most 2²¹."""
    largest = np.zeros(n_groups)
    sizes = np.maximum(np.abs(positions[:, 0]), np.abs(positions[:, 1]))
    np.maximum.at(largest, groups, sizes)
    _, exponents = np.frexp(largest)
    return np.where(largest > 0, np.ldexp(1.0, GRID_BITS - exponents), 1.0)


def _tentative_correspondences(
    query: AffineFrames, database: AffineFrames, n_scales: tuple[int, int]
) -> Correspondences:
    """All same-channel pairs of every problem."""
    n_candidates = len(database.grid_scales) // n_scales[1]
    query_groups = np.tile(np.repeat(np.arange(n_scales[0]), n_scales[1]), n_candidates)
    by_candidate = np.arange(n_candidates * n_scales[1]).reshape(n_candidates, 1, n_scales[1])
    database_groups = by_candidate.repeat(n_scales[0], axis=1).reshape(-1)
    offsets = np.zeros(len(query_groups) + 1, np.int64)
    sides = query.channels, query.offsets, database.channels, database.offsets
    problems = *sides, query_groups, database_groups
    list_correspondences(*problems, np.empty(0, np.int32), np.empty(0, np.int32), offsets)
    largest = np.diff(offsets).max(initial=0)
    if largest > MAX_CORRESPONDENCES:
        raise ValueError(f"{largest} tentative correspondences, more than 2^20, in one pair")
    query_rows, database_rows = np.empty((2, offsets[-1]), np.int32)
    list_correspondences(*problems, query_rows, database_rows, offsets)
    return Correspondences(query_rows, database_rows, offsets, query_groups, database_groups)
