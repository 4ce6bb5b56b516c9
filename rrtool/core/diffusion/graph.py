"""The k-nearest-neighbour graph of descriptors as a sparse matrix (thesis §2.4, eq. 2.1–2.3)."""

from dataclasses import dataclass

import numpy as np
from numba import get_num_threads, njit
from scipy import sparse

from rrtool.core.blocks import in_threads

SYMMETRIZATIONS = ("mutual", "sum")
_JOINED_ROWS = 1024


def edge_weight(similarities: np.ndarray, gamma: float) -> np.ndarray:
    """``s(u, v) = max(uᵀv, 0)^γ`` (§2.4), float32, of the shape of ``similarities``."""
    positive = np.maximum(similarities, 0).astype(np.float32)
    if gamma == 3:  # the default; NumPy's power takes twenty times as long
        return positive * positive * positive
    return positive ** np.float32(gamma)


def build_adjacency(
    neighbor_ids: np.ndarray,
    similarities: np.ndarray,
    gamma: float = 3.0,
    symmetrize: str = "mutual",
) -> sparse.csr_array:
    """The symmetric adjacency matrix W from lists of neighbours.

    Args:
        neighbor_ids: ``(n, k)`` int32, no vertex in its own list or twice in a list; −1 = none.
        similarities: ``(n, k)`` float32 inner products.
        symmetrize: ``mutual`` keeps the edges of vertices that list each other, at the smaller
            of both weights (eq. 2.1–2.2); ``sum`` adds both directions, as the authors' released
            label propagation does.

    Returns:
        ``(n, n)`` float32, columns sorted, zero diagonal, positive entries only.
    """
    if symmetrize not in SYMMETRIZATIONS:
        raise ValueError(f"unknown symmetrization {symmetrize!r}")
    if symmetrize == "sum":
        return _sum_of_directions(neighbor_ids, edge_weight(similarities, gamma))
    columns, values, degrees = _mutual_lists(neighbor_ids, similarities)
    taken = np.arange(neighbor_ids.shape[1]) < degrees[:, None]
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    # The weight grows with the similarity, so the smaller weight is that of the smaller one.
    matrix = _csr(indptr, columns[taken], edge_weight(values[taken], gamma))
    if not matrix.data.all():  # weights may underflow
        matrix.eliminate_zeros()
    return matrix


def _csr(indptr: np.ndarray, indices: np.ndarray, data: np.ndarray) -> sparse.csr_array:
    n = len(indptr) - 1
    matrix = sparse.csr_array((data, indices, indptr), shape=(n, n))
    matrix.has_sorted_indices = True
    return matrix


def _sum_of_directions(neighbor_ids: np.ndarray, weights: np.ndarray) -> sparse.csr_array:
    rows, places = np.nonzero((neighbor_ids >= 0) & (weights > 0))
    entries = (weights[rows, places], (rows, neighbor_ids[rows, places]))
    directed = sparse.coo_array(entries, shape=(len(weights),) * 2).tocsr()
    both = (directed + directed.T).tocsr()
    both.sort_indices()
    return both


