"""Fast spatial matching of local features with LO-RANSAC (thesis §4.3.5).

Channels play the visual words: two features are a tentative correspondence when they lie in the
same channel. One correspondence alone gives a hypothesis (the map between its two ellipses that
keeps the y direction, 5 dof); all are enumerated, promising ones refined to a full affine map.

`match` runs on the CPU (numba); `spatial_matching_torch.match` gives the same result on a device.
"""

from dataclasses import dataclass

import numpy as np

from rrtool.core.blocks import in_threads
from rrtool.core.matching.correspondences import MatchingProblem, prepare
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching_numba import (
    Limits,
    keep_one_to_one,
    measure_inliers,
    search_block,
)


@dataclass(frozen=True)
class MatchingOptions:
    """Options of spatial matching.

    Attributes:
        inlier_threshold: largest transfer error of an inlier, in cells of the activation map of
            the database scale.
        max_scale_change: a transform is rejected when either singular value of ``A`` exceeds this
            or lies below its inverse, or when ``det A ≤ 0``: a hypothesis is then not tried, and
            a refinement ends at the last transform allowed. The thesis's "scale change" (§4.4.1)
            is not further defined; ``sqrt(det A)`` would let an object be stretched a hundredfold
            that is flattened as much.
        one_to_one: reduce the inliers of each scale pair to a greedy one-to-one assignment.
        local_optimization: refine promising hypotheses by least squares (LO).
        max_refinements: most refinements in a row of one hypothesis.
    """

    inlier_threshold: float = 2.0
    max_scale_change: float = 3.0
    one_to_one: bool = False
    local_optimization: bool = True
    max_refinements: int = 20


@dataclass(frozen=True)
class Matches:
    """One query against ``c`` candidate images: the best scale pair of each.

    Attributes:
        n_inliers: ``(c,)`` int32, what the best pair was chosen by.
        scale_pairs: ``(c, 2)`` int8, (query scale, database scale); −1 when nothing matches.
        M_1to2: ``(c, 2, 3)`` float64, query cells to database cells of the best pair; NaN when
            nothing matches.
        n_tentative: ``(c,)`` int32, tentative correspondences of the best pair (0 when none).
        inlier_offsets: ``(c + 1,)`` int64.
        inliers: ``(m, 2)`` int32, (index within the query image's features, index within the
            candidate image's features), over all scales of the image; in the order of the
            correspondences, by query feature, then database feature.
    """

    n_inliers: np.ndarray
    scale_pairs: np.ndarray
    M_1to2: np.ndarray
    n_tentative: np.ndarray
    inlier_offsets: np.ndarray
    inliers: np.ndarray


def match(
    query: LocalFeatures,
    query_image: int,
    database: LocalFeatures,
    candidate_ids: np.ndarray,
    options: MatchingOptions,
) -> Matches:
    """Match one query image against candidate images of a database (thesis §4.3.5–4.3.6).

    For each pair of scales, every same-channel pair of features ``(μ₁, Σ₁), (μ₂, Σ₂)`` gives the
    hypothesis ``A = L₂ L₁⁻¹, t = μ₂ − A μ₁`` with ``Σ = L Lᵀ``, ``L`` lower triangular. It is
    evaluated on all tentative correspondences of the pair: inliers have
    ``‖A μ₁ + t − μ₂‖ ≤ inlier_threshold``. Scanning hypotheses in the order (query feature,
    database feature), one that strictly beats the best so far is refined: full affine least
    squares on its inliers, repeated while their number grows. The best scale pair wins; ties go to
    the first in (query scale, database scale) order.

    Features whose mean or covariance is not finite, or whose covariance is not positive definite,
    take no part. The least squares reads positions rounded to 2⁻²¹ of the largest coordinate of
    their group, so that all sums are exact in integers and the result is the same on any number
    of threads and on any device.

    Args:
        query, query_image: local features that hold the query, and its index there.
        candidate_ids: ``(c,)`` int, images of ``database``; repetitions are allowed.

    Returns:
        The matches, in the order of ``candidate_ids``.

    Raises:
        ValueError: an image id out of range, channels that are not sorted, or more than 2²⁰
            correspondences in one scale pair.
    """
    problem = prepare(query, query_image, database, candidate_ids)
    n_problems, limits = len(problem.correspondences.query_groups), search_limits(options)
    transforms, scores = np.full((n_problems, 6), np.nan), np.zeros(n_problems, np.int64)

    one, other, pairs = problem.query, problem.database, problem.correspondences
    queries = one.positions, one.grid_positions, one.to_circle, one.grid_scales
    candidates = other.positions, other.grid_positions, other.from_circle, other.grid_scales
    most = int(np.diff(pairs.offsets).max(initial=0))

    def search(start: int, stop: int) -> None:
        room = np.empty((4, most)), np.empty((4, most), np.int64), np.empty(most), np.empty(6)
        found = transforms, scores
        search_block(*queries, *candidates, *pairs, limits, start, stop, *found, *room)

    in_threads(search, n_problems, fewest_rows=4)
    return assemble(problem, transforms, scores, options)


