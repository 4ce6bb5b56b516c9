"""The graph against plain dense matrices, an exact search anew, and networkx."""

from __future__ import annotations

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from rrtool.core.diffusion import graph as graph_module
from rrtool.core.diffusion.graph import (
    build_adjacency,
    edge_weight,
    graph_statistics,
    join_queries,
    locality_ordering,
    normalize,
    permute,
)
from rrtool.core.diffusion.knn import KnnOptions, Searcher


@st.composite
def neighbor_lists(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Lists in any order, with missing entries anywhere and values of any sign."""
    n, k = draw(st.integers(1, 12)), draw(st.integers(1, 6))
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    ids = np.full((n, k), -1, np.int32)
    for i in range(n):
        others = generator.permutation(np.delete(np.arange(n), i))[:k]
        ids[i, : len(others)] = others
        ids[i] = np.where(generator.random(k) < 0.2, -1, generator.permutation(ids[i]))
    return ids, generator.uniform(-0.5, 1, (n, k)).astype(np.float32)


def dense_adjacency(
    ids: np.ndarray, similarities: np.ndarray, gamma: float, symmetrize: str
) -> np.ndarray:
    """Equations 2.1 and 2.2 word for word."""
    directed = np.zeros((len(ids), len(ids)))
    for i, (row, values) in enumerate(zip(ids, similarities, strict=True)):
        for j, value in zip(row, values, strict=True):
            if j >= 0:
                directed[i, j] = max(float(value), 0) ** gamma
    return np.minimum(directed, directed.T) if symmetrize == "mutual" else directed + directed.T


def assert_well_formed(adjacency: sparse.csr_array) -> None:
    assert isinstance(adjacency, sparse.csr_array)
    assert adjacency.dtype == np.float32
    adjacency.check_format(full_check=True)
    assert (adjacency.data > 0).all()
    assert (adjacency.diagonal() == 0).all()
    dense = adjacency.toarray()
    np.testing.assert_array_equal(dense, dense.T)
    for first, last in zip(adjacency.indptr, adjacency.indptr[1:], strict=False):
        assert (np.diff(adjacency.indices[first:last]) > 0).all()


def random_adjacency(
    n: int, density: float, seed: int = 0, n_isolated: int = 0
) -> sparse.csr_array:
    generator = np.random.default_rng(seed)
    upper = np.triu(generator.random((n, n)) * (generator.random((n, n)) < density), 1)
    upper[:n_isolated] = 0
    matrix = sparse.csr_array((upper + upper.T).astype(np.float32))
    matrix.sort_indices()
    return matrix


def unit_vectors(n: int, d: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def lists_of(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    return Searcher(vectors, KnnOptions(k)).neighbors(np.arange(len(vectors)))


# Edge weights and the adjacency matrix


@pytest.mark.parametrize(
    ("similarity", "gamma", "expected"),
    [(0.5, 3, 0.125), (0.5, 1, 0.5), (-0.5, 3, 0), (-0.5, 2, 0), (0, 3, 0), (0.25, 0.5, 0.5)],
)  # fmt: skip
def test_edge_weight_of_hand_worked_values(similarity, gamma, expected):
    found = edge_weight(np.array([[similarity]]), gamma)
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array([[expected]]), rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(neighbor_lists(), st.sampled_from([1.0, 3.0, 0.5]), st.sampled_from(["mutual", "sum"]))
def test_build_adjacency_equals_the_dense_definition(lists, gamma, symmetrize):
    ids, similarities = lists
    copies = ids.copy(), similarities.copy()
    adjacency = build_adjacency(ids, similarities, gamma, symmetrize)
    assert_well_formed(adjacency)
    expected = dense_adjacency(ids, similarities, gamma, symmetrize)
    np.testing.assert_allclose(adjacency.toarray(), expected, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(adjacency.toarray() > 0, expected > 0)
    np.testing.assert_array_equal(ids, copies[0])
    np.testing.assert_array_equal(similarities, copies[1])


@pytest.mark.parametrize("symmetrize", ["mutual", "sum"])
@pytest.mark.parametrize(
    ("ids", "similarities"),
    [
        (np.zeros((0, 3)), np.zeros((0, 3))),
        (np.full((1, 2), -1), np.zeros((1, 2))),
        (np.full((4, 2), -1), np.ones((4, 2))),
        (np.array([[1], [0]]), np.array([[-0.5], [-0.5]])),
        (np.array([[1], [0]]), np.zeros((2, 1))),
        (np.array([[1], [0]]), np.full((2, 1), 1e-20)),
    ],
)
def test_build_adjacency_without_edges(ids, similarities, symmetrize):
    adjacency = build_adjacency(ids, similarities.astype(np.float32), 3, symmetrize)
    assert_well_formed(adjacency)
    assert adjacency.shape == (len(ids),) * 2
    assert adjacency.nnz == 0
    assert sorted(locality_ordering(adjacency)) == list(range(len(ids)))
    assert normalize(adjacency).nnz == 0
    statistics = graph_statistics(adjacency, ids)
    assert (statistics.n_vertices, statistics.n_edges) == (len(ids), 0)
    assert statistics.n_isolated == len(ids)
    assert statistics.n_components == 0
    assert statistics.mean_degree == 0


@pytest.mark.parametrize(("symmetrize", "weight"), [("mutual", 0.125), ("sum", 1.125)])
def test_build_adjacency_of_hand_worked_lists(symmetrize, weight):
    ids = np.array([[1, 2], [0, -1], [-1, -1]], np.int32)
    similarities = np.array([[0.5, 0.5], [1, 0], [0, 0]], np.float32)
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 0] = weight
    if symmetrize == "sum":
        expected[0, 2] = expected[2, 0] = 0.125
    found = build_adjacency(ids, similarities, 3, symmetrize).toarray()
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_build_adjacency_unknown_symmetrization_is_refused():
    with pytest.raises(ValueError, match="unknown symmetrization 'max'"):
        build_adjacency(np.zeros((1, 1), np.int32), np.zeros((1, 1)), symmetrize="max")


# Normalisation and order


@pytest.mark.parametrize("n_isolated", [0, 5, 20])
def test_normalize_equals_the_dense_definition(n_isolated):
    adjacency = random_adjacency(20, 0.3, n_isolated=n_isolated)
    before = adjacency.toarray()
    found = normalize(adjacency)
    dense = before.astype(np.float64)
    degrees = dense.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = np.nan_to_num(dense / np.sqrt(np.outer(degrees, degrees)))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-12, atol=0)
    np.testing.assert_allclose(found.toarray(), found.toarray().T, rtol=1e-15)
    np.testing.assert_array_equal(adjacency.toarray(), before)
    if degrees.any():
        assert np.linalg.eigvalsh(found.toarray()).max() == pytest.approx(1, abs=1e-12)


def test_normalize_keeps_tiny_weights():
    adjacency = sparse.csr_array(np.array([[0, 1e-30], [1e-30, 0]], np.float32))
    np.testing.assert_allclose(normalize(adjacency).toarray(), [[0, 1], [1, 0]], rtol=1e-12)


@pytest.mark.parametrize(("n", "density", "n_isolated"), [(60, 0.05, 7), (60, 0.5, 0), (1, 0, 0)])
def test_locality_ordering_is_a_permutation_that_changes_no_product(n, density, n_isolated):
    matrix = normalize(random_adjacency(n, density, n_isolated=n_isolated))
    order = locality_ordering(matrix)
    assert order.dtype == np.int32
    assert sorted(order.tolist()) == list(range(n))
    permuted = permute(matrix, order)
    np.testing.assert_array_equal(permuted.toarray(), matrix.toarray()[order][:, order])
    for first, last in zip(permuted.indptr, permuted.indptr[1:], strict=False):
        assert (np.diff(permuted.indices[first:last]) > 0).all()
    x = np.random.default_rng(1).normal(size=(n, 3))
    product = np.empty((n, 3))
    product[order] = permuted @ x[order]
    np.testing.assert_allclose(product, matrix @ x, rtol=1e-12, atol=1e-15)


def test_locality_ordering_brings_neighbors_together():
    path = sparse.diags_array([np.ones(199)] * 2, offsets=[-1, 1], shape=(200, 200)).tocsr()
    shuffle = np.random.default_rng(0).permutation(200)
    shuffled = path[shuffle][:, shuffle].tocsr()
    rows, columns = permute(shuffled, locality_ordering(shuffled)).nonzero()
    assert np.abs(rows - columns).max() == 1


# Queries that enter the graph


def assert_lists_equal_up_to_ties(
    ids: np.ndarray, similarities: np.ndarray, vectors: np.ndarray
) -> None:
    """Equal an exact search over all, of which only the positive similarities are kept."""
    exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(exact, -np.inf)
    k = ids.shape[1]
    for i, (row, own, values) in enumerate(zip(exact, ids, similarities, strict=True)):
        best = np.maximum(-np.sort(-row)[:k], 0)
        np.testing.assert_allclose(values, best, atol=1e-6, err_msg=str(i))
        kept = own >= 0
        assert (values[kept] > 0).all()
        assert not values[~kept].any()
        assert (np.diff(values) <= 0).all()
        assert i not in own
        assert len(set(own[kept].tolist())) == kept.sum()
        np.testing.assert_allclose(values[kept], row[own[kept]], atol=1e-6)
        tied = (np.diff(values) == 0) & kept[1:]
        assert (np.diff(own)[tied] > 0).all()


@pytest.mark.parametrize("n_queries", [0, 1, 6])
@pytest.mark.parametrize("k", [1, 4, 24])
@pytest.mark.parametrize("d", [3, 40])
def test_join_queries_equals_a_search_anew(n_queries, k, d):
    database, queries = unit_vectors(25, d), unit_vectors(n_queries, d, seed=1)
    lists = lists_of(database, k)
    copies = [values.copy() for values in lists]
    ids, similarities = join_queries(*lists, database, queries)
    assert ids.shape == similarities.shape == (25 + n_queries, k)
    assert (ids.dtype, similarities.dtype) == (np.int32, np.float32)
    assert_lists_equal_up_to_ties(ids, similarities, np.concatenate([database, queries]))
    for values, copy in zip(lists, copies, strict=True):
        np.testing.assert_array_equal(values, copy)


def test_join_queries_of_copies_and_of_rows_that_are_no_vertices():
    database, queries = unit_vectors(30, 6), unit_vectors(5, 6, seed=1)
    queries[:3] = database[4]
    database[[7, 9]] = 0
    queries[4] = 0
    good = np.flatnonzero(database.any(axis=1)).astype(np.int32)
    found = lists_of(database[good], 5)
    ids, similarities = np.full((30, 5), -1, np.int32), np.zeros((30, 5), np.float32)
    ids[good], similarities[good] = good[found[0]], found[1]
    joined = join_queries(ids, similarities, database, queries)
    assert_lists_equal_up_to_ties(*joined, np.concatenate([database, queries]))
    assert (joined[0][[7, 9, 34]] == -1).all()
    assert not np.isin(joined[0], [7, 9, 34]).any()


def test_join_queries_block_by_block(monkeypatch):
    database, queries = unit_vectors(25, 10), unit_vectors(4, 10, seed=1)
    expected = join_queries(*lists_of(database, 6), database, queries)
    monkeypatch.setattr(graph_module, "_JOINED_ROWS", 7)
    for found, values in zip(
        join_queries(*lists_of(database, 6), database, queries), expected, strict=True
    ):
        np.testing.assert_allclose(found, values, atol=1e-6)


# Statistics


def complete(n: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.array([np.delete(np.arange(n), i) for i in range(n)], np.int32)
    return ids, np.ones(ids.shape, np.float32)


@settings(max_examples=60, deadline=None)
@given(neighbor_lists(), st.sampled_from(["mutual", "sum"]))
def test_graph_statistics_equal_networkx(lists, symmetrize):
    ids, similarities = lists
    adjacency = build_adjacency(ids, similarities, 3, symmetrize)
    found = graph_statistics(adjacency, ids)
    graph = networkx.from_scipy_sparse_array(adjacency)
    sizes = [len(component) for component in networkx.connected_components(graph)]
    assert found.n_vertices == len(ids)
    assert found.n_edges == graph.number_of_edges()
    assert found.n_isolated == networkx.number_of_isolates(graph)
    assert found.n_components == sum(size > 1 for size in sizes)
    assert found.largest_component == max(sizes)
    assert found.mean_degree == pytest.approx(2 * graph.number_of_edges() / len(ids))
    listed = {(i, int(j)) for i, row in enumerate(ids) for j in row if j >= 0}
    mutual = sum((j, i) in listed for i, j in listed)
    assert found.mutual_fraction == pytest.approx(mutual / len(listed) if listed else 0)


@pytest.mark.parametrize("symmetrize", ["mutual", "sum"])
def test_graph_statistics_of_cliques_and_of_a_path(symmetrize):
    found = graph_statistics(build_adjacency(*complete(5), 3, symmetrize), complete(5)[0])
    assert (found.n_edges, found.n_components, found.largest_component) == (10, 1, 5)
    assert found.mutual_fraction == 1
    path = np.array([[1, -1], [0, 2], [1, 3], [2, -1]], np.int32)
    found = graph_statistics(
        build_adjacency(path, np.ones(path.shape, np.float32), 3, symmetrize), path
    )
    assert (found.n_edges, found.mutual_fraction) == (3, 1)


def test_graph_statistics_count_no_one_sided_neighbor_as_mutual():
    ids = np.array([[1], [2], [0]], np.int32)
    for symmetrize, n_edges in (("mutual", 0), ("sum", 3)):
        adjacency = build_adjacency(ids, np.ones((3, 1), np.float32), 3, symmetrize)
        found = graph_statistics(adjacency, ids)
        assert (found.n_edges, found.mutual_fraction) == (n_edges, 0)
