"""Compiled kernels of spatial matching: merge join, hypothesis search, refinement, final inliers.

What is called once is inlined, and whoever calls lets blocks run in threads: to compile functions
one by one, and numba's parallel loops, takes several times as long.

Everything here obeys one canonical arithmetic, which `spatial_matching_torch` repeats on a device:
float64, the operation order written below, no fused multiply-add, and integers wherever a sum runs
over correspondences (counts and the moments of the least squares). Integer sums don't depend on
their order, so vector width, thread count and device can't change an inlier.

A transform is ``(a, b, c, d, x, y)`` with ``M_1to2 = [[a, b, x], [c, d, y]]``.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

BLOCK = 128  # correspondences evaluated between two looks at whether a hypothesis can still win
COLLINEAR = 1e-8  # det(scatter) / trace(scatter)² at or below this: the inliers lie on a line


class AffineFrames(NamedTuple):
    """Usable local features of some images, in the form the kernels read.

    Attributes:
        positions: ``(n, 2)`` float64, ``μ`` in cells.
        grid_positions: ``(n, 2)`` int64, ``round(μ · grid_scale)``, at most 2²¹ in size.
        from_circle: ``(n, 3)`` float64, ``(l11, l21, l22)`` of the Cholesky factor ``Σ = L Lᵀ``.
        to_circle: ``(n, 3)`` float64, the same entries of ``L⁻¹``.
        channels: ``(n,)`` int32, sorted inside each group.
        feature_ids: ``(n,)`` int32, index of the feature within its image.
        offsets: ``(g + 1,)`` int64, groups of one image at one scale.
        grid_scales: ``(g,)`` float64, powers of two.
    """

    positions: np.ndarray
    grid_positions: np.ndarray
    from_circle: np.ndarray
    to_circle: np.ndarray
    channels: np.ndarray
    feature_ids: np.ndarray
    offsets: np.ndarray
    grid_scales: np.ndarray


class Correspondences(NamedTuple):
    """Tentative correspondences of all problems (candidate, query scale, database scale).

    Attributes:
        query_rows, database_rows: ``(m,)`` int32, rows of the two `AffineFrames`.
        offsets: ``(p + 1,)`` int64.
        query_groups, database_groups: ``(p,)`` int64.
    """

    query_rows: np.ndarray
    database_rows: np.ndarray
    offsets: np.ndarray
    query_groups: np.ndarray
    database_groups: np.ndarray


class Limits(NamedTuple):
    """Scalars of the search: squared threshold, squared largest scale change, refinements."""

    squared_threshold: float
    squared_scale_change: float
    max_refinements: int


@njit(inline="always")
def _join(query, database, query_group, database_group, query_rows, database_rows, count):
    """Enumerate same-channel pairs by a merge join, from row ``count``; returns the next one.

    They are counted only, where there are no rows.
    """
    start, end = database.offsets[database_group], database.offsets[database_group + 1]
    for row in range(query.offsets[query_group], query.offsets[query_group + 1]):
        channel = query.channels[row]
        while start < end and database.channels[start] < channel:
            start += 1
        other = start
        while other < end and database.channels[other] == channel:
            if len(query_rows) > 0:
                query_rows[count] = row
                database_rows[count] = other
            count += 1
            other += 1
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def list_correspondences(
    query, database, query_groups, database_groups, query_rows, database_rows, offsets
):
    """Rows of the tentative correspondences, ordered by (query feature, database feature).

    Fills ``offsets (p + 1,)`` of the problems, and the rows if there is place for any.
    """
    offsets[0] = 0
    for p in range(len(query_groups)):
        offsets[p + 1] = _join(
            query, database, query_groups[p], database_groups[p], query_rows, database_rows,
            offsets[p],
        )  # fmt: skip


@njit(inline="always")
def _scale_change_allowed(a, b, c, d, largest):
    """Whether det > 0 and both singular values lie in [1/s, s], ``largest`` = s².

    The squares of the singular values are the roots of ``p(λ) = λ² − λ‖A‖² + det²``. Both are at
    most s² where ``p(s²) ≥ 0`` and their mean is; likewise for 1/s². False for what is not finite.
    """
    determinant = a * d - b * c
    squared_norm = (a * a + b * b) + (c * c + d * d)
    squared_determinant = determinant * determinant
    return (
        determinant > 0.0
        and squared_norm <= 2.0 * largest
        and squared_norm * largest >= 2.0
        and (largest - squared_norm) * largest + squared_determinant >= 0.0
        and (squared_determinant * largest - squared_norm) * largest + 1.0 >= 0.0
    )


@njit(inline="always")
def _hypothesis(from_circle, to_circle, x, y, u, v):
    """``A = L₂ L₁⁻¹``, ``t = μ₂ − A μ₁``; lower triangular, so vertical lines stay vertical."""
    a = from_circle[0] * to_circle[0]
    c = from_circle[1] * to_circle[0] + from_circle[2] * to_circle[1]
    d = from_circle[2] * to_circle[2]
    return a, c, d, u - a * x, v - (c * x + d * y)


@njit(inline="always")
def _score_hypothesis(a, c, d, tx, ty, points, squared_threshold, to_beat):
    """Inliers of a hypothesis, or any number ≤ ``to_beat`` once it can't beat that."""
    n = points.shape[1]
    score = 0
    for start in range(0, n, BLOCK):
        if score + n - start <= to_beat:
            return score
        # Slices from zero: otherwise LLVM doesn't vectorise the loop.
        end = min(start + BLOCK, n)
        x, y = points[0, start:end], points[1, start:end]
        u, v = points[2, start:end], points[3, start:end]
        for j in range(len(x)):
            ex = (a * x[j] + tx) - u[j]
            ey = ((c * x[j] + d * y[j]) + ty) - v[j]
            score += 1 if ex * ex + ey * ey <= squared_threshold else 0
    return score