def search_limits(options: MatchingOptions) -> Limits:
    """The options as the scalars of the search."""
    return Limits(
        float(options.inlier_threshold) ** 2,
        float(options.max_scale_change) ** 2,
        int(options.max_refinements) if options.local_optimization else 0,
    )


def assemble(
    problem: MatchingProblem, transforms: np.ndarray, scores: np.ndarray, options: MatchingOptions
) -> Matches:
    """Choose the best scale pair of each candidate and list its inliers.

    Args:
        problem: what was searched.
        transforms: ``(p, 6)`` float64, ``(a, b, c, d, tx, ty)``; NaN when none.
        scores: ``(p,)`` int64, numbers of inliers.
        options: those of the search.
    """
    pairs_per_image = problem.n_scales[0] * problem.n_scales[1]
    counts = np.diff(problem.correspondences.offsets)
    if options.one_to_one:
        is_inlier = _find_inliers(problem, transforms, options)
        running = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_inlier)])
        scores = np.diff(running[problem.correspondences.offsets])
    best = np.argmax(scores.reshape(-1, pairs_per_image), axis=1)  # the first of equals
    best_problems = np.arange(problem.n_candidates) * pairs_per_image + best
    matched = scores[best_problems] > 0
    chosen = np.full(transforms.shape, np.nan)
    chosen[best_problems[matched]] = transforms[best_problems[matched]]
    if not options.one_to_one:
        is_inlier = _find_inliers(problem, chosen, options)
    inliers, n_inliers = _inliers_of(problem, is_inlier, best_problems, matched)
    best_transforms = chosen[best_problems]
    return Matches(
        n_inliers=n_inliers.astype(np.int32),
        scale_pairs=_scale_pairs(best, matched, problem.n_scales[1]),
        M_1to2=best_transforms[:, [0, 1, 4, 2, 3, 5]].reshape(-1, 2, 3),
        n_tentative=np.where(matched, counts[best_problems], 0).astype(np.int32),
        inlier_offsets=np.concatenate([np.zeros(1, np.int64), np.cumsum(n_inliers)]),
        inliers=inliers,
    )


def _find_inliers(
    problem: MatchingProblem, transforms: np.ndarray, options: MatchingOptions
) -> np.ndarray:
    """Which correspondences agree with their problem's transform, ``(m,)`` bool."""
    positions, correspondences = problem.query.positions, problem.correspondences
    rows = correspondences.query_rows, correspondences.database_rows, correspondences.offsets
    squared_errors = np.empty(len(correspondences.query_rows))
    squared_threshold = search_limits(options).squared_threshold
    measure_inliers(
        positions, problem.database.positions, *rows, transforms, squared_threshold,
        np.empty((4, int(np.diff(correspondences.offsets).max(initial=0)))), squared_errors,
    )  # fmt: skip
    is_inlier = squared_errors >= 0
    if not options.one_to_one:
        return is_inlier
    inliers = np.flatnonzero(is_inlier)
    problems = np.searchsorted(correspondences.offsets, inliers, side="right")
    order = inliers[np.lexsort((inliers, squared_errors[inliers], problems))]
    used = (np.full(len(side.positions), -1) for side in (problem.query, problem.database))
    kept = np.zeros(len(squared_errors), bool)
    keep_one_to_one(order, *rows, *used, kept)
    return kept


def _scale_pairs(best: np.ndarray, matched: np.ndarray, n_database_scales: int) -> np.ndarray:
    pairs = np.stack(np.divmod(best, n_database_scales), axis=1).astype(np.int8)
    return np.where(matched[:, None], pairs, np.int8(-1))


def _inliers_of(
    problem: MatchingProblem, is_inlier: np.ndarray, problems: np.ndarray, matched: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Inliers ``(m, 2)`` int32 of the chosen problems that matched, and their number in each."""
    correspondences = problem.correspondences
    sizes = np.diff(correspondences.offsets)
    is_chosen = np.zeros(len(sizes), bool)
    is_chosen[problems[matched]] = True
    kept = np.flatnonzero(is_inlier & np.repeat(is_chosen, sizes))
    running = np.searchsorted(kept, correspondences.offsets)
    n_inliers = np.where(matched, np.diff(running)[problems], 0)
    inliers = np.stack(
        [
            problem.query.feature_ids[correspondences.query_rows[kept]],
            problem.database.feature_ids[correspondences.database_rows[kept]],
        ],
        axis=1,
    )
    return inliers, n_inliers
