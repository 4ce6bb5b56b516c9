"""Which images to label first: typical of a cluster (TypiClust), or covering most (ProbCover).

Neither needs a model, nor any label: they are for the first cycle and for small budgets.
"""

import numpy as np

from rrtool.core.learning.acquisition import Acquisition, check_budget
from rrtool.core.learning.kmeans import kmeans

MOST_CLUSTERS = 500
_NEIGHBORS = 20
_SMALL_CLUSTER = 5  # images; such clusters come last
_FEW = 5_000  # images, among which k-means is repeated and all distances are taken
_REPEATS = 5
_BLOCK_ROWS = 1 << 10


def acquire_typical(
    features: np.ndarray,
    labeled_ids: np.ndarray,
    pool_ids: np.ndarray,
    budget: int,
    generator: np.random.Generator,
) -> Acquisition:
    """TypiClust (Hacohen et al., ICML 2022).

    All images are clustered into as many clusters as there will be labels, at most 500. Each pick
    is from the cluster with the fewest labels, of those the largest (clusters of up to five images
    last), and there the most typical image: the inverse mean distance to the 20 nearest of the
    cluster, or to half of it where it is smaller. The scores are these typicalities.

    Args:
        features: ``(n, d)`` float32, finite where labelled or in the pool.
    """
    pool = generator.permutation(check_budget(pool_ids, budget, labeled_ids))
    labeled = np.asarray(labeled_ids, dtype=np.int64)
    ids = np.concatenate([pool, labeled])
    if not budget:
        return Acquisition(pool[:0], np.zeros(0))
    vectors = np.ascontiguousarray(features[ids], dtype=np.float32)
    n_clusters = min(len(labeled) + budget, MOST_CLUSTERS)
    clusters = _clustered(vectors, n_clusters, generator)
    n_clusters = int(clusters.max()) + 1
    sizes = np.bincount(clusters, minlength=n_clusters)
    weights = np.where(sizes > _SMALL_CLUSTER, sizes, 0)
    n_labels = np.bincount(clusters[len(pool) :], minlength=n_clusters)
    queues = {}
    picks, scores = np.empty(budget, dtype=np.int64), np.empty(budget)
    n_free = np.bincount(clusters[: len(pool)], minlength=n_clusters)
    for step in range(budget):
        open_clusters = np.flatnonzero(n_free)
        order = np.lexsort((-weights[open_clusters], n_labels[open_clusters]))
        chosen = int(open_clusters[order[0]])
        if chosen not in queues:
            queues[chosen] = _by_typicality(vectors, np.flatnonzero(clusters == chosen), len(pool))
        place, scores[step] = next(queues[chosen])
        picks[step] = pool[place]
        n_free[chosen] -= 1
        n_labels[chosen] += 1
    return Acquisition(picks, scores)


def _clustered(vectors: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """The best of some k-means, the cluster of each vector."""
    repeats = _REPEATS if len(vectors) <= _FEW else 1
    found = [kmeans(vectors, k, generator) for _ in range(repeats)]
    return min(found, key=lambda clustering: clustering.objectives[-1]).assignments


def _by_typicality(vectors, members, n_pool):
    """Places in the pool and typicalities of a cluster's unlabelled images, the highest first."""
    values = typicality(vectors[members])
    for place in np.argsort(-values, kind="stable"):
        if members[place] < n_pool:
            yield members[place], values[place]


def typicality(vectors: np.ndarray, n_neighbors: int = _NEIGHBORS) -> np.ndarray:
    """The inverse mean Euclidean distance to the nearest others, ``(n,)`` float64.

    Args:
        n_neighbors: how many of them; half of all vectors where that is fewer, at least one.
    """
    n = len(vectors)
    k = min(n_neighbors, max(1, n // 2), n - 1)
    if k < 1:
        return np.zeros(n)
    found = np.empty(n)
    for start in range(0, n, _BLOCK_ROWS):
        distances = _distances(vectors[start : start + _BLOCK_ROWS], vectors)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = np.inf
        nearest = np.partition(distances, k - 1, axis=1)[:, :k]
        found[start : start + len(rows)] = 1 / (nearest.mean(axis=1) + 1e-5)
    return found


def acquire_covering(
    features: np.ndarray,
    labeled_ids: np.ndarray,
    pool_ids: np.ndarray,
    budget: int,
    generator: np.random.Generator,
    *,
    n_clusters: int,
) -> Acquisition:
    """ProbCover (Yehuda et al., NeurIPS 2022): each pick's ball covers most that none covers yet.

    The radius is that of ``pure_radius``. Scores are the numbers of images newly covered.

    Args:
        features: ``(n, d)`` float32, finite where labelled or in the pool.
        n_clusters: classes that there are, roughly.
    """
    pool = generator.permutation(check_budget(pool_ids, budget, labeled_ids))
    labeled = np.asarray(labeled_ids, dtype=np.int64)
    if not budget:
        return Acquisition(pool[:0], np.zeros(0))
    vectors = np.ascontiguousarray(features[np.concatenate([pool, labeled])], dtype=np.float32)
    sample = vectors[:_FEW]
    radius = pure_radius(sample, _clustered(sample, n_clusters, generator))
    balls = _balls(vectors, radius)
    gains = np.array([float(len(ball)) for ball in balls])
    gains[len(pool) :] = -np.inf
    covered = np.zeros(len(vectors), bool)
    for place in range(len(pool), len(vectors)):
        _cover(place, balls, covered, gains)
    picks, scores = np.empty(budget, dtype=np.int64), np.empty(budget)
    for step in range(budget):
        best = int(gains.argmax())
        picks[step], scores[step] = pool[best], gains[best]
        _cover(best, balls, covered, gains)
        gains[best] = -np.inf
    return Acquisition(picks, scores)


def _cover(center: int, balls: list[np.ndarray], covered: np.ndarray, gains: np.ndarray) -> None:
    """Covers a ball; balls are symmetric, so an image covered lessens those of its own ball."""
    for place in balls[center]:
        if not covered[place]:
            covered[place] = True
            gains[balls[place]] -= 1


def pure_radius(vectors: np.ndarray, clusters: np.ndarray, purity: float = 0.95) -> float:
    """The largest radius at which this share of the balls holds images of one cluster alone.

    A ball stays pure up to the nearest image of another cluster, so it is a quantile of those
    distances; infinite where there is one cluster.
    """
    nearest = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK_ROWS):
        distances = _distances(vectors[start : start + _BLOCK_ROWS], vectors)
        own = clusters[start : start + len(distances), None] == clusters
        nearest[start : start + len(distances)] = np.where(own, np.inf, distances).min(axis=1)
    ordered = np.sort(nearest)
    return float(ordered[int(np.floor((1 - purity) * len(ordered)))])


def _balls(vectors: np.ndarray, radius: float) -> list[np.ndarray]:
    """The places within the radius of each, itself among them; its bound is not."""
    found = []
    for start in range(0, len(vectors), _BLOCK_ROWS):
        distances = _distances(vectors[start : start + _BLOCK_ROWS], vectors)
        rows = np.arange(len(distances))
        distances[rows, start + rows] = -1
        found += [np.flatnonzero(row < radius) for row in distances]
    return found


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean, ``(len(first), len(second))`` float32."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * (first @ second.T)
    return np.sqrt(np.maximum(squares, 0))
