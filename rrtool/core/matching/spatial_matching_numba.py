"""Compiled kernels of spatial matching: merge join, hypothesis search, refinement, final inliers.

Whoever calls lets blocks run in threads, gives arrays one by one and makes room for what is worked
in: parallel loops, tuples of arrays and allocations of numba's take several times as long to
compile. So do functions that can be called from Python, which those that begin with _ cannot.

Everything here obeys one canonical arithmetic, which `spatial_matching_torch` repeats on a device:
float64, the operation order written below, no fused multiply-add, and integers wherever a sum runs
over correspondences (counts and the moments of the least squares). Integer sums don't depend on
their order, so vector width, thread count and device can't change an inlier.

A transform is ``(a, b, c, d, x, y)`` with ``M_1to2 = [[a, b, x], [c, d, y]]``.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from rrtool.core.blocks import INNER

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


_OUTER: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(**_OUTER)
def list_correspondences(
    query_channels, query_offsets, database_channels, database_offsets, query_groups,
    database_groups, query_rows, database_rows, offsets,
):  # fmt: skip
    """Rows of the tentative correspondences, ordered by (query feature, database feature).

    Enumerates same-channel pairs by a merge join. Fills ``offsets (p + 1,)`` of the problems, and
    the rows if there is place for any.
    """
    count = 0
    offsets[0] = 0
    for p in range(len(query_groups)):
        query_group, database_group = query_groups[p], database_groups[p]
        start, end = database_offsets[database_group], database_offsets[database_group + 1]
        for row in range(query_offsets[query_group], query_offsets[query_group + 1]):
            channel = query_channels[row]
            while start < end and database_channels[start] < channel:
                start += 1
            other = start
            while other < end and database_channels[other] == channel:
                if len(query_rows) > 0:
                    query_rows[count] = row
                    database_rows[count] = other
                count += 1
                other += 1
        offsets[p + 1] = count


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


@njit(**INNER)
def _score_hypothesis(a, c, d, tx, ty, points, n, squared_threshold, to_beat):
    """Inliers of a hypothesis, or any number ≤ ``to_beat`` once it can't beat that."""
    score = 0
    for start in range(0, n, BLOCK):
        if score + n - start <= to_beat:
            break
        # Slices from zero: otherwise LLVM doesn't vectorise the loop.
        end = min(start + BLOCK, n)
        x, y = points[0, start:end], points[1, start:end]
        u, v = points[2, start:end], points[3, start:end]
        for j in range(len(x)):
            ex = (a * x[j] + tx) - u[j]
            ey = ((c * x[j] + d * y[j]) + ty) - v[j]
            score += 1 if ex * ex + ey * ey <= squared_threshold else 0
    return score


@njit(**INNER)
def _mark_inliers(transform, points, squared_threshold, squared_errors):
    """Squared transfer errors where within the threshold, −1 elsewhere; the number within it."""
    a, b, c, d = transform[0], transform[1], transform[2], transform[3]
    tx, ty = transform[4], transform[5]
    count = 0
    for j in range(len(squared_errors)):
        ex = ((a * points[0, j] + b * points[1, j]) + tx) - points[2, j]
        ey = ((c * points[0, j] + d * points[1, j]) + ty) - points[3, j]
        error = ex * ex + ey * ey
        is_inlier = error <= squared_threshold
        squared_errors[j] = error if is_inlier else -1.0
        count += 1 if is_inlier else 0
    return count


@njit(**INNER)
def _scatter(s_pq, s_p, s_q, n):
    """``Σ (p − p̄)(q − q̄)`` from integer sums: exact up to the last, small correction."""
    mean_p, mean_q = s_p // n, s_q // n
    rest_p, rest_q = s_p - n * mean_p, s_q - n * mean_q
    whole = s_pq - mean_p * s_q - mean_q * rest_p
    return np.float64(whole) - np.float64(rest_p) * np.float64(rest_q) / np.float64(n)


@njit(**INNER)
def _fit_affine(squared_errors, grid, query_scale, database_scale, transform):
    """Least-squares affine transform (6 dof) of the inliers; whether they determine one."""
    n = x = y = u = v = xx_sum = xy_sum = yy_sum = ux_sum = uy_sum = vx_sum = vy_sum = 0
    for j in range(len(squared_errors)):
        if squared_errors[j] >= 0.0:
            p, q, r, s = grid[0, j], grid[1, j], grid[2, j], grid[3, j]
            n += 1
            x += p
            y += q
            u += r
            v += s
            xx_sum += p * p
            xy_sum += p * q
            yy_sum += q * q
            ux_sum += r * p
            uy_sum += r * q
            vx_sum += s * p
            vy_sum += s * q
    if n < 3:
        return False
    xx, yy, xy = _scatter(xx_sum, x, x, n), _scatter(yy_sum, y, y, n), _scatter(xy_sum, x, y, n)
    det = xx * yy - xy * xy
    trace = xx + yy
    if not det > COLLINEAR * (trace * trace):
        return False
    ux, uy = _scatter(ux_sum, u, x, n), _scatter(uy_sum, u, y, n)
    vx, vy = _scatter(vx_sum, v, x, n), _scatter(vy_sum, v, y, n)
    # Dividing and multiplying by the grid scales is exact: they are powers of two.
    ratio = query_scale / database_scale
    a, b = (ux * yy - uy * xy) / det * ratio, (uy * xx - ux * xy) / det * ratio
    c, d = (vx * yy - vy * xy) / det * ratio, (vy * xx - vx * xy) / det * ratio
    count = np.float64(n)
    mean_x, mean_y = np.float64(x) / count / query_scale, np.float64(y) / count / query_scale
    mean_u, mean_v = np.float64(u) / count / database_scale, np.float64(v) / count / database_scale
    transform[0], transform[1], transform[2], transform[3] = a, b, c, d
    transform[4] = mean_u - (a * mean_x + b * mean_y)
    transform[5] = mean_v - (c * mean_x + d * mean_y)
    return True


