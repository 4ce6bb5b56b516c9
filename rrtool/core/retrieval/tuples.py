"""Tuples to train retrieval on: a query, one that shows the same, and hard negatives.

Images come in groups: those of one group show the same thing, so that they are never negatives of
each other. As in the cited framework (Radenović et al.), the negatives of a query are the images
most similar to it of other groups, of each group one.
"""

from __future__ import annotations

import numpy as np

from rrtool.core.retrieval.ranking import top_rows

_BLOCK_BYTES = 64 << 20  # of the similarities of some queries to the pool


def draw_pairs(groups: np.ndarray, n_pairs: int, rng: np.random.Generator) -> np.ndarray:
    """Pairs of two images of one group, drawn by chance.

    A query comes again only after every other has come as often. Its positive is any of the other
    images of its group, each as likely.

    Args:
        groups: ``(n,)`` of each image; those below 0, and those of one image, have no pairs.
        n_pairs: how many are wanted.

    Returns:
        ``(m, 2)`` int32 rows, query and positive; ``m`` is ``n_pairs``, or 0 where no group has
        two images.
    """
    # Stable, so that what is drawn depends on the generator alone.
    order = np.argsort(groups, kind="stable")
    order = order[groups[order] >= 0]
    _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    start, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    places = np.flatnonzero(size > 1)
    if not len(places) or n_pairs <= 0:
        return np.zeros((0, 2), np.int32)
    rounds = -(-n_pairs // len(places))
    drawn = np.concatenate([rng.permutation(places) for _ in range(rounds)])[:n_pairs]
    step = rng.integers(1, size[drawn])  # on from the query, around its group
    positives = start[drawn] + (drawn - start[drawn] + step) % size[drawn]
    return np.stack([order[drawn], order[positives]], axis=1).astype(np.int32)


def hard_negatives(
    queries: np.ndarray,
    query_groups: np.ndarray,
    pool: np.ndarray,
    pool_groups: np.ndarray,
    n: int,
) -> np.ndarray:
    """The images of a pool most similar to each query, of other groups than its own.

    Args:
        queries: ``(q, d)`` float32, l2-normalised.
        query_groups: ``(q,)``.
        pool: ``(p, d)`` float32, likewise.
        pool_groups: ``(p,)``; images of groups below 0 are no negatives.
        n: negatives of a query.

    Returns:
        ``(q, n)`` int32 rows of the pool, of n different groups, the most similar first (of equals
        the first); −1 where there are fewer. What is similar to nothing (NaN) is no negative.
    """
    found = np.full((len(queries), n), -1, dtype=np.int32)
    step = max(1, _BLOCK_BYTES // (4 * max(1, len(pool))))
    for start in range(0, len(queries), step):
        similarities = queries[start : start + step] @ pool.T
        np.fmax(similarities, np.float32(-np.inf), out=similarities)
        similarities[:, pool_groups < 0] = -np.inf
        for query, own in enumerate(similarities, start=start):
            own[pool_groups == query_groups[query]] = -np.inf
            rows = _best_of_groups(own, pool_groups, n)
            found[query, : len(rows)] = rows
    return found


def _best_of_groups(similarities: np.ndarray, groups: np.ndarray, n: int) -> np.ndarray:
    """The most similar row of each of the n groups that have the most similar ones, best first."""
    looked_at = 4 * n
    while True:
        rows = top_rows(similarities, looked_at)
        _, first = np.unique(groups[rows], return_index=True)
        if len(first) >= n or looked_at >= len(groups):
            return rows[np.sort(first)[:n]]
        looked_at *= 4
