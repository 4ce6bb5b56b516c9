"""Betweenness and closeness on the edge cost ‖v_i − v_j‖ (thesis §5.3.7).

The cost comes from the cosine similarity that the k-NN lists hold, not from the weights of the
graph. networkit does the work; it takes seconds to import, and is optional.
"""

import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from scipy.sparse import csr_array, triu
from scipy.sparse.csgraph import connected_components, dijkstra

from rrtool.core.blocks import INNER
from rrtool.errors import WorkFailed

# Costs are whole multiples of it. Sums of such numbers are exact, so two paths of the same edges'
# costs tie whatever the order of the vertices; the similarities' own rounding is far coarser.
COST_UNIT = 2.0**-30


def edge_costs(
    adjacency: csr_array, neighbor_ids: np.ndarray, similarities: np.ndarray
) -> csr_array:
    """The cost of every edge, ``‖v_i − v_j‖ = √(2 − 2 s_ij)`` for unit vectors.

    Costs are rounded to multiples of ``COST_UNIT`` (2⁻³⁰), and no edge costs less than that:
    between duplicates, paths could not be counted at a cost of 0.

    Args:
        adjacency: ``(n, n)``; its edges (of positive weight), not its weights, are used.
        neighbor_ids: ``(n, k)`` integers, the k-NN lists, −1 where they end.
        similarities: ``(n, k)``, cosine similarity of each entry. Where both ends list each other
            the smaller counts, as in the graph's weights (2.1–2.2); their difference is rounding.

    Returns:
        ``(n, n)`` float64, symmetric.

    Raises:
        ValueError: an edge is in neither end's list.
    """
    edges = adjacency
    if not edges.data.all():
        edges = edges.copy()
        edges.eliminate_zeros()
    found = np.empty(len(edges.indices))
    _look_up(
        edges.indptr.astype(np.int64, copy=False),
        edges.indices.astype(np.int32, copy=False),
        np.ascontiguousarray(neighbor_ids, dtype=np.int32),
        np.ascontiguousarray(similarities),
        found,
    )
    missing = np.flatnonzero(np.isnan(found))
    if len(missing):
        row = int(np.searchsorted(edges.indptr, missing[0], side="right")) - 1
        raise ValueError(
            f"the edge {row}–{edges.indices[missing[0]]} is in neither end's neighbor list"
        )
    costs = np.sqrt(np.maximum(2.0 - 2.0 * found, 0.0))
    costs = np.maximum(np.rint(costs / COST_UNIT), 1.0) * COST_UNIT
    return csr_array((costs, edges.indices, edges.indptr), shape=edges.shape)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _look_up(indptr, indices, neighbor_ids, similarities, found):
    """Fills in the smallest similarity that either end's list gives each stored entry.

    NaN if neither does.
    """
    for i in range(len(indptr) - 1):
        for position in range(indptr[i], indptr[i + 1]):
            j = indices[position]
            of_i = _listed(neighbor_ids, similarities, i, j)
            of_j = _listed(neighbor_ids, similarities, j, i)
            found[position] = of_i if of_i <= of_j or np.isnan(of_j) else of_j


@numba.njit(**INNER)
def _listed(neighbor_ids, similarities, i, other):
    """The similarity of ``other`` in the list of i; NaN if it isn't there."""
    for rank in range(neighbor_ids.shape[1]):
        if neighbor_ids[i, rank] == other:
            return float(similarities[i, rank])
    return np.nan


def betweenness(costs: csr_array, *, samples: int | None = None, seed: int = 0) -> np.ndarray:
    """How many shortest paths between two other vertices pass through each vertex.

    Of several shortest paths between two vertices each counts its part. Every unordered pair
    counts once; vertices on no path, isolated ones among them, have 0.

    Args:
        costs: ``(n, n)`` from ``edge_costs``.
        samples: None for the exact value, in O(n·(m + n log n)); else the number of source
            vertices (drawn with replacement) from which it is estimated, as of Geisberger,
            Sanders and Schultes; at least n gives the exact value.
        seed: of the sample.

    Returns:
        ``(n,)`` float64, not normalised.

    Raises:
        WorkFailed: networkit is not installed.
    """
    n = costs.shape[0]
    networkit = _networkit("betweenness")
    if costs.nnz == 0:
        return np.zeros(n)
    graph = _to_networkit(networkit, costs)
    if samples is None or samples >= n:
        algorithm = networkit.centrality.Betweenness(graph)
    else:
        networkit.setSeed(seed, False)
        algorithm = networkit.centrality.EstimateBetweenness(graph, samples)
    _run(algorithm)
    # networkit counts ordered pairs; pairs that cancel may leave rounding noise below 0.
    return np.maximum(np.asarray(algorithm.scores()) / 2.0, 0.0)