@njit(**INNER)
def _gather(query, database, query_rows, database_rows, first, n, gathered):
    """``(x, y, u, v)`` of ``n`` correspondences from ``first`` on: positions, or grid positions."""
    for j in range(n):
        for axis in range(2):
            gathered[axis, j] = query[query_rows[first + j], axis]
            gathered[2 + axis, j] = database[database_rows[first + j], axis]


@njit(**_OUTER)
def search_block(
    query_positions, query_grid, to_circle, query_scales, database_positions, database_grid,
    from_circle, database_scales, query_rows, database_rows, offsets, query_groups,
    database_groups, limits, start, stop, transforms, scores, points, grid, all_errors,
    fitted,
):  # fmt: skip
    """Fills rows ``start … stop - 1`` of the best transforms ``(p, 6)`` and of their inliers.

    Those of problems without correspondences, or without any inlier, stay as they are. A
    hypothesis is the map ``A = L₂ L₁⁻¹``, ``t = μ₂ − A μ₁`` of one correspondence; lower
    triangular, so that vertical lines stay vertical. One that beats the best so far is refined
    (LO): refitted to its inliers while their number grows.

    Args:
        points, grid, all_errors, fitted: room, float64 ``(4, n)``, int64 ``(4, n)``,
            float64 ``(n,)`` and ``(6,)``, n the most correspondences of a problem.
    """
    for problem in range(start, stop):
        first = offsets[problem]
        n = offsets[problem + 1] - first
        query_scale = query_scales[query_groups[problem]]
        database_scale = database_scales[database_groups[problem]]
        squared_errors = all_errors[:n]
        _gather(query_positions, database_positions, query_rows, database_rows, first, n, points)
        _gather(query_grid, database_grid, query_rows, database_rows, first, n, grid)
        best, score = transforms[problem], 0
        for i in range(n):
            if n <= score:
                break  # nothing can beat a transform with which everything agrees
            one, other = query_rows[first + i], database_rows[first + i]
            a = from_circle[other, 0] * to_circle[one, 0]
            c = from_circle[other, 1] * to_circle[one, 0]
            c += from_circle[other, 2] * to_circle[one, 1]
            d = from_circle[other, 2] * to_circle[one, 2]
            x, y = points[0, i], points[1, i]
            tx, ty = points[2, i] - a * x, points[3, i] - (c * x + d * y)
            if not _scale_change_allowed(a, 0.0, c, d, limits.squared_scale_change):
                continue
            found = _score_hypothesis(a, c, d, tx, ty, points, n, limits.squared_threshold, score)
            if found <= score:
                continue
            score = found
            best[0], best[1], best[2], best[3], best[4], best[5] = a, 0.0, c, d, tx, ty
            _mark_inliers(best, points, limits.squared_threshold, squared_errors)
            for _ in range(limits.max_refinements):
                if not _fit_affine(squared_errors, grid, query_scale, database_scale, fitted):
                    break
                if not _scale_change_allowed(
                    fitted[0], fitted[1], fitted[2], fitted[3], limits.squared_scale_change
                ):
                    break
                found = _mark_inliers(fitted, points, limits.squared_threshold, squared_errors)
                if found <= score:
                    break
                score = found
                for entry in range(6):
                    best[entry] = fitted[entry]
        scores[problem] = score


@njit(**_OUTER)
def measure_inliers(
    query_positions, database_positions, query_rows, database_rows, offsets, transforms,
    squared_threshold, points, squared_errors,
):  # fmt: skip
    """Fills the squared transfer errors ``(m,)`` of the inliers of each problem, −1 elsewhere.

    Args:
        points: ``(4, n)`` float64, room, n the most correspondences of a problem.
    """
    for problem in range(len(offsets) - 1):
        first, end = offsets[problem], offsets[problem + 1]
        if np.isnan(transforms[problem, 0]):
            for row in range(first, end):
                squared_errors[row] = -1.0
        else:
            n = end - first
            _gather(
                query_positions, database_positions, query_rows, database_rows, first, n, points
            )
            own = squared_errors[first:end]
            _mark_inliers(transforms[problem], points, squared_threshold, own)


@njit(**_OUTER)
def keep_one_to_one(
    order, query_rows, database_rows, offsets, query_used_in, database_used_in, kept
):
    """Greedy assignment: of the correspondences in ``order``, those whose features are both free.

    Args:
        order: ``(i,)`` int64, inliers, by problem, then error, then index.
        query_used_in, database_used_in: the last problem that used each feature; −1 at first.
        kept: ``(m,)`` bool over all correspondences, all false; filled.
    """
    problem = 0
    for place in range(len(order)):
        j = order[place]
        while offsets[problem + 1] <= j:
            problem += 1
        q, d = query_rows[j], database_rows[j]
        if query_used_in[q] != problem and database_used_in[d] != problem:
            query_used_in[q] = problem
            database_used_in[d] = problem
            kept[j] = True