@njit(inline="always")
def _mark_inliers(transform, points, squared_threshold, squared_errors):
    """Squared transfer errors where within the threshold, −1 elsewhere."""
    a, b, c, d, tx, ty = transform
    x, y, u, v = points[0], points[1], points[2], points[3]
    for j in range(len(x)):
        ex = ((a * x[j] + b * y[j]) + tx) - u[j]
        ey = ((c * x[j] + d * y[j]) + ty) - v[j]
        error = ex * ex + ey * ey
        squared_errors[j] = error if error <= squared_threshold else -1.0


@njit(inline="always")
def _count_inliers(squared_errors):
    count = 0
    for j in range(len(squared_errors)):
        count += 1 if squared_errors[j] >= 0.0 else 0
    return count


@njit(inline="always")
def _scatter(s_pq, s_p, s_q, n):
    """``Σ (p − p̄)(q − q̄)`` from integer sums: exact up to the last, small correction."""
    mean_p, mean_q = s_p // n, s_q // n
    rest_p, rest_q = s_p - n * mean_p, s_q - n * mean_q
    whole = s_pq - mean_p * s_q - mean_q * rest_p
    return np.float64(whole) - np.float64(rest_p) * np.float64(rest_q) / np.float64(n)


@njit(inline="always")
def _moments(squared_errors, grid, m):
    """First and second moments of the inliers' grid positions, into ``m (12,)`` int64."""
    for entry in range(12):
        m[entry] = 0
    for j in range(len(squared_errors)):
        if squared_errors[j] >= 0.0:
            x, y, u, v = grid[0, j], grid[1, j], grid[2, j], grid[3, j]
            m[0] += 1
            m[1] += x
            m[2] += y
            m[3] += u
            m[4] += v
            m[5] += x * x
            m[6] += x * y
            m[7] += y * y
            m[8] += u * x
            m[9] += u * y
            m[10] += v * x
            m[11] += v * y


@njit(inline="always")
def _fit_affine(moments, query_scale, database_scale):
    """Least-squares affine transform (6 dof) of the inliers, and whether they determine one."""
    n, x, y, u, v = moments[0], moments[1], moments[2], moments[3], moments[4]
    if n < 3:
        return False, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    xx, yy = _scatter(moments[5], x, x, n), _scatter(moments[7], y, y, n)
    xy = _scatter(moments[6], x, y, n)
    det = xx * yy - xy * xy
    trace = xx + yy
    if not det > COLLINEAR * (trace * trace):
        return False, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    ux, uy = _scatter(moments[8], u, x, n), _scatter(moments[9], u, y, n)
    vx, vy = _scatter(moments[10], v, x, n), _scatter(moments[11], v, y, n)
    # Dividing and multiplying by the grid scales is exact: they are powers of two.
    ratio = query_scale / database_scale
    a, b = (ux * yy - uy * xy) / det * ratio, (uy * xx - ux * xy) / det * ratio
    c, d = (vx * yy - vy * xy) / det * ratio, (vy * xx - vx * xy) / det * ratio
    count = np.float64(n)
    mean_x, mean_y = np.float64(x) / count / query_scale, np.float64(y) / count / query_scale
    mean_u, mean_v = np.float64(u) / count / database_scale, np.float64(v) / count / database_scale
    tx = mean_u - (a * mean_x + b * mean_y)
    ty = mean_v - (c * mean_x + d * mean_y)
    return True, (a, b, c, d, tx, ty)


@njit(inline="always")
def _refine(transform, score, points, grid, scales, limits, squared_errors, moments):
    """LO: refit to the inliers while the score grows."""
    _mark_inliers(transform, points, limits.squared_threshold, squared_errors)
    for _ in range(limits.max_refinements):
        _moments(squared_errors, grid, moments)
        determined, fitted = _fit_affine(moments, scales[0], scales[1])
        a, b, c, d = fitted[0], fitted[1], fitted[2], fitted[3]
        if not determined or not _scale_change_allowed(a, b, c, d, limits.squared_scale_change):
            break
        _mark_inliers(fitted, points, limits.squared_threshold, squared_errors)
        fitted_score = _count_inliers(squared_errors)
        if fitted_score <= score:
            break
        transform, score = fitted, fitted_score
    return transform, score


