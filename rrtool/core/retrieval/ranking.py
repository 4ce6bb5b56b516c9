"""Rank a database by similarity to queries."""

from collections.abc import Iterator

import numpy as np

_BLOCK_BYTES = 256 << 20


def rank_by_similarity(
    queries: np.ndarray, database: np.ndarray, usable: np.ndarray, top: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The ``top`` most similar database rows of each query, block of queries by block.

    Args:
        queries: ``(n_queries, d)`` float32, l2-normalised for cosine similarity; all finite.
        database: ``(n, d)`` float32, likewise.
        usable: ``(n,)`` bool; rows that are not are never returned.
        top: entries per query, at most ``n``.

    Yields:
        ``ids (b, m)`` int32 and ``similarities (b, m)`` float32 with
        ``m = min(top, usable.sum())``, best first; equal similarities in the order of the ids.
    """
    usable_ids = np.flatnonzero(usable).astype(np.int32)
    vectors = database[usable_ids]
    top = min(top, len(usable_ids))
    # A block holds similarities, their negation and the order, at 4, 4 and 8 bytes an entry.
    block = max(1, _BLOCK_BYTES // (16 * max(1, len(usable_ids))))
    for start in range(0, len(queries), block):
        similarities = queries[start : start + block] @ vectors.T
        order = _top_order(similarities, top)
        yield usable_ids[order], np.take_along_axis(similarities, order, axis=1)


def _top_order(similarities: np.ndarray, top: int) -> np.ndarray:
    """Columns of the ``top`` largest entries of each row, ties by column."""
    n = similarities.shape[1]
    if top >= n // 4:
        return np.argsort(-similarities, axis=1, kind="stable")[:, :top]
    order = np.empty((len(similarities), top), dtype=np.int64)
    for row, values in enumerate(similarities):
        # All that reach the top-th value compete, so that ties at the border go by column too.
        threshold = np.partition(values, n - top)[n - top] if top else np.inf
        candidates = np.flatnonzero(values >= threshold)
        best = np.argsort(-values[candidates], kind="stable")[:top]
        order[row] = candidates[best]
    return order


def top_rows(scores: np.ndarray, top: int) -> np.ndarray:
    """The rows of the ``top`` largest scores, best first, ties by row; −inf is in none.

    Args:
        scores: ``(n,)``.

    Returns:
        ``(min(top, …),)`` int64.
    """
    rows = np.flatnonzero(scores > -np.inf)
    if 0 < top < len(rows):
        border = np.partition(scores[rows], len(rows) - top)[len(rows) - top]
        rows = rows[scores[rows] >= border]
    return rows[np.argsort(-scores[rows], kind="stable")][:top]


def reorder_shortlist(ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Positions that put the first ``len(scores)`` entries of a ranking in order of their scores.

    Args:
        ids: ``(m,)`` a query's ranking, best first.
        scores: ``(s,)`` with ``s ≤ m``, of its first entries.

    Returns:
        ``(m,)`` int64 positions in ``ids``. Ties keep the initial order; the rest stays.
    """
    shortlist = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    return np.concatenate([shortlist, np.arange(len(scores), len(ids))])
