"""Spatial matching on a torch device: all candidates and scale pairs in batches.

Gives what `spatial_matching.match` gives, inlier by inlier: the same float64 operations in the same
order, one kernel each (no fused multiply-add), and integer sums. The sequential scan of LO-RANSAC
becomes: score every hypothesis in batches, then walk the records (the first hypothesis that beats
the best so far), refining the current record of all problems at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rrtool.core.matching.correspondences import MatchingProblem, prepare
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import Matches, MatchingOptions, assemble, search_limits
from rrtool.core.matching.spatial_matching_numba import COLLINEAR, Limits

SMALLEST_FILL = 0.7  # a batch of problems is padded to the largest, none below this fraction of it
BYTES_PER_ERROR = 40  # temporaries of one hypothesis on one correspondence
BYTES_PER_CORRESPONDENCE = 400  # temporaries of the walk per padded correspondence


class _Correspondences(NamedTuple):
    """Flat correspondences of all problems on the device; the names are those of the kernels.

    ``points`` ``(4, m)`` float64 and ``grid`` ``(4, m)`` int64 hold ``x, y, u, v``;
    ``hypotheses`` ``(6, m)`` float64 holds the transform of each correspondence alone,
    ``allowed`` ``(m,)`` bool says whether it may be tried.
    """

    points: Tensor
    grid: Tensor
    hypotheses: Tensor
    allowed: Tensor


class _Batch(NamedTuple):
    """Correspondences of some problems, padded to the largest.

    ``where`` ``(b, n)`` int64 into the flat ones, ``valid`` ``(b, n)`` bool, ``points`` and
    ``grid`` ``(4, b, n)``, ``scales`` ``(2, b)`` float64.
    Padded points are infinitely far, so they are never inliers.
    """

    where: Tensor
    valid: Tensor
    points: Tensor
    grid: Tensor
    scales: Tensor

    def rows(self, rows: Tensor) -> _Batch:
        points, grid, scales = self.points[:, rows], self.grid[:, rows], self.scales[:, rows]
        return _Batch(self.where[rows], self.valid[rows], points, grid, scales)


def match(
    query: LocalFeatures,
    query_image: int,
    database: LocalFeatures,
    candidate_ids: np.ndarray,
    options: MatchingOptions,
    *,
    device: str | torch.device = "cpu",
    max_bytes: int | None = None,
) -> Matches:
    """Match one query image against candidate images: as `spatial_matching.match` in all.

    Enumerating the correspondences and the greedy one-to-one assignment are sequential and short:
    they run on the host.

    Args:
        device: a torch device with float64.
        max_bytes: bound on the device memory of temporaries (one row of errors always fits); by
            default 1 GiB, on the CPU 64 MiB, where larger ones cost more in page faults.
    """
    problem = prepare(query, query_image, database, candidate_ids)
    device = torch.device(device)
    if max_bytes is None:
        max_bytes = 1 << (26 if device.type == "cpu" else 30)
    with torch.inference_mode():
        transforms, scores = _search_transforms(problem, search_limits(options), device, max_bytes)
    return assemble(problem, transforms, scores, options)


def _search_transforms(
    problem: MatchingProblem, limits: Limits, device: torch.device, max_bytes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Best transform ``(p, 6)`` float64 (NaN when none) and inliers ``(p,)`` int64 per problem."""
    offsets = problem.correspondences.offsets
    sizes = np.diff(offsets)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    transforms = np.full((len(sizes), 6), np.nan)
    best_scores = np.zeros(len(sizes), np.int64)
    if not len(order):
        return transforms, best_scores
    flat = _to_device(problem, limits, device)
    hypothesis_scores = torch.zeros(len(flat.allowed), dtype=torch.int64, device=device)
    for problems in _split(order, sizes, SMALLEST_FILL, max_bytes // BYTES_PER_ERROR):
        batch = _pad(flat, problem, problems)
        _score_hypotheses(flat, batch, limits, max_bytes, hypothesis_scores)
    for problems in _split(order, sizes, 0.0, max_bytes // BYTES_PER_CORRESPONDENCE):
        batch = _pad(flat, problem, problems)
        best, best_score = _walk_records(flat, batch, limits, hypothesis_scores)
        transforms[problems] = best.T.cpu().numpy()
        best_scores[problems] = best_score.cpu().numpy()
    return transforms, best_scores


def _split(
    order: np.ndarray, sizes: np.ndarray, fill: float, max_elements: int
) -> Iterator[np.ndarray]:
    """Cut problems, largest first, into batches of similar size and bounded padded size."""
    start = 0
    while start < len(order):
        largest = sizes[order[start]]
        most = max(1, max_elements // int(largest))
        similar = np.searchsorted(-sizes[order[start:]], -fill * largest, side="right")
        end = start + max(1, min(most, int(similar)))
        yield order[start:end]
        start = end


def _to_device(problem: MatchingProblem, limits: Limits, device: torch.device) -> _Correspondences:
    """Move the frames to the device, gather them by correspondence, build the hypotheses."""
    query, database, listed = problem.query, problem.database, problem.correspondences
    query_rows = torch.from_numpy(listed.query_rows).to(device).long()
    database_rows = torch.from_numpy(listed.database_rows).to(device).long()

    def gather(of_query: np.ndarray, of_database: np.ndarray) -> Tensor:
        first = torch.from_numpy(of_query).to(device)[query_rows]
        second = torch.from_numpy(of_database).to(device)[database_rows]
        return torch.cat([first, second], dim=1).T.contiguous()

    points = gather(query.positions, database.positions)
    grid = gather(query.grid_positions, database.grid_positions)
    hypotheses = _hypotheses(gather(query.to_circle, database.from_circle), points)
    allowed = _scale_change_allowed(hypotheses, limits)
    return _Correspondences(points, grid, hypotheses, allowed)


def _hypotheses(factors: Tensor, points: Tensor) -> Tensor:
    """``A = L₂ L₁⁻¹``, ``t = μ₂ − A μ₁`` from ``(6, m)`` factors, ``(6, m)`` float64."""
    i11, i21, i22, l11, l21, l22 = factors
    x, y, u, v = points
    a = l11 * i11
    c = l21 * i11 + l22 * i21
    d = l22 * i22
    return torch.stack([a, torch.zeros_like(a), c, d, u - a * x, v - (c * x + d * y)])


def _scale_change_allowed(transforms: Tensor, limits: Limits) -> Tensor:
    """Of transforms ``(6, m)``, as the kernel of the same name."""
    a, b, c, d = transforms[:4]
    largest = limits.squared_scale_change
    determinant = a * d - b * c
    squared_norm = (a * a + b * b) + (c * c + d * d)
    squared_determinant = determinant * determinant
    return (
        (determinant > 0.0)
        & (squared_norm <= 2.0 * largest)
        & (squared_norm * largest >= 2.0)
        & ((largest - squared_norm) * largest + squared_determinant >= 0.0)
        & ((squared_determinant * largest - squared_norm) * largest + 1.0 >= 0.0)
    )


def _pad(flat: _Correspondences, problem: MatchingProblem, problems: np.ndarray) -> _Batch:
    """The correspondences of some problems, padded to the first, which is the largest."""
    device = flat.points.device
    listed = problem.correspondences
    first, last = listed.offsets[problems], listed.offsets[problems + 1]
    starts, sizes = (torch.from_numpy(each).to(device) for each in (first, last - first))
    columns = torch.arange(int(last[0] - first[0]), device=device)
    valid = columns < sizes[:, None]
    index = torch.where(valid, starts[:, None] + columns, starts[:, None])
    points = flat.points[:, index]
    points[2:].masked_fill_(~valid, torch.inf)
    of_query = problem.query.grid_scales[listed.query_groups[problems]]
    of_database = problem.database.grid_scales[listed.database_groups[problems]]
    scales = torch.from_numpy(np.stack([of_query, of_database])).to(device)
    return _Batch(index, valid, points, flat.grid[:, index], scales)


def _score_hypotheses(
    flat: _Correspondences,
    batch: _Batch,
    limits: Limits,
    max_bytes: int,
    hypothesis_scores: Tensor,
) -> None:
    """Write the score of every allowed hypothesis of the batch into the flat scores."""
    n_problems, n = batch.where.shape
    step = max(1, max_bytes // (BYTES_PER_ERROR * n_problems * n))
    for start in range(0, n, step):
        index = batch.where[:, start : start + step]
        hypotheses = flat.hypotheses[:, index, None]
        scores = _inliers(hypotheses, batch.points[:, :, None, :], limits).sum(dim=-1)
        valid = batch.valid[:, start : start + step]
        kept = torch.where(flat.allowed[index], scores, 0)[valid]
        hypothesis_scores[index[valid]] = kept


def _inliers(transforms: Tensor, points: Tensor, limits: Limits) -> Tensor:
    """Whether transforms and correspondences, broadcast, agree; in place to save memory."""
    a, b, c, d, tx, ty = transforms
    x, y, u, v = points
    errors = []
    for of_x, of_y, shift, to in ((a, b, tx, u), (c, d, ty, v)):
        error = of_x * x
        error += of_y * y
        error += shift
        error -= to
        errors.append(error.square_())
    return errors[0].add_(errors[1]) <= limits.squared_threshold


def _walk_records(
    flat: _Correspondences, batch: _Batch, limits: Limits, hypothesis_scores: Tensor
) -> tuple[Tensor, Tensor]:
    """Best transforms ``(6, b)`` and scores ``(b,)`` int64 by the scan of LO-RANSAC."""
    n_problems, n = batch.where.shape
    scores = torch.where(batch.valid, hypothesis_scores[batch.where], 0)
    columns = torch.arange(n, device=scores.device)
    best = torch.full((6, n_problems), torch.nan, dtype=torch.float64, device=scores.device)
    best_score = torch.zeros(n_problems, dtype=torch.int64, device=scores.device)
    while True:
        # What came before the last record can't beat it, so no position needs to be kept.
        first = torch.where(scores > best_score[:, None], columns, n).amin(dim=1)
        rows = torch.nonzero(first < n).squeeze(1)
        if not len(rows):
            return best, best_score
        record = first[rows]
        best[:, rows], best_score[rows] = _refine(
            flat.hypotheses[:, batch.where[rows, record]],
            scores[rows, record],
            batch.rows(rows),
            limits,
        )


def _refine(
    transforms: Tensor, scores: Tensor, batch: _Batch, limits: Limits
) -> tuple[Tensor, Tensor]:
    """LO: refit each transform ``(6, b)`` to its inliers while its score grows."""
    active = torch.arange(len(scores), device=scores.device)
    inlier = _inliers(transforms[:, :, None], batch.points, limits)
    for _ in range(limits.max_refinements):
        determined, fitted = _fit_affine(inlier, batch.grid, batch.scales)
        allowed = determined & _scale_change_allowed(fitted, limits)
        inlier = _inliers(fitted[:, :, None], batch.points, limits)
        fitted_scores = inlier.sum(dim=-1)
        grew = torch.nonzero(allowed & (fitted_scores > scores[active])).squeeze(1)
        if not len(grew):
            break
        active, inlier, batch = active[grew], inlier[grew], batch.rows(grew)
        transforms[:, active] = fitted[:, grew]
        scores[active] = fitted_scores[grew]
    return transforms, scores


def _fit_affine(inlier: Tensor, grid: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares affine transforms ``(6, b)`` and whether the inliers determine them."""
    x, y, u, v = grid * inlier
    n = inlier.sum(dim=-1)
    sums = {"x": x.sum(-1), "y": y.sum(-1), "u": u.sum(-1), "v": v.sum(-1)}

    def scatter(p: Tensor, q: Tensor, name_p: str, name_q: str) -> Tensor:
        return _scatter((p * q).sum(-1), sums[name_p], sums[name_q], n.clamp(min=1))

    xx, xy, yy = scatter(x, x, "x", "x"), scatter(x, y, "x", "y"), scatter(y, y, "y", "y")
    ux, uy = scatter(u, x, "u", "x"), scatter(u, y, "u", "y")
    vx, vy = scatter(v, x, "v", "x"), scatter(v, y, "v", "y")
    det = xx * yy - xy * xy
    trace = xx + yy
    ratio = scales[0] / scales[1]
    a, b = (ux * yy - uy * xy) / det * ratio, (uy * xx - ux * xy) / det * ratio
    c, d = (vx * yy - vy * xy) / det * ratio, (vy * xx - vx * xy) / det * ratio
    mean_x, mean_y = (sums[name].double() / n.double() / scales[0] for name in "xy")
    mean_u, mean_v = (sums[name].double() / n.double() / scales[1] for name in "uv")
    tx = mean_u - (a * mean_x + b * mean_y)
    ty = mean_v - (c * mean_x + d * mean_y)
    determined = (n >= 3) & (det > COLLINEAR * (trace * trace))
    return determined, torch.stack([a, b, c, d, tx, ty])


def _scatter(s_pq: Tensor, s_p: Tensor, s_q: Tensor, n: Tensor) -> Tensor:
    """``Σ (p − p̄)(q − q̄)`` from integer sums; the kernel of the same name."""
    mean_p = torch.div(s_p, n, rounding_mode="floor")
    mean_q = torch.div(s_q, n, rounding_mode="floor")
    rest_p, rest_q = s_p - n * mean_p, s_q - n * mean_q
    whole = s_pq - mean_p * s_q - mean_q * rest_p
    return whole.double() - rest_p.double() * rest_q.double() / n.double()
