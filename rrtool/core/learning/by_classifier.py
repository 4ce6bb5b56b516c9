"""Which images to label, by a classifier's doubts: margin, BADGE, DropQuery."""

from collections.abc import Callable

import numpy as np

from rrtool.core.learning.acquisition import Acquisition, check_budget
from rrtool.core.learning.kmeans import kmeans

_DROPOUT, _PASSES = 0.75, 3


def margin(probabilities: np.ndarray) -> np.ndarray:
    """The most probable class's lead over the second, ``(n,)`` float64; 1 where there is one."""
    p = np.asarray(probabilities, dtype=np.float64)
    if p.shape[1] < 2:
        return np.ones(len(p))
    two = np.partition(p, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def acquire_by_margin(
    probabilities: np.ndarray, pool_ids: np.ndarray, budget: int, generator: np.random.Generator
) -> Acquisition:
    """The images of the pool of the smallest margin (Scheffer et al. 2001), scored by 1 less it."""
    pool = generator.permutation(check_budget(pool_ids, budget))
    scores = 1 - margin(np.asarray(probabilities)[pool])
    best = np.argsort(-scores, kind="stable")[:budget]
    return Acquisition(pool[best], scores[best])


def acquire_badge(
    features: np.ndarray,
    probabilities: np.ndarray,
    pool_ids: np.ndarray,
    budget: int,
    generator: np.random.Generator,
) -> Acquisition:
    """BADGE (Ash et al., ICLR 2020): k-means++ on the gradients that guessed labels would give.

    The gradient of the last layer for the most probable class ŷ is ``(p − e_ŷ) ⊗ x``. The first
    pick has the largest, as in the authors' code; each other is drawn in proportion to its squared
    distance to the nearest pick. Products of the two factors give all distances, so that no vector
    of c·d entries is ever made. Scores are distances to the picks before; the first's is its norm.

    Args:
        features: ``(n, d)``, of the last layer's input.
        probabilities: ``(n, c)``.
    """
    pool = generator.permutation(check_budget(pool_ids, budget))
    x = np.asarray(features, dtype=np.float64)[pool]
    errors = np.asarray(probabilities, dtype=np.float64)[pool].copy()
    errors[np.arange(len(pool)), errors.argmax(axis=1)] -= 1
    squares = (errors**2).sum(axis=1) * (x**2).sum(axis=1)
    picks, scores = np.empty(budget, dtype=np.int64), np.empty(budget)
    left = np.ones(len(pool), bool)
    nearest = squares.copy()
    for step in range(budget):
        chances = np.where(left, nearest, 0)
        if not step:
            best = int(chances.argmax())
        elif chances.any():
            best = int(generator.choice(len(pool), p=chances / chances.sum()))
        else:  # nothing but doubles of picks
            best = int(left.argmax())
        picks[step], scores[step], left[best] = pool[best], np.sqrt(nearest[best]), False
        products = (errors @ errors[best]) * (x @ x[best])
        distances = np.maximum(squares + squares[best] - 2 * products, 0)
        nearest = distances if not step else np.minimum(nearest, distances)
    return Acquisition(picks, scores)


def acquire_by_dropout(
    features: np.ndarray,
    classify: Callable[[np.ndarray], np.ndarray],
    pool_ids: np.ndarray,
    budget: int,
    generator: np.random.Generator,
) -> Acquisition:
    """DropQuery (Gupte et al., TMLR 2024): images whose class hangs on a few entries, and diverse.

    Candidates are those whose predicted class changes in most of three passes in which each entry
    of their features is dropped with probability .75; they are clustered into as many clusters as
    there are picks, and the nearest to each centre is picked. Where there are too few candidates,
    those that changed in fewer passes join them, at random where that is equal. Scores are the
    shares of passes that changed.

    Args:
        features: ``(n, d)`` float32.
        classify: from features ``(m, d)`` to scores ``(m, c)``.
    """
    pool = generator.permutation(check_budget(pool_ids, budget))
    if not budget:
        return Acquisition(pool[:0], np.zeros(0))
    x = np.asarray(features, dtype=np.float32)[pool]
    before = classify(x).argmax(axis=1)
    changed = np.zeros(len(pool))
    for _ in range(_PASSES):
        kept = generator.random(x.shape, dtype=np.float32) >= _DROPOUT
        changed += classify(x * kept / np.float32(1 - _DROPOUT)).argmax(axis=1) != before
    order = np.argsort(-changed, kind="stable")
    n_candidates = max(budget, int((changed > _PASSES / 2).sum()))
    candidates = order[:n_candidates]
    places = candidates[_nearest_to_centers(x[candidates], budget, generator)]
    return Acquisition(pool[places], changed[places] / _PASSES)


def _nearest_to_centers(vectors: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """Places of the vectors nearest to the centres of k clusters, each once."""
    centroids = kmeans(vectors, k, generator).centroids
    picks: list[int] = []
    left = np.ones(len(vectors), bool)
    for centroid in centroids:
        distances = np.where(left, ((vectors - centroid) ** 2).sum(axis=1), np.inf)
        picks.append(int(distances.argmin()))
        left[picks[-1]] = False
    return np.array(picks, dtype=np.int64)