@njit(inline="always")
def _gather(query, database, query_rows, database_rows):
    """Positions ``(x, y, u, v)`` of correspondences, as float64 cells and as int64 grid units."""
    n = len(query_rows)
    points = np.empty((4, n), np.float64)
    grid = np.empty((4, n), np.int64)
    for j in range(n):
        for axis in range(2):
            points[axis, j] = query.positions[query_rows[j], axis]
            points[2 + axis, j] = database.positions[database_rows[j], axis]
            grid[axis, j] = query.grid_positions[query_rows[j], axis]
            grid[2 + axis, j] = database.grid_positions[database_rows[j], axis]
    return points, grid


@njit(inline="always")
def _search(query, database, query_rows, database_rows, scales, limits, moments):
    """Best transform of one problem and its inliers' number; 0 when there is none."""
    points, grid = _gather(query, database, query_rows, database_rows)
    squared_errors = np.empty(len(query_rows), np.float64)
    best = (np.nan, np.nan, np.nan, np.nan, np.nan, np.nan)
    best_score = 0
    for i in range(len(query_rows)):
        if len(query_rows) <= best_score:
            break  # nothing can beat a transform with which everything agrees
        from_circle = database.from_circle[database_rows[i]]
        to_circle = query.to_circle[query_rows[i]]
        x, y, u, v = points[0, i], points[1, i], points[2, i], points[3, i]
        a, c, d, tx, ty = _hypothesis(from_circle, to_circle, x, y, u, v)
        if not _scale_change_allowed(a, 0.0, c, d, limits.squared_scale_change):
            continue
        score = _score_hypothesis(a, c, d, tx, ty, points, limits.squared_threshold, best_score)
        if score > best_score:
            best, best_score = (a, 0.0, c, d, tx, ty), score
            best, best_score = _refine(
                best, best_score, points, grid, scales, limits, squared_errors, moments
            )
    return best, best_score


@njit(cache=True, nogil=True, error_model="numpy")
def search_block(query, database, correspondences, limits, start, stop, transforms, scores):
    """Fills rows ``start … stop - 1`` of the best transforms ``(p, 6)`` and of their inliers.

    Those of problems without correspondences stay as they are.
    """
    moments = np.empty(12, np.int64)
    for p in range(start, stop):
        lo, hi = correspondences.offsets[p], correspondences.offsets[p + 1]
        if lo < hi:
            scales = (
                query.grid_scales[correspondences.query_groups[p]],
                database.grid_scales[correspondences.database_groups[p]],
            )
            query_rows = correspondences.query_rows[lo:hi]
            database_rows = correspondences.database_rows[lo:hi]
            best, scores[p] = _search(
                query, database, query_rows, database_rows, scales, limits, moments
            )
            for entry in range(6):
                transforms[p, entry] = best[entry]


@njit(cache=True, nogil=True, error_model="numpy")
def measure_inliers(
    query, database, correspondences, transforms, squared_threshold, squared_errors
):
    """Fills the squared transfer errors ``(m,)`` of the inliers of each problem, −1 elsewhere."""
    for row in range(len(squared_errors)):
        squared_errors[row] = -1.0
    for p in range(len(correspondences.query_groups)):
        lo, hi = correspondences.offsets[p], correspondences.offsets[p + 1]
        if lo < hi and not np.isnan(transforms[p, 0]):
            query_rows = correspondences.query_rows[lo:hi]
            database_rows = correspondences.database_rows[lo:hi]
            points, _ = _gather(query, database, query_rows, database_rows)
            t = transforms[p]
            transform = (t[0], t[1], t[2], t[3], t[4], t[5])
            _mark_inliers(transform, points, squared_threshold, squared_errors[lo:hi])


@njit(cache=True, nogil=True, error_model="numpy")
def keep_one_to_one(order, correspondences, n_query, n_database):
    """Greedy assignment: of the correspondences in ``order``, those whose features are both free.

    Args:
        order: ``(i,)`` int64, inliers, by problem, then error, then index.
        n_query, n_database: rows of the two `AffineFrames`.

    Returns:
        ``(m,)`` bool over all correspondences.
    """
    kept = np.zeros(len(correspondences.query_rows), np.bool_)
    query_used_in = np.full(n_query, -1, np.int64)  # the last problem that used the feature
    database_used_in = np.full(n_database, -1, np.int64)
    problem = 0
    for j in order:
        while correspondences.offsets[problem + 1] <= j:
            problem += 1
        q, d = correspondences.query_rows[j], correspondences.database_rows[j]
        if query_used_in[q] != problem and database_used_in[d] != problem:
            query_used_in[q] = problem
            database_used_in[d] = problem
            kept[j] = True
    return kept
