"""Which images to have labelled next: random, uncertain, CoreSet, and CEAL's pseudo-labels.

Every strategy takes the pool in an order drawn from the generator and resolves ties by it, so a
seed decides everything that the scores leave open, whatever the order of ``pool_ids``. Joint
label propagation is in ``joint_label_propagation``.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit
from scipy.special import entr

from rrtool.core.blocks import INNER, in_threads

_FEWEST_DISTANCES = 1 << 7  # that are worth a thread


@dataclass(frozen=True)
class Acquisition:
    """Images to be labelled.

    Attributes:
        ids: ``(b,)`` int64, in the order of picking.
        scores: ``(b,)`` float64, the value that each was picked for: its entropy (uncertain), its
            Euclidean distance to the nearest labelled or picked image (CoreSet), its manifold
            similarity to them (jLP); 0 where the pick is random.
    """

    ids: np.ndarray
    scores: np.ndarray


def check_budget(
    pool_ids: np.ndarray, budget: int, labeled_ids: np.ndarray | None = None
) -> np.ndarray:
    """The pool as ascending int64 ids.

    Raises:
        ValueError: the budget is negative or larger than the pool, an id is in the pool twice or
            negative, or an image of the pool is labelled.
    """
    pool = np.sort(np.asarray(pool_ids, dtype=np.int64).ravel())
    if not 0 <= budget <= len(pool):
        raise ValueError(f"a budget of {budget} from a pool of {len(pool)}")
    if (pool[1:] == pool[:-1]).any():
        raise ValueError("an id is in the pool twice")
    if len(pool) and pool[0] < 0:
        raise ValueError(f"id {pool[0]} in the pool")
    if labeled_ids is not None and np.isin(pool, labeled_ids).any():
        raise ValueError("an image of the pool is labelled")
    return pool


def acquire_random(
    pool_ids: np.ndarray, budget: int, generator: np.random.Generator
) -> Acquisition:
    """A uniform sample without replacement."""
    pool = generator.permutation(check_budget(pool_ids, budget))
    return Acquisition(pool[:budget], np.zeros(budget))


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """``H(p) = −Σ_k p_k log p_k`` of each row (eq. 3.5), natural logarithm, 0 log 0 = 0.

    Args:
        probabilities: ``(n, c)``, finite and not negative.

    Returns:
        ``(n,)`` float64 in ``[0, log c]``.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if not (p >= 0).all() or not np.isfinite(p).all():
        raise ValueError("a probability is negative or not finite")
    return entr(p).sum(axis=1)


def normalized_entropy(probabilities: np.ndarray) -> np.ndarray:
    """``H(p) / log c`` of each row, in [0, 1]; 0 where there is one class."""
    n_classes = probabilities.shape[1]
    return entropy(probabilities) / np.log(max(n_classes, 2))


def acquire_uncertain(
    probabilities: np.ndarray, pool_ids: np.ndarray, budget: int, generator: np.random.Generator
) -> Acquisition:
    """The ``budget`` images of the pool with the largest entropy (eq. 3.6).

    Args:
        probabilities: ``(n, c)`` of all images.
    """
    pool = generator.permutation(check_budget(pool_ids, budget))
    scores = entropy(np.asarray(probabilities)[pool])
    best = np.argsort(-scores, kind="stable")[:budget]
    return Acquisition(pool[best], scores[best])


def confident_pseudo_labels(
    probabilities: np.ndarray, pool_ids: np.ndarray, epsilon: float
) -> tuple[np.ndarray, np.ndarray]:
    """The images of the pool with ``H(p) / log c ≤ ε`` and their most probable class (CEAL).

    Eq. 3.7 compares ``H(p)`` itself; over ``log c``, as in the authors' released code, one ε means
    the same for ten classes and for a hundred.

    Returns:
        ``ids (m,)`` int64, ascending, and ``labels (m,)`` int32; equal probabilities go to the
        lower class.
    """
    pool = check_budget(pool_ids, 0)
    p = np.asarray(probabilities)[pool]
    confident = normalized_entropy(p) <= epsilon
    return pool[confident], p[confident].argmax(axis=1).astype(np.int32)


def ceal_threshold(cycle: int, epsilon0: float = 0.1, decay: float = 0.00033) -> float:
    """``ε`` of a cycle, counted from 0: ``max(0, ε₀ − decay · cycle)``.

    The thesis gives no values: the form is that of CEAL (Wang et al. 2017), the defaults are those
    of the authors' released code, for ``H(p) / log c``.
    """
    return max(0.0, epsilon0 - decay * cycle)


