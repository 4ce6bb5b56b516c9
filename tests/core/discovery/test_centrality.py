"""The six measures against NetworkX, dense solvers, and hand-worked and degenerate graphs."""

from __future__ import annotations

import os
import signal
import sys
import time

import networkx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from rrtool.core.diffusion.graph import build_adjacency
from rrtool.core.discovery import centrality, shortest_path_centrality
from rrtool.core.discovery.shortest_path_centrality import COST_UNIT, edge_costs
from rrtool.errors import WorkFailed

SPECTRAL = {
    "degree": centrality.degree,
    "eigenvector": centrality.eigenvector,
    "pagerank": centrality.pagerank,
    "katz": centrality.katz,
}
PATHS = {
    "betweenness": shortest_path_centrality.betweenness,
    "closeness": shortest_path_centrality.closeness,
}
MEASURES = (*SPECTRAL, *PATHS)


def random_graph(
    seed: int, n: int, density: float, n_parts: int = 1, n_alone: int = 0
) -> np.ndarray:
    """Cosine similarities ``(n, n)`` of the edges, 0 elsewhere; no edge between the parts."""
    generator = np.random.default_rng(seed)
    weights = np.triu(generator.random((n, n)) < density, 1) * generator.uniform(0.1, 1, (n, n))
    part = np.sort(generator.integers(0, n_parts, n))
    weights[part[:, None] != part] = 0
    weights[:, n - n_alone :] = 0
    weights = weights.astype(np.float32)
    return weights + weights.T


GRAPHS = {
    "connected": random_graph(0, 30, 0.3),
    "sparse": random_graph(1, 40, 0.05),
    "disconnected": random_graph(2, 40, 0.3, n_parts=4),
    "isolated": random_graph(3, 30, 0.2, n_parts=2, n_alone=5),
    "large": random_graph(4, 150, 0.05, n_alone=3),
}


