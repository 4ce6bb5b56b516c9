"""k-means whose clusters never stay empty, and how much two clusterings agree."""

from dataclasses import dataclass

import numpy as np

# How far the two centroids of a split cluster move, in standard deviations of the points.
_PERTURBATION = 1 / 1024
_BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Clustering:
    """Result of ``kmeans``.

    Attributes:
        assignments: ``(n,)`` int32, nearest centroid; the first of equally near ones.
        centroids: ``(k, d)`` float32.
        objectives: ``(n_iterations + 1,)`` float64, mean squared distance to the nearest centroid
            before each iteration and at the end.
        n_reseeded: empty clusters that were given half of another, over all iterations.
        n_empty: clusters without a point at the end.
    """

    assignments: np.ndarray
    centroids: np.ndarray
    objectives: np.ndarray
    n_reseeded: int
    n_empty: int


def kmeans(
    points: np.ndarray, k: int, generator: np.random.Generator, n_iterations: int = 10
) -> Clustering:
    """Lloyd's iterations from ``k`` random points; empty clusters are re-seeded.

    As in DeepCluster (Caron et al.) an empty cluster takes the centroid of another, drawn in
    proportion to its size less one, and both are moved a little apart in a random direction. How
    far depends on the spread of the points, not on their length as in the authors' code:
    normalised features of an untrained network differ by less than that.

    Args:
        points: ``(n, d)`` float32, finite.
        k: clusters; n where there are fewer points.

    Raises:
        ValueError: ``k`` is not positive.
    """
    if k < 1:
        raise ValueError(f"{k} clusters, expected at least 1")
    k = min(k, len(points))
    # Around their mean, for points that lie close together far from the origin: float32 could not
    # tell their distances.
    origin = points.mean(axis=0, dtype=np.float64) if k else np.zeros(points.shape[1])
    points = (points - origin).astype(np.float32)
    spread = points.std(axis=0) if k else origin
    centroids = points[generator.choice(len(points), k, replace=False)]
    objectives, n_reseeded = [], 0
    for _ in range(n_iterations):
        assignments, objective = _nearest(points, centroids)
        objectives.append(objective)
        centroids, counts = _means(points, assignments, centroids)
        n_reseeded += int(np.count_nonzero(counts == 0))
        centroids = _split_for_empty(centroids, counts, spread, generator)
    assignments, objective = _nearest(points, centroids)
    n_empty = k - len(np.unique(assignments))
    centroids = (centroids + origin).astype(np.float32)
    return Clustering(
        assignments, centroids, np.array([*objectives, objective]), n_reseeded, n_empty
    )


def _nearest(points: np.ndarray, centroids: np.ndarray) -> tuple[np.ndarray, float]:
    """Nearest centroid of each point, and the mean squared distance to it."""
    assignments = np.zeros(len(points), np.int32)
    total = 0.0
    half_squares = 0.5 * np.einsum("kd,kd->k", centroids, centroids)
    for start in range(0, len(points), _BLOCK_ROWS):
        block = points[start : start + _BLOCK_ROWS]
        closeness = block @ centroids.T - half_squares
        nearest = closeness.argmax(axis=1)
        assignments[start : start + len(block)] = nearest
        differences = block - centroids[nearest]
        total += float(np.einsum("nd,nd->", differences, differences, dtype=np.float64))
    return assignments, total / max(1, len(points))


def _means(
    points: np.ndarray, assignments: np.ndarray, centroids: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of each cluster, summed in float64 (an empty one's centroid stays), and its size."""
    k = len(centroids)
    counts = np.bincount(assignments, minlength=k)
    sums = [np.bincount(assignments, column, k) for column in points.T]
    means = np.array(sums).reshape(points.shape[1], k).T / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, centroids).astype(np.float32), counts


def _split_for_empty(
    centroids: np.ndarray, counts: np.ndarray, spread: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    centroids, sizes = centroids.copy(), counts.astype(np.float64)
    for empty in np.flatnonzero(counts == 0):
        surplus = np.maximum(sizes - 1, 0)
        if not surplus.any():
            break
        donor = generator.choice(len(sizes), p=surplus / surplus.sum())
        shift = _PERTURBATION * spread * generator.standard_normal(len(spread))
        centroids[empty] = centroids[donor] + shift
        centroids[donor] -= shift
        sizes[empty] = sizes[donor] = sizes[donor] / 2
    return centroids


def normalized_mutual_information(first: np.ndarray, second: np.ndarray) -> float:
    """``I(a; b) / √(H(a) H(b))`` of two clusterings of the same items, in [0, 1].

    As DeepCluster measures how much its assignments still change (scikit-learn's ``geometric``).

    Args:
        first, second: ``(n,)`` cluster of each item, non-negative integers.

    Returns:
        1 where both have a single cluster or there are no items, 0 where only one has.
    """
    table = np.zeros((first.max(initial=-1) + 1, second.max(initial=-1) + 1))
    np.add.at(table, (first, second), 1)
    joint = table / max(1, len(first))
    rows, columns = joint.sum(axis=1), joint.sum(axis=0)
    entropies = _entropy(rows), _entropy(columns)
    if min(entropies) == 0:
        return float(max(entropies) == 0)
    information = sum(entropies) - _entropy(joint.ravel())
    return float(np.clip(information / np.sqrt(entropies[0] * entropies[1]), 0, 1))


def _entropy(probabilities: np.ndarray) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum()) + 0.0
