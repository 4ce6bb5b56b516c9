"""k nearest neighbours by inner product: exact or approximate, never n × n in memory."""

from dataclasses import dataclass
from typing import Any

import numpy as np

METHODS = ("exact", "ivf", "hnsw")
RECALL = 0.99  # that inverted lists are searched for
_FEWEST_LISTS = 8
_BLOCK_BYTES = 256 << 20


@dataclass(frozen=True)
class KnnOptions:
    """How neighbours are found.

    Attributes:
        k: neighbours of each row, itself not counted; at least 1.
        method: ``exact``; ``ivf`` (inverted lists) and ``hnsw`` (small-world graph) need faiss
            and may miss some. HNSW built by several threads differs a little from run to run.
        device: of the exact search.
        seed: of the clustering.
        n_probe: of the inverted lists, how many are searched; None: as many as find ``RECALL`` of
            the neighbours of a sample of the rows, but at most 64 and a sixteenth: where there is
            nothing near, neighbours are chance and in all lists.
    """

    k: int = 50
    method: str = "exact"
    device: str = "cpu"
    seed: int = 0
    n_probe: int | None = None


class Searcher:
    """Finds the nearest database rows of queries.

    Args:
        vectors: ``(n, d)`` float32, finite.

    Raises:
        ImportError: an approximate method without faiss.
    """

    def __init__(self, vectors: np.ndarray, options: KnnOptions) -> None:
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._options = options
        is_exact = options.method == "exact"
        self._index: Any = None if is_exact else _build_index(self._vectors, options)
        self._faiss = _faiss_or_none() if options.device == "cpu" else None
        if options.method == "ivf" and options.n_probe is None:
            self._search_enough_lists()

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` most similar rows of each query.

        Args:
            queries: ``(q, d)`` float32.
            k: at most ``n``.

        Returns:
            ``ids (q, k)`` int32, −1 where an approximate method found fewer, and
            ``similarities (q, k)`` float32, best first, equal ones by id. Which of equal rows at
            the end of a list are in it is left to the backend.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if not len(queries) or not k:
            return np.zeros((len(queries), k), np.int32), np.zeros((len(queries), k), np.float32)
        if self._index is not None:
            similarities, ids = self._index.search(queries, k)
            if self._options.method == "ivf":  # in order already
                return ids, np.where(ids < 0, 0, similarities)
        elif self._faiss is not None:
            similarities, ids = self._faiss.knn(
                queries, self._vectors, k, metric=self._faiss.METRIC_INNER_PRODUCT
            )
        else:
            similarities, ids = _search_torch(queries, self._vectors, k, self._options.device)
        return _in_order(ids.astype(np.int32), similarities)

    def neighbors(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` nearest of some of the rows themselves, each without itself.

        A row is removed from its own list by its id: duplicates of it stay.

        Args:
            rows: ``(q,)`` ids.

        Returns:
            As ``search``.
        """
        k = self._options.k
        ids, similarities = self.search(self._vectors[rows], min(k + 1, len(self._vectors)))
        itself = ids == np.asarray(rows)[:, None]
        # A row with more copies than its list holds may not find itself: then the last one goes.
        itself[~itself.any(axis=1), -1] = True
        shape = (len(ids), ids.shape[1] - 1)
        ids, similarities = ids[~itself].reshape(shape), similarities[~itself].reshape(shape)
        missing = k - ids.shape[1]
        if missing > 0:
            ids = np.pad(ids, ((0, 0), (0, missing)), constant_values=-1)
            similarities = np.pad(similarities, ((0, 0), (0, missing)))
        return ids, similarities

    def sampled_recall(self, n: int = 1000) -> float:
        """Of the exact neighbours of a sample of ``n`` rows, how many are found; see ``recall``."""
        sample = self._sample(n, self._options.seed)
        return self._recall(sample, self._exact_neighbors(sample))

    def _search_enough_lists(self) -> None:
        """By another sample than that whose recall is told."""
        sample = self._sample(1000, self._options.seed + 1)
        exact = self._exact_neighbors(sample)
        most = 64 + len(self._index.centres) // 16
        while self._index.n_probe < most and self._recall(sample, exact) < RECALL:
            self._index.n_probe = min(2 * self._index.n_probe, most)

    def _sample(self, n: int, seed: int) -> np.ndarray:
        n = min(len(self._vectors), n)
        return np.sort(np.random.default_rng(seed).choice(len(self._vectors), n, replace=False))

    def _exact_neighbors(self, rows: np.ndarray) -> np.ndarray:
        """Their similarities."""
        return Searcher(self._vectors, KnnOptions(self._options.k)).neighbors(rows)[1]

    def _recall(self, rows: np.ndarray, exact: np.ndarray) -> float:
        ids, found = self.neighbors(rows)
        return recall(np.where(ids < 0, -np.inf, found), exact)


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """What part of the exact neighbours was found, by similarity so that ties count.

    Args:
        found: ``(q, k)`` similarities, −inf where there is none.
        exact: ``(q, k)`` similarities, best first.
    """
    if not exact.size:
        return 1.0
    tolerance = 1e-6
    return float((found >= exact[:, -1:] - tolerance).sum() / exact.size)


def _in_order(ids: np.ndarray, similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Best first, equal similarities by id, missing entries (−1) last with similarity 0."""
    similarities = np.where(ids < 0, -np.inf, similarities)
    order = np.lexsort((ids, -similarities), axis=1)
    ids = np.take_along_axis(ids, order, axis=1)
    similarities = np.take_along_axis(similarities, order, axis=1)
    return ids, np.where(ids < 0, 0, similarities).astype(np.float32)


def has_faiss() -> bool:
    """Whether the approximate methods are there."""
    return _faiss_or_none() is not None


def _faiss_or_none() -> Any:
    try:
        import faiss
    except ImportError:
        return None
    return faiss


def _build_index(vectors: np.ndarray, options: KnnOptions) -> Any:
    import faiss

    if options.method == "hnsw":
        hnsw = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        hnsw.hnsw.efConstruction = 60
        hnsw.hnsw.efSearch = max(64, 2 * options.k)
        hnsw.add(vectors)
        return hnsw
    from rrtool.core.diffusion.approximate.inverted_lists import InvertedLists

    return InvertedLists(vectors, options.seed, options.n_probe or _FEWEST_LISTS)


def _search_torch(
    queries: np.ndarray, vectors: np.ndarray, k: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """Exact search by matrix products, database block by block; any ``k``, CPU or CUDA."""
    import torch

    block = max(k, _BLOCK_BYTES // (4 * len(queries)))
    wanted = torch.from_numpy(queries).to(device)
    best = torch.empty((len(queries), 0), device=device)
    best_ids = torch.empty((len(queries), 0), dtype=torch.int64, device=device)
    for start in range(0, len(vectors), block):
        part = torch.from_numpy(vectors[start : start + block]).to(device)
        similarities, ids = torch.topk(wanted @ part.T, min(k, len(part)), dim=1)
        best = torch.cat([best, similarities], dim=1)
        best_ids = torch.cat([best_ids, ids + start], dim=1)
        best, places = torch.topk(best, min(k, best.shape[1]), dim=1)
        best_ids = best_ids.gather(1, places)
    return best.cpu().numpy(), best_ids.cpu().numpy()
