"""Rank a database by similarity to queries."""

from collections.abc import Iterator

import numpy as np

ROWS_PER_BLOCK = 1 << 15  # of a database
BLOCK_BYTES = 64 << 20  # of the similarities of some queries to such a block


class Nearest:
    """The database rows most similar to each query, of a database that comes block by block.

    Args:
        queries: ``(q, d)`` float32, l2-normalised for cosine similarity; all finite.
        top: entries per query.
    """

    def __init__(self, queries: np.ndarray, top: int) -> None:
        self._queries = queries
        self._top = top
        self._n_seen = 0
        self._n_found = np.zeros(len(queries), dtype=np.int64)
        # Of each query in the order of the rows, so that the first of equals are known.
        self._ids = np.full((len(queries), top), -1, dtype=np.int32)
        self._similarities = np.full((len(queries), top), -np.inf, dtype=np.float32)

    def add(self, vectors: np.ndarray, usable: np.ndarray) -> None:
        """Take the next rows, ``(b, d)`` float32; those that are not ``usable`` are left out."""
        step = max(1, BLOCK_BYTES // (4 * max(1, len(vectors))))
        for start in range(0, len(self._queries), step):
            products = self._queries[start : start + step] @ vectors.T
            # Values that overflow may give what is no number: similar to nothing.
            np.fmax(products, np.float32(-np.inf), out=products)
            for query, similarities in enumerate(products, start=start):
                self._take(query, similarities, usable)
        self._n_seen += len(vectors)

    def _take(self, query: int, similarities: np.ndarray, usable: np.ndarray) -> None:
        n, kept = self._n_found[query], self._similarities[query]
        if n == self._top:  # equals of the last come too late
            usable = usable & (similarities > kept.min(initial=np.inf))
        rows = np.flatnonzero(usable)
        ids, values, end = (rows + self._n_seen).astype(np.int32), similarities[rows], n + len(rows)
        if end > self._top:
            ids = np.concatenate([self._ids[query, :n], ids])
            values = np.concatenate([kept[:n], values])
            best = _largest(values, self._top)
            ids, values, n, end = ids[best], values[best], 0, self._top
        self._ids[query, n:end], kept[n:end] = ids, values
        self._n_found[query] = end

    def ranking(self) -> tuple[np.ndarray, np.ndarray]:
        """``ids (q, m)`` int32 and ``similarities (q, m)`` float32, best first.

        ``m`` is ``top``, or the number of usable rows if that is less; equal similarities are in
        the order of the ids.
        """
        for ids, similarities in zip(self._ids, self._similarities, strict=True):
            order = np.argsort(-similarities, kind="stable")
            ids[:], similarities[:] = ids[order], similarities[order]
        m = self._n_found.max(initial=0)
        return self._ids[:, :m], self._similarities[:, :m]


def _largest(values: np.ndarray, n: int) -> np.ndarray:
    """Positions of the ``n`` largest values, rising, of equals the first."""
    border = np.partition(values, len(values) - n)[len(values) - n]
    chosen = values > border
    chosen[np.flatnonzero(values == border)[: n - np.count_nonzero(chosen)]] = True
    return np.flatnonzero(chosen)


def in_blocks(vectors: np.ndarray, usable: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A database that is held, as ``Nearest.add`` takes it."""
    for start in range(0, len(vectors), ROWS_PER_BLOCK):
        rows = slice(start, start + ROWS_PER_BLOCK)
        yield vectors[rows], usable[rows]


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
        ``ids (b, m)`` and ``similarities (b, m)`` as ``Nearest.ranking``.
    """
    top = min(top, int(np.count_nonzero(usable)))
    # A block of queries holds 8 bytes an entry beside its similarities to a block of rows.
    widest = max(1, top, min(len(database), ROWS_PER_BLOCK))
    step = max(1, BLOCK_BYTES // (8 * widest))
    for start in range(0, len(queries), step):
        nearest = Nearest(queries[start : start + step], top)
        for block in in_blocks(database, usable):
            nearest.add(*block)
        yield nearest.ranking()


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
