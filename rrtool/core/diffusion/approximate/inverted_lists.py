"""Inverted lists whose search multiplies list by list.

Faiss clusters the vectors. Its search then goes through the lists query by query, one product of
two vectors after the other. Where thousands of queries come at once, as the patches of a photo do,
many ask for the same list: multiplied together, six of them with 16 vectors, all sums stay in
registers. The neighbours are the same, their similarities but for rounding.
"""

import numpy as np

from rrtool.core.blocks import in_threads
from rrtool.core.diffusion.approximate.inverted_lists_numba import (
    BLOCK,
    choose_best,
    multiply_lists,
)

_MOST_PRODUCTS = 1 << 24  # at a time: 64 MiB
_FEWEST_QUERIES = 64  # of a thread
_CENTRES = 128  # that stay in the cache, while queries go by


class InvertedLists:
    """Finds the most similar vectors in the lists whose centres a query is most similar to.

    Args:
        vectors: ``(n, d)`` float32, finite.
        seed: of the clustering.
        n_probe: lists that are searched, or all if there are fewer.

    Attributes:
        centres: ``(n_lists, d)`` float32.
        n_probe: see above; may be set.

    Raises:
        ImportError: without faiss.
    """

    def __init__(self, vectors: np.ndarray, seed: int, n_probe: int) -> None:
        import faiss

        n, d = vectors.shape
        # At least 39 points a list: below that, faiss warns of a poor clustering (even of one).
        n_lists = max(1, min(int(4 * np.sqrt(n)), n // 39))
        quantizer = faiss.IndexFlatIP(d)
        index = faiss.IndexIVFFlat(quantizer, d, n_lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = (seed + 1) % 2**31
        index.cp.max_points_per_centroid = 64
        index.cp.min_points_per_centroid = min(39, n)
        index.train(vectors)
        self.centres: np.ndarray = quantizer.reconstruct_n(0, n_lists)
        # The centres are searched as vectors are, in all their lists.
        self._quantizer = _Lists(self.centres, np.arange(n_lists) // _CENTRES)
        self._lists = _Lists(vectors, quantizer.search(vectors, 1)[1][:, 0], n_lists)
        self.n_probe = n_probe

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Similarities ``(q, k)`` float32 and ids ``(q, k)`` int32, the most similar first, equal
        ones by id; −inf and −1 where the lists hold fewer.

        Args:
            queries: ``(q, d)`` float32, contiguous.
            k: at least 1.
        """
        everything = np.arange(self._quantizer.n_lists, dtype=np.int32)
        everywhere = np.tile(everything, (len(queries), 1))
        # The nearest come first: what follows is seldom among the best.
        n_probe = min(self.n_probe, len(self.centres))
        lists = self._quantizer.search(queries, everywhere, n_probe)[1]
        return self._lists.search(queries, lists, k)


class _Lists:
    """Vectors in lists, and in blocks within these, the last of which zeros fill up.

    Args:
        vectors: ``(n, d)`` float32.
        list_of: ``(n,)`` the list of each.
        n_lists: the last ones may be empty; None: as many as there are.
    """

    def __init__(
        self, vectors: np.ndarray, list_of: np.ndarray, n_lists: int | None = None
    ) -> None:
        self.n_lists = n_lists or int(list_of.max()) + 1
        self._ids = np.argsort(list_of, kind="stable").astype(np.int32)
        sizes = np.bincount(list_of, minlength=self.n_lists)
        self._bounds = _bounds(sizes)
        self._sizes = -(-sizes // BLOCK)  # in blocks
        self._block_bounds = _bounds(self._sizes)
        d = vectors.shape[1]
        blocks = np.zeros((self._block_bounds[-1], d, BLOCK), np.float32)
        for i in range(self.n_lists):
            own = vectors[self._ids[self._bounds[i] : self._bounds[i + 1]]]
            filled = np.zeros((self._sizes[i] * BLOCK, d), np.float32)
            filled[: len(own)] = own
            turned = filled.reshape(-1, BLOCK, d).swapaxes(1, 2)
            blocks[self._block_bounds[i] : self._block_bounds[i + 1]] = turned
        self._blocks = blocks.reshape(-1, BLOCK)
        # Of the products, kept from search to search: what is touched first costs a page fault.
        self._room = np.empty((0, BLOCK), np.float32)

    def search(
        self, queries: np.ndarray, lists: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As ``InvertedLists.search``, in the ``lists (q, p)`` of each query; −1 = none."""
        sizes = np.where(lists < 0, 0, self._sizes[lists])
        best = np.full((len(queries), k), -np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int32)
        ends = BLOCK * np.cumsum(sizes.sum(axis=1))
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
        # Small numbers are sorted faster; those of no list come last.
        numbers = np.where(lists < 0, self.n_lists, lists)
        numbers = numbers.ravel().astype(np.min_scalar_type(self.n_lists))
        order = np.argsort(numbers, kind="stable")
        ends = np.searchsorted(numbers[order], np.arange(self.n_lists + 1))
        asked, places = order // lists.shape[1], begins.ravel()[order]
        n_products = int(sizes.sum())
        products, self._room = self._room, self._room[:0]  # another thread makes its own
        if len(products) < n_products:
            products = np.empty((n_products, BLOCK), np.float32)
        flat, firsts = products.reshape(-1), BLOCK * begins[:, 0]

        def multiply(first: int, last: int) -> None:
            vectors = self._blocks, self._block_bounds
            multiply_lists(queries, asked, ends, *vectors, first, last, places, products)

        def choose(first: int, last: int) -> None:
            vectors = self._bounds, self._ids
            choose_best(lists, *vectors, flat, firsts, first, last, best, ids)

        in_threads(multiply, self.n_lists)
        in_threads(choose, len(queries), _FEWEST_QUERIES)
        self._room = products


def _bounds(sizes: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)])
