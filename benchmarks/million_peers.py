"""The peers of ``million.py``: what others take for the same, each as a process of its own.

``python benchmarks/million_peers.py PEER FOLDER``; the folder is the one that ``million.py`` fills.
Everything is read plainly with h5py, and the work is done by faiss and SciPy, with the settings,
the precision and the order of vertices that rrtool has.
"""

from __future__ import annotations

import sys
from pathlib import Path

import h5py
import numpy as np
from scipy import sparse
from scipy.sparse.linalg import LinearOperator, cg

TOP, TRUNCATE = 1000, 10_000
K, N_SEEDS, GAMMA = 50, 10, 3
ALPHA, TOLERANCE, MAX_ITERATIONS = 0.99, 1e-6, 20


def search(folder: Path) -> None:
    """Exact search without an index."""
    import faiss

    database, queries = _vectors(folder)
    k = min(TOP, len(database))
    _, ids = faiss.knn(queries, database, k, metric=faiss.METRIC_INNER_PRODUCT)
    np.save(folder / "peer-search.npy", ids)


def neighbors(folder: Path) -> None:
    """The lists of neighbours alone, by faiss's small-world index as it is."""
    import faiss

    database, _ = _vectors(folder)
    index = faiss.IndexHNSWFlat(database.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 60, 2 * K
    index.add(database)
    _, ids = index.search(database, K + 1)
    np.save(folder / "peer-neighbors.npy", ids)


def katz(folder: Path) -> None:
    """SciPy's conjugate gradients to 1e-6 in float64."""
    matrix, order = _normalized(folder)
    right = np.full(len(order), 1 - ALPHA)
    values = np.empty(len(order))
    values[order], _ = cg(_system(matrix.astype(np.float64)), right, rtol=TOLERANCE, maxiter=100)
    np.save(folder / "peer-katz.npy", values)


def whole(folder: Path) -> None:
    """SciPy's conjugate gradients in float32, one query after the other, on the whole graph."""
    matrix, order = _normalized(folder)
    database, queries = _vectors(folder)
    ids, weights = _seeds(database, queries)
    system, place, found = _system(matrix), np.argsort(order), []
    for query, vertices, weight in zip(queries, ids, weights, strict=True):
        g = np.zeros(len(order), dtype=np.float32)
        g[place[vertices]] = (1 - ALPHA) * weight
        x, _ = cg(system, g, rtol=TOLERANCE, maxiter=MAX_ITERATIONS)
        found.append(order[_first(x, (database @ query)[order])])
    np.save(folder / "peer-whole.npy", found)


def truncated(folder: Path) -> None:
    """The same on the sub-graph of the vertices nearest to each query, cut out by SciPy."""
    matrix, order = _normalized(folder)
    database, queries = _vectors(folder)
    ids, weights = _seeds(database, queries)
    place, found = np.argsort(order), []
    for query, vertices, weight in zip(queries, ids, weights, strict=True):
        similarities = database @ query
        nearest = np.argpartition(-similarities, TRUNCATE)[:TRUNCATE]
        rows = np.sort(place[nearest])
        g = np.zeros(len(rows))
        g[np.searchsorted(rows, place[vertices])] = (1 - ALPHA) * weight
        part = matrix[rows][:, rows].astype(np.float64)
        x, _ = cg(_system(part), g, rtol=TOLERANCE, maxiter=MAX_ITERATIONS)
        found.append(order[rows[_first(x, similarities[order[rows]])]])
    np.save(folder / "peer-truncated.npy", found)


def _vectors(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    with h5py.File(folder / "database.h5") as d, h5py.File(folder / "queries.h5") as q:
        return d["descriptors"][:], q["descriptors"][:]


def _normalized(folder: Path) -> tuple[sparse.csr_array, np.ndarray]:
    """The normalised adjacency in an order that keeps neighbours together, and this order."""
    with h5py.File(folder / "graph.h5") as graph:
        csr = graph["weights"][:], graph["indices"][:], graph["indptr"][:]
        order = graph["ordering"][:]
    adjacency = sparse.csr_array(csr, shape=(len(order),) * 2)
    degrees = adjacency.sum(axis=1)
    scale = np.where(degrees > 0, degrees, 1) ** -0.5
    scale = sparse.dia_array((scale[None], [0]), shape=adjacency.shape).astype(np.float32)
    return (scale @ adjacency @ scale).tocsr()[order][:, order], order


def _system(matrix: sparse.csr_array) -> LinearOperator:
    def apply(x: np.ndarray) -> np.ndarray:
        return x - matrix.dtype.type(ALPHA) * (matrix @ x)

    return LinearOperator(matrix.shape, matvec=apply, dtype=matrix.dtype)


def _seeds(database: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The vertices that a diffusion starts from, and their weights."""
    import faiss

    similarities, ids = faiss.knn(queries, database, N_SEEDS, metric=faiss.METRIC_INNER_PRODUCT)
    return ids, np.maximum(similarities, 0) ** GAMMA


def _first(x: np.ndarray, similarities: np.ndarray) -> np.ndarray:
    """The best vertices, behind those that were reached the most similar."""
    scores = np.where(x > 0, 2 + x.astype(np.float64), similarities)
    nearest = np.argpartition(-scores, TOP)[:TOP]
    return nearest[np.argsort(-scores[nearest], kind="stable")]


PEERS = {peer.__name__: peer for peer in (search, neighbors, katz, whole, truncated)}

if __name__ == "__main__":
    PEERS[sys.argv[1]](Path(sys.argv[2]))