def closeness(
    costs: csr_array,
    *,
    samples: int | None = None,
    seed: int = 0,
    advance: Callable[[int], None] = lambda n: None,
) -> np.ndarray:
    """Inverse of the mean distance to the vertices that each vertex reaches.

    Of Wasserman and Faust: a vertex that reaches r − 1 of the n − 1 others at a mean distance d̄
    has ``(r − 1)/(n − 1) / d̄``, as in NetworkX; an isolated vertex has 0. The thesis's formula,
    a sum of inverse distances, differs: its text says the inverse of the average, which this is.

    Args:
        costs: ``(n, n)`` from ``edge_costs``.
        samples: None for the exact value; else the mean distance is taken over that many sampled
            vertices of each component (all of them in a smaller one, which then is exact). At
            least 2, for a vertex's distance to itself doesn't count.
        seed: of the sample.
        advance: called with the number of samples done.

    Returns:
        ``(n,)`` float64.

    Raises:
        WorkFailed: networkit is not installed, and samples is None.
    """
    if samples is not None:
        return _sampled_closeness(costs, samples, seed, advance)
    networkit = _networkit("closeness")
    if costs.nnz == 0:
        return np.zeros(costs.shape[0])
    algorithm = networkit.centrality.Closeness(
        _to_networkit(networkit, costs), False, networkit.centrality.ClosenessVariant.GENERALIZED
    )
    _run(algorithm)
    return np.asarray(algorithm.scores())


def _sampled_closeness(
    costs: csr_array, samples: int, seed: int, advance: Callable[[int], None]
) -> np.ndarray:
    """One round takes one source in every component: they don't meet, so one search serves all."""
    n = costs.shape[0]
    _, labels = connected_components(costs, directed=False)
    sizes = np.bincount(labels)
    order, turns = _draw_sources(labels, sizes, seed)
    sums = np.zeros(n)
    for turn in range(min(samples, int(sizes.max(initial=0)))):
        sources = order[(turns == turn) & (sizes[labels[order]] > 1)]
        if len(sources):
            distances = dijkstra(costs, directed=True, indices=sources, min_only=True)
            sums += np.where(np.isfinite(distances), distances, 0.0)
        advance(1)
    is_source = np.zeros(n, dtype=bool)
    is_source[order[turns < samples]] = True
    counts = np.minimum(samples, sizes[labels]) - is_source
    values = np.zeros(n)
    reached = sums > 0
    reachable = (sizes[labels][reached] - 1) / max(n - 1, 1)
    values[reached] = reachable * counts[reached] / sums[reached]
    return values


def _draw_sources(
    labels: np.ndarray, sizes: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """All vertices, component by component in random order, and each one's turn in its own."""
    order = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
    starts = np.cumsum(sizes) - sizes
    return order, np.arange(len(labels)) - starts[labels[order]]


def _to_networkit(networkit: Any, costs: csr_array) -> Any:
    upper = triu(costs, k=1, format="coo")
    ends = (upper.row.astype(np.uint64), upper.col.astype(np.uint64))
    return networkit.GraphFromCoo((upper.data, ends), n=costs.shape[0], weighted=True)


def _run(algorithm: Any) -> None:
    """Run it in a thread, for Python sees no interrupt before networkit's C++ returns.

    Raises:
        KeyboardInterrupt: the run was interrupted, maybe seen by networkit's own handler.
    """
    failures: list[Exception] = []

    def work() -> None:
        try:
            algorithm.run()
        except (RuntimeError, MemoryError) as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)  # the process needn't wait for it
    thread.start()
    thread.join()
    for error in failures:
        if "SIGINT" in str(error):
            raise KeyboardInterrupt
        raise error


def _networkit(measure: str) -> Any:
    try:
        import networkit
    except ImportError:
        raise WorkFailed(
            f"{measure} needs networkit, which is not installed",
            todo="pip install networkit (or rrtool[centrality])",
        ) from None
    return networkit
