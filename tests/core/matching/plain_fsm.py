"""Spatial matching written plainly: loops, float64, Python integers. The oracle of the tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from rrtool.core.matching.local_features import LocalFeatures

GRID_BITS = 21
COLLINEAR = 1e-8


def match_plain(
    query: LocalFeatures,
    query_image: int,
    database: LocalFeatures,
    candidate_ids: Any,
    options: Any,
) -> list[dict]:
    """One dict per candidate: score, scale_pair, transform, inliers, n_tentative."""
    return [
        _match_image(query, query_image, database, int(image), options) for image in candidate_ids
    ]


def _match_image(query, query_image, database, image, options):  # type: ignore[no-untyped-def]
    best = {
        "score": 0,
        "scale_pair": (-1, -1),
        "transform": np.full(6, np.nan),
        "inliers": [],
        "n_tentative": 0,
    }
    for query_scale in range(query.n_scales):
        for database_scale in range(database.n_scales):
            frames_1 = _frames(query, query_image, query_scale)
            frames_2 = _frames(database, image, database_scale)
            score, transform, inliers, n_tentative = _match_scales(frames_1, frames_2, options)
            if score > best["score"]:
                best = {
                    "score": score,
                    "scale_pair": (query_scale, database_scale),
                    "transform": transform,
                    "inliers": inliers,
                    "n_tentative": n_tentative,
                }
    return best


def group_of(features: LocalFeatures, image: int, scale: int) -> slice:
    """The slice of the features of ``image`` at ``scale``."""
    group = image * features.n_scales + scale
    return slice(int(features.offsets[group]), int(features.offsets[group + 1]))


def _frames(features: LocalFeatures, image: int, scale: int) -> list[dict]:
    """Usable features of one group, with the triangular factor of each covariance."""
    group = group_of(features, image, scale)
    first = group_of(features, image, 0).start
    frames = []
    for row in range(group.start, group.stop):
        x, y = (float(value) for value in features.means[row])
        xx, xy, yy = (float(value) for value in features.covariances[row])
        if not (np.isfinite([x, y, xx, xy, yy]).all() and xx > 0):
            continue
        l11 = np.sqrt(xx)
        l21 = xy / l11
        rest = yy - l21 * l21
        if not rest > 0:
            continue
        l22 = np.sqrt(rest)
        frames.append(
            {
                "id": row - first,
                "channel": int(features.channels[row]),
                "position": (x, y),
                "L": (l11, l21, l22),
                "inverse": (1 / l11, -l21 / (l11 * l22), 1 / l22),
            }
        )
    return frames


def _match_scales(frames_1, frames_2, options):  # type: ignore[no-untyped-def]
    pairs = [(p, q) for p in frames_1 for q in frames_2 if p["channel"] == q["channel"]]
    if not pairs:
        return 0, None, [], 0
    points = np.array([p["position"] + q["position"] for p, q in pairs]).T
    scores = np.ones(len(pairs), np.int64)
    scales = (_grid_scale(frames_1), _grid_scale(frames_2))
    best_score, best = 0, None
    for p, q in pairs:
        hypothesis = _hypothesis(p, q)
        if not _allowed(hypothesis, options):
            continue
        score = int(scores[_errors(hypothesis, points) <= options.inlier_threshold**2].sum())
        if score > best_score:
            best_score, best = _refine(score, hypothesis, points, scores, scales, options)
    if best is None:
        return 0, None, [], len(pairs)
    errors = _errors(best, points)
    inliers = np.flatnonzero(errors <= options.inlier_threshold**2)
    if options.one_to_one:
        inliers = _one_to_one(inliers, errors, pairs)
        best_score = int(scores[inliers].sum())
    return best_score, best, [(pairs[i][0]["id"], pairs[i][1]["id"]) for i in inliers], len(pairs)


def _hypothesis(p: dict, q: dict) -> tuple:
    i11, i21, i22 = p["inverse"]
    l11, l21, l22 = q["L"]
    (x, y), (u, v) = p["position"], q["position"]
    a, c, d = l11 * i11, l21 * i11 + l22 * i21, l22 * i22
    return a, 0.0, c, d, u - a * x, v - (c * x + d * y)


def _allowed(transform: tuple, options: Any) -> bool:
    a, b, c, d, _, _ = transform
    if not np.isfinite([a, b, c, d]).all() or a * d - b * c <= 0:
        return False
    largest, smallest = np.linalg.svd([[a, b], [c, d]], compute_uv=False)
    limit = options.max_scale_change
    return bool(largest <= limit and smallest >= 1 / limit)


def _errors(transform: tuple, points: np.ndarray) -> np.ndarray:
    a, b, c, d, tx, ty = transform
    x, y, u, v = points
    ex = ((a * x + b * y) + tx) - u
    ey = ((c * x + d * y) + ty) - v
    return ex * ex + ey * ey


def _refine(score, transform, points, scores, scales, options):  # type: ignore[no-untyped-def]
    for _ in range(options.max_refinements if options.local_optimization else 0):
        inlier = _errors(transform, points) <= options.inlier_threshold**2
        fitted = fit_affine_plain(points[:, inlier], scales)
        if fitted is None or not _allowed(fitted, options):
            break
        fitted_score = int(scores[_errors(fitted, points) <= options.inlier_threshold**2].sum())
        if fitted_score <= score:
            break
        score, transform = fitted_score, fitted
    return score, transform


def _grid_scale(frames: list[dict]) -> float:
    largest = max(abs(value) for frame in frames for value in frame["position"])
    return 2.0 ** (GRID_BITS - int(np.frexp(largest)[1])) if largest > 0 else 1.0


def fit_affine_plain(points: np.ndarray, scales: tuple[float, float]) -> tuple | None:
    """Least squares on rounded positions; sums in Python integers, which have no size limit."""
    n = points.shape[1]
    if n < 3:
        return None
    factors = (scales[0], scales[0], scales[1], scales[1])
    x, y, u, v = (
        [round(float(value) * factor) for value in row]
        for row, factor in zip(points, factors, strict=True)
    )

    def scatter(p: list[int], q: list[int]) -> float:
        mean_p, mean_q = sum(p) // n, sum(q) // n
        rest_p, rest_q = sum(p) % n, sum(q) % n
        whole = sum((i - mean_p) * (j - mean_q) for i, j in zip(p, q, strict=True))
        return float(whole) - float(rest_p) * float(rest_q) / float(n)

    xx, xy, yy = scatter(x, x), scatter(x, y), scatter(y, y)
    ux, uy, vx, vy = scatter(u, x), scatter(u, y), scatter(v, x), scatter(v, y)
    det = xx * yy - xy * xy
    if not det > COLLINEAR * ((xx + yy) * (xx + yy)):
        return None
    ratio = scales[0] / scales[1]
    a, b = (ux * yy - uy * xy) / det * ratio, (uy * xx - ux * xy) / det * ratio
    c, d = (vx * yy - vy * xy) / det * ratio, (vy * xx - vx * xy) / det * ratio
    mean_x, mean_y, mean_u, mean_v = (
        float(sum(row)) / n / factor for row, factor in zip((x, y, u, v), factors, strict=True)
    )
    return a, b, c, d, mean_u - (a * mean_x + b * mean_y), mean_v - (c * mean_x + d * mean_y)


def _one_to_one(inliers, errors, pairs):  # type: ignore[no-untyped-def]
    used_1: set[int] = set()
    used_2: set[int] = set()
    kept = []
    for i in sorted(inliers, key=lambda i: (errors[i], i)):
        first, second = pairs[i][0]["id"], pairs[i][1]["id"]
        if first not in used_1 and second not in used_2:
            used_1.add(first)
            used_2.add(second)
            kept.append(i)
    return np.array(sorted(kept), np.int64)