def _mutual_lists(
    neighbor_ids: np.ndarray, similarities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neighbours that list each other, ascending, and the smaller of both similarities.

    Both are ``(n, k)``, of which the first ``degrees (n,)`` of each row count.
    """
    ids = np.ascontiguousarray(neighbor_ids, dtype=np.int32)
    values = np.ascontiguousarray(similarities, dtype=np.float32)
    n = len(ids)
    starts = np.zeros(n + 1, dtype=np.int64)
    _count_listed(ids, values, starts)
    np.cumsum(starts, out=starts)
    sources = np.empty(starts[n], dtype=np.int32)
    listed_values = np.empty(starts[n], dtype=np.float32)
    _reverse_lists(ids, values, starts[:-1].copy(), sources, listed_values)
    columns, smaller = np.empty(ids.shape, dtype=np.int32), np.empty(ids.shape, dtype=np.float32)
    degrees = np.zeros(n, dtype=np.int64)

    def match(start: int, stop: int) -> None:
        place = np.zeros(n, dtype=np.int32)
        lists = ids, values, starts, sources, listed_values
        _match_lists(*lists, start, stop, place, columns, smaller, degrees)

    # One block a thread, for each takes a table of all vertices.
    in_threads(match, n, fewest_rows=-(-n // get_num_threads()) or 1)
    return columns, smaller, degrees


@njit(cache=True, nogil=True, error_model="numpy")
def _count_listed(neighbor_ids, similarities, counts):
    """For each vertex i how many vertices list it, in ``counts[i + 1]``."""
    for i in range(neighbor_ids.shape[0]):
        for a in range(neighbor_ids.shape[1]):
            if neighbor_ids[i, a] >= 0 and similarities[i, a] > 0:
                counts[neighbor_ids[i, a] + 1] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _reverse_lists(neighbor_ids, similarities, ends, sources, values):
    """For each vertex the vertices that list it, ascending, and with what similarity.

    ``ends`` tells where the list of each begins, and afterwards where it ends.
    """
    for i in range(neighbor_ids.shape[0]):
        for a in range(neighbor_ids.shape[1]):
            j = neighbor_ids[i, a]
            if j >= 0 and similarities[i, a] > 0:
                sources[ends[j]], values[ends[j]] = i, similarities[i, a]
                ends[j] += 1


@njit(cache=True, nogil=True, error_model="numpy")
def _match_lists(
    neighbor_ids, similarities, starts, sources, values, first, last, place, columns, smaller,
    degrees,
):  # fmt: skip
    """As ``_mutual_lists``, for the rows from ``first`` to ``last``.

    Args:
        place: ``(n,)`` zeros, of a vertex in the list at hand, from 1.
    """
    k = neighbor_ids.shape[1]
    for i in range(first, last):
        for a in range(k):
            if neighbor_ids[i, a] >= 0 and similarities[i, a] > 0:
                place[neighbor_ids[i, a]] = a + 1
        for e in range(starts[i], starts[i + 1]):
            a = place[sources[e]] - 1
            if a >= 0:
                columns[i, degrees[i]] = sources[e]
                smaller[i, degrees[i]] = min(values[e], similarities[i, a])
                degrees[i] += 1
        for a in range(k):
            if neighbor_ids[i, a] >= 0:
                place[neighbor_ids[i, a]] = 0


def join_queries(
    neighbor_ids: np.ndarray, similarities: np.ndarray, database: np.ndarray, queries: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lists of neighbours of database and queries together, exact as if searched anew.

    Args:
        neighbor_ids, similarities: ``(n, k)`` lists of the database.
        database: ``(n, d)`` float32; rows that are no vertices are zero.
        queries: ``(q, d)`` float32; likewise.

    Returns:
        Ids and similarities ``(n + q, k)``, query j being vertex ``n + j``; best first, equal
        similarities by id; −1 and 0 where there is no positively similar one left.
    """
    n, k = neighbor_ids.shape
    query_ids = np.arange(n, n + len(queries), dtype=np.int32)
    best = []
    for start in range(0, n, _JOINED_ROWS):
        rows = slice(start, start + _JOINED_ROWS)
        to_queries = database[rows] @ queries.T
        candidates = np.broadcast_to(query_ids, to_queries.shape)
        ids = np.concatenate([neighbor_ids[rows], candidates], axis=1)
        values = np.concatenate([similarities[rows], to_queries], axis=1)
        best.append(_best(ids, values, k))
    everything = np.concatenate([database, queries])
    all_ids = np.arange(len(everything), dtype=np.int32)
    for j in range(len(queries)):
        to_all = everything @ queries[j]
        to_all[n + j] = 0
        best.append(_best(all_ids[None], to_all[None], k))
    return np.concatenate([ids for ids, _ in best]), np.concatenate([values for _, values in best])


def _best(ids: np.ndarray, values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` positive entries of each row with the largest values, ties by id."""
    values = np.where((ids >= 0) & (values > 0), values, 0)
    order = np.lexsort((ids, -values), axis=1)[:, :k]
    values = np.take_along_axis(values, order, axis=1).astype(np.float32)
    ids = np.where(values > 0, np.take_along_axis(ids, order, axis=1), -1)
    return ids.astype(np.int32), values


def normalize(adjacency: sparse.csr_array) -> sparse.csr_array:
    """``W_n = D^{-1/2} W D^{-1/2}`` (eq. 2.3) with 0/0 = 0; float64, same structure."""
    # Not adjacency.sum(dtype=…): it adds up in float32 and converts the result.
    degrees = adjacency @ np.ones(adjacency.shape[0])
    scale = np.zeros(len(degrees))
    np.divide(1, np.sqrt(degrees), out=scale, where=degrees > 0)
    rows = np.repeat(scale, np.diff(adjacency.indptr))
    data = adjacency.data * rows * scale[adjacency.indices]
    return _csr(adjacency.indptr, adjacency.indices, data)


def locality_ordering(adjacency: sparse.csr_array) -> np.ndarray:
    """An order that puts neighbours close together (reverse Cuthill–McKee), ``(n,)`` int32.

    Products of the matrix with many vectors are several times faster in it, for they find the
    rows of their operand in the cache. It changes no result but by rounding.
    """
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    if not adjacency.shape[0]:
        return np.zeros(0, dtype=np.int32)
    return reverse_cuthill_mckee(adjacency, symmetric_mode=True).astype(np.int32)


def permute(matrix: sparse.csr_array, order: np.ndarray) -> sparse.csr_array:
    """``M[order][:, order]``, columns sorted."""
    permuted = matrix[order][:, order].tocsr()
    permuted.sort_indices()
    return permuted


@dataclass(frozen=True)
class GraphStatistics:
    """What a graph can bear.

    Attributes:
        n_vertices, n_edges: edges are undirected.
        n_isolated: vertices without an edge.
        n_components: connected components that are not isolated vertices.
        largest_component: its number of vertices.
        mean_degree: number of edges at a vertex, on average.
        mutual_fraction: of the directed neighbours, how many list each other.
    """

    n_vertices: int
    n_edges: int
    n_isolated: int
    n_components: int
    largest_component: int
    mean_degree: float
    mutual_fraction: float


def graph_statistics(adjacency: sparse.csr_array, neighbor_ids: np.ndarray) -> GraphStatistics:
    """Statistics of a symmetric adjacency matrix and the lists of neighbours it was built from.

    Args:
        adjacency: ``(n, n)``, columns sorted.
        neighbor_ids: ``(n, k)``, −1 = none.
    """
    from scipy.sparse.csgraph import connected_components

    degrees = np.diff(adjacency.indptr)
    _, labels = connected_components(adjacency, directed=False)
    sizes = np.bincount(labels, minlength=1)
    directed = int((neighbor_ids >= 0).sum())
    mutual = int(_mutual_lists(neighbor_ids, np.ones(neighbor_ids.shape))[2].sum())
    return GraphStatistics(
        n_vertices=adjacency.shape[0],
        n_edges=adjacency.nnz // 2,
        n_isolated=int((degrees == 0).sum()),
        n_components=int((sizes > 1).sum()),
        largest_component=int(sizes.max(initial=0)),
        mean_degree=float(degrees.mean()) if len(degrees) else 0.0,
        mutual_fraction=mutual / directed if directed else 0.0,
    )
