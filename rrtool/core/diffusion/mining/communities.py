"""Communities of a graph, and groups of images that show the same thing.

Communities of largest modularity (Blondel et al., 2008, "Louvain"): parts of a graph with more
weight within them than their degrees would give by chance. A wrong edge between two of them does
not make them one, as it does with connected components, of which a graph of neighbours soon has a
single one.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from rrtool.core.diffusion.mining.communities_numba import move_vertices

# Of all weights, what a move must gain: below it rounding may move vertices in circles.
_LEAST_GAIN = 1e-10


def communities(adjacency: sparse.csr_array, seed: int) -> np.ndarray:
    """The community of each vertex, ``(n,)`` int32 from 0, in the order of their first vertices.

    Args:
        adjacency: ``(n, n)`` symmetric, not negative, zero diagonal. A vertex without an edge is a
            community of its own.
        seed: of the order in which vertices are looked at; the order of the rows may tell what
            belongs together.
    """
    generator = np.random.default_rng(seed)
    whole = graph = adjacency.astype(np.float64)
    labels = np.arange(whole.shape[0])
    while True:
        n = graph.shape[0]
        joined = _numbered(_moved(graph, np.arange(n), generator))
        labels = joined[labels]
        if joined.max(initial=-1) + 1 == n:
            break
        member = sparse.csr_array((np.ones(n), (np.arange(n), joined)))
        graph = (member.T @ graph @ member).tocsr()
    # What moved together may do better alone.
    return _numbered(_moved(whole, labels, generator)).astype(np.int32)


def _moved(
    graph: sparse.csr_array, labels: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """Communities of which no vertex gains by a move."""
    found = labels.astype(np.int64)
    order = generator.permutation(len(labels))
    n = len(order)
    indptr, indices = (
        graph.indptr.astype(np.int64, copy=False),
        graph.indices.astype(np.int32, copy=False),
    )
    degrees, links, near = np.zeros(n), np.zeros(n), np.empty(n, np.int64)
    totals = np.zeros(n)
    move_vertices(
        indptr, indices, graph.data, order, found, _LEAST_GAIN, degrees, totals, links, near
    )
    return found


def joined_groups(labels: np.ndarray, links: np.ndarray, fewest: int = 2) -> np.ndarray:
    """Communities of which several links lead to another are one group.

    Args:
        labels: ``(n,)`` communities, from 0.
        links: ``(m, 2)`` pairs of vertices, each pair once.
        fewest: links that join two; one alone may be wrong.

    Returns:
        ``(n,)`` int32 groups, numbered by their first vertices.
    """
    from scipy.sparse.csgraph import connected_components

    ends, counts = np.unique(np.sort(labels[links], axis=1), axis=0, return_counts=True)
    first, second = ends[counts >= fewest].T
    n = int(labels.max(initial=-1)) + 1
    graph = sparse.coo_array((np.ones(len(first)), (first, second)), shape=(n, n))
    if not n:
        return np.zeros(0, np.int32)
    return _numbered(connected_components(graph, directed=False)[1][labels]).astype(np.int32)


def _numbered(labels: np.ndarray) -> np.ndarray:
    """The same labels, from 0 in the order in which they come first."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