def acquire_coreset(
    features: np.ndarray,
    labeled_ids: np.ndarray,
    pool_ids: np.ndarray,
    budget: int,
    generator: np.random.Generator,
) -> Acquisition:
    """Greedy k-centre (eq. 3.4): each pick is the farthest from its nearest labelled image.

    Distances to the nearest centre only shrink, so the last known one bounds each image from
    above, and it is compared with the centres it has missed only when that bound comes first:
    the picks are those of the loop over all images, for a fraction of the distances. In float64.
    Without a labelled image the first pick is the farthest from the mean of the pool (our
    choice), scored by that distance.

    Args:
        features: ``(n, d)`` float32 of all images; those of pool and labelled ones finite.
    """
    pool = generator.permutation(check_budget(pool_ids, budget, labeled_ids))
    vectors = _finite_rows(features, pool)
    centers = _finite_rows(features, labeled_ids)
    picks, scores = np.empty(budget, dtype=np.int64), np.empty(budget)
    n_known = 0
    if budget and not len(centers):
        from_mean = _squared_distances(vectors, vectors.mean(axis=0, dtype=np.float64)[None])
        picks[0], scores[0], n_known = from_mean.argmax(), from_mean.max(), 1
        centers = vectors[picks[:1]]
    nearest = _squared_distances(vectors, centers)
    nearest[picks[:n_known]] = -1  # below every distance
    order = np.argsort(-nearest, kind="stable")
    n_compared = np.zeros(len(vectors), dtype=np.int64)
    _farthest_first(vectors, nearest, order, n_compared, picks[n_known:], scores[n_known:])
    return Acquisition(pool[picks], np.sqrt(scores))


def nearest_labeled_distance(
    features: np.ndarray, labeled_ids: np.ndarray, pool_ids: np.ndarray
) -> np.ndarray:
    """Euclidean distance of each image of the pool to the nearest labelled one (eq. 3.4).

    Returns:
        ``(len(pool_ids),)`` float64; inf where nothing is labelled.
    """
    rows = _finite_rows(features, pool_ids)
    return np.sqrt(_squared_distances(rows, _finite_rows(features, labeled_ids)))


def _finite_rows(features: np.ndarray, ids: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(features[np.asarray(ids, dtype=np.int64)], dtype=np.float32)
    if not np.isfinite(rows).all():
        raise ValueError("a feature is not finite")
    return rows


def _squared_distances(vectors: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Of each vector to the nearest centre, ``(n,)`` float64; inf without centres."""
    nearest = np.full(len(vectors), np.inf)

    def approach(start: int, stop: int) -> None:
        _approach(vectors, centers, nearest, start, stop)

    in_threads(approach, len(vectors), fewest_rows=1 + _FEWEST_DISTANCES // (len(centers) + 1))
    return nearest


@njit(**(INNER | {"fastmath": True}))
def _squared_distance(first, second):
    total = 0.0
    for j in range(len(first)):
        difference = np.float64(first[j]) - np.float64(second[j])
        total += difference * difference
    return total


@njit(fastmath=True, cache=True, nogil=True)
def _approach(vectors, centers, nearest, start, stop):
    """``nearest`` made the smaller of itself and the squared distances to ``centers``."""
    for i in range(start, stop):
        for c in range(len(centers)):
            nearest[i] = min(nearest[i], _squared_distance(vectors[i], centers[c]))


@njit(cache=True, nogil=True, error_model="numpy")
def _farthest_first(vectors, nearest, heap, n_compared, picks, scores):
    """Fills ``picks`` and ``scores``.

    Args:
        heap: all vertices, the farthest first.
        n_compared: ``(n,)`` zeros, with how many of the picks each has been compared.
    """
    n_left, n_picked = len(heap), 0
    while n_picked < len(picks):
        top = heap[0]
        if n_compared[top] == n_picked:
            picks[n_picked], scores[n_picked] = top, nearest[top]
            n_picked += 1
            n_left -= 1
            heap[0] = heap[n_left]
        else:
            for c in range(n_compared[top], n_picked):
                distance = _squared_distance(vectors[top], vectors[picks[c]])
                nearest[top] = min(nearest[top], distance)
            n_compared[top] = n_picked
        _sift_down(heap, n_left, nearest)


@njit(inline="always")
def _sift_down(heap, n, key):
    """Restores the heap after its first entry has changed: largest key first, ties by place."""
    place, moved = 0, heap[0]
    while 2 * place + 1 < n:
        child = 2 * place + 1
        if child + 1 < n and _comes_before(heap[child + 1], heap[child], key):
            child += 1
        if not _comes_before(heap[child], moved, key):
            break
        heap[place] = heap[child]
        place = child
    heap[place] = moved


@njit(inline="always")
def _comes_before(i, j, key):
    return key[i] > key[j] or (key[i] == key[j] and i < j)