def lists_of(similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The neighbor lists that hold every edge, strongest first, −1 padded."""
    order = np.argsort(-similarities, axis=1, kind="stable").astype(np.int32)
    values = np.take_along_axis(similarities, order, axis=1)
    return np.where(values != 0, order, -1).astype(np.int32), values


def costs_of(similarities: np.ndarray) -> csr_array:
    return edge_costs(csr_array(similarities**3), *lists_of(similarities))


def compute(measure: str, similarities: np.ndarray) -> np.ndarray:
    """The measure at mean 1, to full precision."""
    if measure in PATHS:
        values = PATHS[measure](costs_of(similarities))
    else:
        options = {} if measure == "degree" else {"tolerance": 1e-9}
        result = SPECTRAL[measure](csr_array(similarities**3), **options)
        assert result.converged
        assert result.residual <= 1e-9
        values = result.values
    return centrality.normalize_to_mean_one(values)


def projected_ones(weights: np.ndarray) -> np.ndarray:
    """The projection of the ones on the leading eigenspace of the dense matrix."""
    values, vectors = np.linalg.eigh(weights)
    leading = vectors[:, values > values[-1] - 1e-9 * abs(values[-1])]
    return leading @ (leading.T @ np.ones(len(weights)))


def oracle(measure: str, similarities: np.ndarray) -> np.ndarray:
    weights = similarities.astype(np.float64) ** 3
    n = len(weights)
    if measure == "degree":
        return weights.sum(axis=1)
    if measure == "eigenvector":
        return projected_ones(weights)
    if measure == "katz":
        degrees = weights.sum(axis=1)
        roots = np.where(degrees > 0, np.sqrt(np.where(degrees > 0, degrees, 1)), np.inf)
        return np.linalg.solve(np.eye(n) - 0.99 * weights / np.outer(roots, roots), np.ones(n))
    if measure == "pagerank":
        found = networkx.pagerank(networkx.from_numpy_array(weights), tol=1e-14, max_iter=2000)
    else:
        with np.errstate(invalid="ignore"):
            costs = np.where(weights > 0, np.sqrt(2 - 2 * similarities.astype(np.float64)), 0)
        graph = networkx.from_numpy_array(costs)
        if measure == "betweenness":
            found = networkx.betweenness_centrality(graph, weight="weight", normalized=False)
        else:
            found = networkx.closeness_centrality(graph, distance="weight", wf_improved=True)
    return np.array([found[i] for i in range(n)])


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("measure", MEASURES)
def test_measure_equals_networkx_or_a_dense_solver(measure, graph):
    expected = oracle(measure, GRAPHS[graph])
    found = compute(measure, GRAPHS[graph])
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("measure", ["eigenvector", "pagerank", "katz"])
def test_default_tolerance_gives_five_digits(measure):
    similarities = GRAPHS["large"]
    result = SPECTRAL[measure](csr_array(similarities**3))
    assert result.converged
    assert 0 < result.n_iterations < 100
    expected = oracle(measure, similarities)
    found = centrality.normalize_to_mean_one(result.values)
    np.testing.assert_allclose(found, expected / expected.mean(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("measure", ["eigenvector", "pagerank", "katz"])
def test_too_few_iterations_are_reported_with_the_residual(measure):
    result = SPECTRAL[measure](csr_array(GRAPHS["large"] ** 3), max_iterations=3)
    assert not result.converged
    assert result.residual > 1e-6
    assert result.n_iterations == 3
    assert np.isfinite(result.values).all()


def test_katz_residual_is_that_of_the_equation():
    weights = GRAPHS["large"].astype(np.float64) ** 3
    result = centrality.katz(csr_array(weights), alpha=0.9)
    degrees = weights.sum(axis=1) + (weights.sum(axis=1) == 0)
    b = np.full(len(weights), 0.1)
    left = result.values - 0.9 * (weights / np.sqrt(np.outer(degrees, degrees))) @ result.values
    relative = np.linalg.norm(b - left) / np.linalg.norm(b)
    assert relative == pytest.approx(result.residual, rel=1e-3)


def test_katz_and_pagerank_of_isolated_vertices_are_the_smallest():
    similarities = GRAPHS["isolated"]
    alone = similarities.sum(axis=1) == 0
    adjacency = csr_array(similarities)
    katz = centrality.katz(adjacency, alpha=0.5).values
    np.testing.assert_allclose(katz[alone], 0.5, rtol=1e-6)
    assert katz[~alone].min() > 0.5
    pagerank = centrality.pagerank(adjacency).values
    assert pagerank.sum() == pytest.approx(1)
    assert np.ptp(pagerank[alone]) < 1e-12
    assert pagerank[~alone].min() > pagerank[alone].max() > 0


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("factor", [2.0**-20, 2.0**20])
def test_eigenvector_does_not_depend_on_the_unit_of_the_weights(graph, factor):
    # A power of two scales without rounding, so the steps are the same.
    weights = csr_array(GRAPHS[graph].astype(np.float64) ** 3)
    for options in ({}, {"max_iterations": 3}, {"tolerance": 1e-3}):
        plain = centrality.eigenvector(weights, **options)
        scaled = centrality.eigenvector(weights * factor, **options)
        assert scaled.n_iterations == plain.n_iterations
        assert scaled.converged == plain.converged
        assert scaled.residual == pytest.approx(plain.residual, rel=1e-6)
        np.testing.assert_allclose(scaled.values, plain.values, rtol=1e-9, atol=1e-12)


def test_eigenvector_bipartite_star_hand_worked():
    star = np.zeros((5, 5))
    star[0, 1:] = star[1:, 0] = 1
    result = centrality.eigenvector(csr_array(star))
    # λ = 2: the hub has √(1/2), each leaf half of that.
    np.testing.assert_allclose(result.values, np.sqrt(0.5) * np.array([1, 0.5, 0.5, 0.5, 0.5]))


def test_eigenvector_ties_are_the_projection_of_the_ones():
    # Two triangles and a pair of weight 2 all have λ = 2; a pair of weight 1 has less.
    weights = np.zeros((10, 10))
    for first in (0, 3):
        weights[first : first + 3, first : first + 3] = 1 - np.eye(3)
    weights[6, 7] = weights[7, 6] = 2
    weights[8, 9] = weights[9, 8] = 1
    result = centrality.eigenvector(csr_array(weights))
    np.testing.assert_allclose(result.values * np.sqrt(8), [1] * 8 + [0, 0])
    # A path of 3 with λ = 2 beside a triangle: p = (1, √2, 1)/2, Σp = 1 + 1/√2.
    weights = np.zeros((6, 6))
    weights[:3, :3] = 1 - np.eye(3)
    weights[3, 4] = weights[4, 3] = weights[4, 5] = weights[5, 4] = np.sqrt(2)
    expected = projected_ones(weights)
    assert (expected > 0.8).all()
    result = centrality.eigenvector(csr_array(weights))
    np.testing.assert_allclose(result.values, expected / np.linalg.norm(expected), rtol=1e-6)


def test_eigenvector_components_that_lose_narrowly_get_zero():
    weights = np.zeros((6, 6))
    weights[:3, :3] = 1 - np.eye(3)
    weights[3:, 3:] = (1 - np.eye(3)) * 0.99999
    result = centrality.eigenvector(csr_array(weights))
    assert result.converged
    np.testing.assert_allclose(result.values, np.array([1, 1, 1, 0, 0, 0]) / np.sqrt(3))


def test_eigenvector_long_path_converges():
    n = 400  # the eigenvalues at the end are 2e-4 apart, relatively
    weights = np.diag(np.ones(n - 1), 1)
    weights += weights.T
    result = centrality.eigenvector(csr_array(weights), max_iterations=5000)
    assert result.converged
    expected = np.sin(np.pi * np.arange(1, n + 1) / (n + 1))
    np.testing.assert_allclose(result.values, expected / np.linalg.norm(expected), atol=1e-5)


@pytest.mark.parametrize("scale", [1e-35, 1e30])
@pytest.mark.parametrize("measure", SPECTRAL)
def test_measure_does_not_depend_on_the_scale_of_the_weights(measure, scale):
    adjacency = csr_array(GRAPHS["disconnected"])
    scaled = csr_array(GRAPHS["disconnected"] * np.float32(scale))
    expected, found = SPECTRAL[measure](adjacency).values, SPECTRAL[measure](scaled).values
    np.testing.assert_allclose(
        centrality.normalize_to_mean_one(found),
        centrality.normalize_to_mean_one(expected),
        rtol=1e-3,  # float32 weights of 1e-38 have lost digits
        atol=1e-6,
    )


def test_normalize_to_mean_one_of_nothing_zeros_and_tiny_values():
    assert centrality.normalize_to_mean_one(np.zeros(0)).shape == (0,)
    np.testing.assert_array_equal(centrality.normalize_to_mean_one(np.zeros(3)), np.zeros(3))
    tiny = np.array([5e-324, 0, 0, 5e-324])
    np.testing.assert_array_equal(centrality.normalize_to_mean_one(tiny), [2, 0, 0, 2])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("n", [0, 1, 4])
def test_graph_without_edges(measure, n):
    found = compute(measure, np.zeros((n, n), dtype=np.float32))
    np.testing.assert_allclose(found, np.full(n, float(measure in ("pagerank", "katz"))))


@pytest.mark.parametrize("measure", MEASURES)
def test_two_vertices_are_alike(measure):
    found = compute(measure, np.array([[0, 0.5], [0.5, 0]], dtype=np.float32))
    np.testing.assert_allclose(found, [0, 0] if measure == "betweenness" else [1, 1], rtol=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_edges_of_weight_zero_do_not_count(measure):
    similarities = GRAPHS["disconnected"]
    clean = csr_array(similarities**3)
    stored = clean.copy()
    extra = np.zeros_like(similarities)
    extra[0, -1] = extra[-1, 0] = 1
    stored = stored + csr_array(extra)
    stored.data[(stored - clean).toarray()[stored.nonzero()] > 0] = 0
    assert stored.nnz == clean.nnz + 2
    before = stored.data.copy()
    if measure in PATHS:
        lists = lists_of(similarities)
        values = PATHS[measure](edge_costs(stored, *lists))
        expected = PATHS[measure](edge_costs(clean, *lists))
    else:
        values, expected = (SPECTRAL[measure](matrix).values for matrix in (stored, clean))
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(stored.data, before)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 14), st.sampled_from([0.1, 0.3, 0.8]), st.data())
def test_measures_are_permutation_equivariant_of_mean_one_and_not_negative(seed, n, density, data):
    # Similarities from few values: many shortest paths tie, in sums that floats would split.
    similarities = random_graph(seed, n, density, n_parts=2)
    similarities = np.ceil(similarities * 4).astype(np.float32) / 4
    permutation = np.array(data.draw(st.permutations(range(n))))
    shuffled = similarities[np.ix_(permutation, permutation)]
    for measure in MEASURES:
        values = compute(measure, similarities)
        assert np.isfinite(values).all()
        assert (values >= 0).all()
        assert values.mean() == pytest.approx(1) or not values.any()
        np.testing.assert_allclose(
            compute(measure, shuffled), values[permutation], rtol=1e-5, atol=1e-6, err_msg=measure
        )


def test_edge_costs_come_from_either_list_and_the_smaller_of_both():
    adjacency = csr_array(np.array([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0], [0, 0, 0, 0.0]]))
    ids = np.array([[2, 1], [0, -1], [1, -1], [0, -1]], dtype=np.int32)
    similarities = np.array([[0.5, 0.92], [0.875, 0], [-0.5, 0], [1, 0]], dtype=np.float32)
    costs = edge_costs(adjacency, ids, similarities).toarray()
    expected = np.array([[0, 0.5, 1, 0], [0.5, 0, np.sqrt(3), 0], [1, np.sqrt(3), 0, 0], [0] * 4])
    np.testing.assert_allclose(costs, expected, atol=COST_UNIT)


@pytest.mark.parametrize("symmetrize", ["mutual", "sum"])
def test_edge_costs_of_a_neighbor_graph_are_the_distances_of_its_vectors(symmetrize):
    generator = np.random.default_rng(5)
    vectors = generator.normal(size=(60, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T - 9 * np.eye(60)
    ids = np.argsort(-cosines, axis=1)[:, :6].astype(np.int32)
    similarities = np.take_along_axis(cosines, ids, axis=1).astype(np.float32)
    adjacency = build_adjacency(ids, similarities, 3.0, symmetrize)
    costs = edge_costs(adjacency, ids, similarities)
    distances = np.linalg.norm(vectors[:, None] - vectors, axis=2)
    expected = np.where(adjacency.toarray() > 0, distances, 0)
    np.testing.assert_allclose(costs.toarray(), expected, rtol=1e-6)
    np.testing.assert_array_equal(costs.toarray(), costs.toarray().T)


def test_edge_costs_of_duplicates_are_the_floor():
    adjacency = csr_array(np.array([[0, 1], [1, 0.0]]))
    ids = np.array([[1], [0]], dtype=np.int32)
    for similarity in (1.0, 1.0000002):
        costs = edge_costs(adjacency, ids, np.full((2, 1), similarity, dtype=np.float32))
        assert costs.data.tolist() == [COST_UNIT] * 2


def test_edge_costs_of_an_edge_in_no_list_is_an_error_that_names_it():
    adjacency = csr_array(np.array([[0, 0, 1], [0, 0, 0], [1, 0, 0.0]]))
    with pytest.raises(ValueError, match="0–2"):
        edge_costs(adjacency, np.full((3, 2), -1, np.int32), np.zeros((3, 2), np.float32))


def test_betweenness_counts_paths_through_duplicates():
    # 0 and 1 are the same vector between 2 and 3; each carries half of their paths.
    similarities = np.zeros((4, 4), dtype=np.float32)
    for i, j, value in ((0, 1, 1), (0, 2, 0.5), (1, 2, 0.5), (0, 3, 0.5), (1, 3, 0.5)):
        similarities[i, j] = similarities[j, i] = value
    values = shortest_path_centrality.betweenness(costs_of(similarities))
    np.testing.assert_array_equal(values, [0.5, 0.5, 0, 0])


def test_closeness_of_two_components_hand_worked():
    similarities = np.zeros((5, 5), dtype=np.float32)
    for i, j in ((0, 1), (1, 2), (3, 4)):
        similarities[i, j] = similarities[j, i] = 0.5  # cost 1
    values = shortest_path_centrality.closeness(costs_of(similarities))
    np.testing.assert_allclose(values, [2 / 4 * 2 / 3, 2 / 4, 2 / 4 * 2 / 3, 1 / 4, 1 / 4])


@pytest.mark.parametrize("graph", GRAPHS)
def test_sampled_closeness_of_every_vertex_is_exact(graph):
    costs = costs_of(GRAPHS[graph])
    done = []
    sampled = shortest_path_centrality.closeness(costs, samples=1000, advance=done.append)
    np.testing.assert_allclose(sampled, shortest_path_centrality.closeness(costs), rtol=1e-12)
    assert sum(done) <= len(GRAPHS[graph])


def test_sampled_closeness_is_close_repeatable_and_depends_on_the_seed():
    costs = costs_of(GRAPHS["large"])
    exact = shortest_path_centrality.closeness(costs)
    runs = [shortest_path_centrality.closeness(costs, samples=40, seed=s) for s in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()
    connected = exact > 0
    np.testing.assert_allclose(runs[0][connected], exact[connected], rtol=0.25)
    np.testing.assert_array_equal(runs[0] > 0, connected)


def test_sampled_closeness_of_two_samples_defines_every_vertex():
    costs = costs_of(GRAPHS["isolated"])
    sampled = shortest_path_centrality.closeness(costs, samples=2)
    assert np.isfinite(sampled).all()
    np.testing.assert_array_equal(sampled > 0, shortest_path_centrality.closeness(costs) > 0)


def test_sampled_betweenness_is_repeatable_and_near_the_exact_on_average():
    costs = costs_of(GRAPHS["large"])
    estimate = shortest_path_centrality.betweenness
    np.testing.assert_array_equal(
        estimate(costs, samples=20, seed=7), estimate(costs, samples=20, seed=7)
    )
    assert (estimate(costs, samples=20, seed=7) != estimate(costs, samples=20, seed=8)).any()
    mean = np.mean([estimate(costs, samples=100, seed=s) for s in range(40)], axis=0)
    exact = estimate(costs)
    assert np.corrcoef(mean, exact)[0, 1] > 0.99
    assert mean.sum() == pytest.approx(exact.sum(), rel=0.05)
    np.testing.assert_array_equal(estimate(costs, samples=150), exact)


@pytest.mark.parametrize("measure", PATHS)
def test_without_networkit_the_error_says_how_to_install_it(measure, monkeypatch):
    monkeypatch.setitem(sys.modules, "networkit", None)
    with pytest.raises(WorkFailed, match="pip install"):
        PATHS[measure](costs_of(GRAPHS["sparse"]))


class Stuck:
    """An algorithm that is interrupted, and does not return for long."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure

    def run(self) -> None:
        if self.failure:
            raise self.failure
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(30)


@pytest.mark.parametrize("failure", [None, RuntimeError("Received CTRL+C/SIGINT")])
def test_interrupt_during_networkit_is_seen_at_once(failure):
    started = time.monotonic()
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            shortest_path_centrality._run(Stuck(failure))
    finally:
        signal.signal(signal.SIGINT, previous)
    assert time.monotonic() - started < 10


def test_failure_of_networkit_is_passed_on():
    with pytest.raises(MemoryError):
        shortest_path_centrality._run(Stuck(MemoryError()))
