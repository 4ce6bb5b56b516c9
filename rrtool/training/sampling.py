"""Which images make up the mini-batches of an epoch; all of it is drawn before the epoch."""

import numpy as np

from rrtool.training.options import TrainingOptions


def passes(ids: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """The first ``size`` of ``ids`` in random order, again and again, each pass in a new order.

    Every id is there as often as any other, up to one.

    Returns:
        ``(size,)`` int64; empty if there are no ids.
    """
    n_passes = -(-size // len(ids)) if len(ids) else 0
    orders = [generator.permutation(ids) for _ in range(n_passes)]
    return np.concatenate([np.zeros(0, np.int64), *orders])[:size].astype(np.int64)


def draw_weighted(
    ids: np.ndarray, weights: np.ndarray, size: int, generator: np.random.Generator
) -> np.ndarray:
    """``size`` draws with replacement from the distribution η[w] on ``ids`` (§3.3).

    Args:
        ids: ``(m,)``.
        weights: ``(m,)``, finite, not negative, not all zero. An id of weight 0 is never drawn.

    Returns:
        ``(size,)`` int64.
    """
    positive = np.flatnonzero(weights)
    cumulative = np.cumsum(weights[positive], dtype=np.float64)
    # A product may round up to the last sum itself, which lies beyond the last id.
    draws = np.minimum(generator.random(size) * cumulative[-1], np.nextafter(cumulative[-1], 0))
    places = np.searchsorted(cumulative, draws, side="right")
    return ids[positive[places]].astype(np.int64)


def two_streams(
    labeled_ids: np.ndarray,
    pool_ids: np.ndarray,
    weights: np.ndarray,
    options: TrainingOptions,
    generator: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Labelled images uniformly from L, the rest with replacement from η[w] on U (§3.3, §3.5.1).

    The labelled stream goes through L in random passes, as the two-stream sampler of Tarvainen
    and Valpola does. The epoch ends with the batch in which ``semi_epoch_fraction`` |U|
    pseudo-labelled images have been drawn.

    Args:
        labeled_ids: L, not empty.
        pool_ids: ``(m,)``, U.
        weights: ``(m,)``, w of ``pool_ids``.

    Returns:
        Image ids of the labelled, ``(n_batches, semi_labeled)`` int64, and of the pseudo-labelled,
        ``(n_batches, semi_batch_size - semi_labeled)`` int64. No batches where U is empty or no
        weight is positive.

    Raises:
        ValueError: a weight is negative or not finite, or L is empty.
    """
    weights = np.asarray(weights, dtype=np.float64)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("weights must be finite and not negative")
    if not len(labeled_ids):
        raise ValueError("no labelled images to draw from")
    n_labeled, n_pseudo = options.semi_labeled, options.semi_batch_size - options.semi_labeled
    if not weights.any():
        return np.zeros((0, n_labeled), np.int64), np.zeros((0, n_pseudo), np.int64)
    n_batches = int(np.ceil(options.semi_epoch_fraction * len(pool_ids) / n_pseudo))
    labeled = passes(labeled_ids, n_batches * n_labeled, generator)
    drawn = draw_weighted(pool_ids, weights, n_batches * n_pseudo, generator)
    return labeled.reshape(n_batches, n_labeled), drawn.reshape(n_batches, n_pseudo)


def uniform_over_clusters(assignments: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """As many images as there are, drawn uniformly over the clusters (DeepCluster's sampler).

    Every cluster gives ``⌊n / number of clusters that are not empty⌋ + 1`` images, with
    replacement where it has fewer; the sum is shuffled and cut to n.

    Args:
        assignments: ``(n,)`` cluster of each image.

    Returns:
        ``(n,)`` int64 rows of ``assignments``.
    """
    members = [np.flatnonzero(assignments == cluster) for cluster in np.unique(assignments)]
    share = len(assignments) // max(1, len(members)) + 1
    drawn = [generator.choice(rows, share, replace=len(rows) <= share) for rows in members]
    shuffled = generator.permutation(np.concatenate([np.zeros(0, np.int64), *drawn]))
    return shuffled[: len(assignments)]
