"""Inverted lists whose search multiplies list by list.

Faiss clusters the vectors and finds the lists of each query. It then goes through the lists query
by query, one product of two vectors after the other. Where thousands of queries come at once, as
the patches of a photo do, many ask for the same list: multiplied together, a vector that has been
fetched serves four of them. The neighbours are the same, their similarities but for the last bit.
"""

from typing import Any

import numpy as np

from rrtool.core.blocks import in_threads
from rrtool.core.diffusion.approximate.inverted_lists_numba import choose_best, multiply_lists

_MOST_PRODUCTS = 1 << 24  # at a time: 64 MiB
_FEWEST_QUERIES = 64  # of a thread


class InvertedLists:
    """Finds the most similar vectors in the lists whose centres a query is most similar to.

    Args:
        vectors: ``(n, d)`` float32, finite.
        seed: of the clustering.
        n_probe: lists that are searched; None: a sixteenth of them and 8.

    Raises:
        ImportError: without faiss.
    """

    def __init__(self, vectors: np.ndarray, seed: int, n_probe: int | None) -> None:
        import faiss

        n, d = vectors.shape
        # At least 39 points a list: below that, faiss warns of a poor clustering (even of one).
        n_lists = max(1, min(int(4 * np.sqrt(n)), n // 39))
        self._centres: Any = faiss.IndexFlatIP(d)
        index = faiss.IndexIVFFlat(self._centres, d, n_lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = (seed + 1) % 2**31
        index.cp.max_points_per_centroid = 64
        index.cp.min_points_per_centroid = min(39, n)
        index.train(vectors)
        of_vectors = self._centres.search(vectors, 1)[1][:, 0]
        self._ids = np.argsort(of_vectors, kind="stable").astype(np.int32)
        self._vectors = vectors[self._ids]
        sizes = np.bincount(of_vectors, minlength=n_lists)
        self._bounds = np.concatenate([[0], np.cumsum(sizes)])
        self._n_probe = min(n_lists, n_probe or n_lists // 16 + 8)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Similarities ``(q, k)`` float32 and ids ``(q, k)`` int32, in no order; −inf and −1 where
        the lists hold fewer.

        Args:
            queries: ``(q, d)`` float32, contiguous.
            k: at least 1.
        """
        lists = self._centres.search(queries, self._n_probe)[1]
        sizes = np.where(lists < 0, 0, np.diff(self._bounds)[lists])
        best = np.full((len(queries), k), -np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int32)
        ends = np.cumsum(sizes.sum(axis=1))
        start = 0
        while start < len(queries):
            before = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + _MOST_PRODUCTS, "right")))
            part = slice(start, stop)
            self._search(queries[part], lists[part], sizes[part], best[part], ids[part])
            start = stop
        return best, ids

    def _search(
        self,
        queries: np.ndarray,
        lists: np.ndarray,
        sizes: np.ndarray,
        best: np.ndarray,
        ids: np.ndarray,
    ) -> None:
        begins = np.cumsum(sizes).reshape(sizes.shape) - sizes
        order = np.argsort(lists, axis=None, kind="stable")
        ends = np.searchsorted(lists.ravel()[order], np.arange(len(self._bounds)))
        asked, places = order // lists.shape[1], begins.ravel()[order]
        products, firsts = np.empty(int(sizes.sum()), np.float32), begins[:, 0].copy()

        def multiply(first: int, last: int) -> None:
            multiply_lists(
                queries, asked, ends, self._vectors, self._bounds, first, last, places, products
            )

        def choose(first: int, last: int) -> None:
            lists_of = lists, self._bounds, self._ids
            choose_best(*lists_of, products, firsts, first, last, best, ids)

        in_threads(multiply, len(self._bounds) - 1)
        in_threads(choose, len(queries), _FEWEST_QUERIES)
