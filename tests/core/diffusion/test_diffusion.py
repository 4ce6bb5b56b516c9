"""Diffusion against dense solves; seeds by hand; rankings against plain sorting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from rrtool.core.diffusion.diffusion import (
    Diffusion,
    Seeds,
    diffusion_spread,
    rank_reached,
    seeds_from_similarities,
    seeds_from_verification,
)
from rrtool.core.diffusion.graph import locality_ordering
from rrtool.core.retrieval.ranking import top_rows
from tests.core.diffusion.test_graph import random_adjacency

ALPHA = 0.99
INFINITY = np.inf
ADJACENCIES = {
    "random": random_adjacency(80, 0.1),
    "isolated": random_adjacency(80, 0.1, seed=1, n_isolated=15),
    "disconnected": sparse.csr_array(
        sparse.block_diag([random_adjacency(30, 0.2), random_adjacency(25, 0.3, seed=2)])
    ),
    "no edge": sparse.csr_array((5, 5), dtype=np.float32),
    "single": sparse.csr_array((1, 1), dtype=np.float32),
}


def dense_diffusion(adjacency: sparse.csr_array, g: np.ndarray, alpha: float) -> np.ndarray:
    """Equations 2.3 and 2.7 word for word."""
    weights = adjacency.toarray().astype(np.float64)
    degrees = weights.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        normalized = np.nan_to_num(weights / np.sqrt(np.outer(degrees, degrees)))
    return np.linalg.solve(np.eye(len(weights)) - alpha * normalized, (1 - alpha) * g)


def random_seeds(n: int, n_queries: int, n_seeds: int, seed: int = 0) -> Seeds:
    """The last query has none; every list ends in an empty place."""
    generator = np.random.default_rng(seed)
    n_seeds = min(n_seeds, n)
    ids = np.full((n_queries, n_seeds + 1), -1, np.int32)
    weights = np.zeros(ids.shape, np.float32)
    for row, values in zip(ids[:-1], weights[:-1], strict=True):
        row[:n_seeds] = generator.permutation(n)[:n_seeds]
        values[:n_seeds] = generator.uniform(0.1, 1, n_seeds)
    return Seeds(ids, weights)


# Scores


@pytest.mark.parametrize("alpha", [0.5, ALPHA])
@pytest.mark.parametrize("name", ADJACENCIES)
def test_diffusion_equals_a_dense_solve(name, alpha):
    adjacency = ADJACENCIES[name]
    n = adjacency.shape[0]
    seeds = random_seeds(n, 4, 6)
    expected = dense_diffusion(adjacency, seeds.dense(np.arange(n)), alpha)
    results = []
    for order in (None, np.arange(n)[::-1], locality_ordering(adjacency)):
        diffusion = Diffusion(
            adjacency, order=order, alpha=alpha, tolerance=1e-9, max_iterations=1000
        )
        found = diffusion(seeds)
        assert found.converged.all()
        np.testing.assert_allclose(found.x, expected, rtol=0, atol=1e-6 * expected.max())
        results.append(found.x)
    assert not results[0][:, -1].any()
    np.testing.assert_allclose(results[0], results[1], rtol=0, atol=1e-7 * expected.max())


def test_diffusion_reaches_the_components_of_the_seeds_only():
    adjacency = ADJACENCIES["disconnected"]
    seeds = Seeds(np.array([[3, -1], [40, 3]], np.int32), np.array([[1, 0], [1, 1]], np.float32))
    found = Diffusion(adjacency, max_iterations=300)(seeds).x
    assert (found[:30] > 0).all()
    assert (found[30:, 0] == 0).all()
    assert (found[30:, 1] > 0).all()


def test_diffusion_of_default_settings_says_how_far_it_came():
    found = Diffusion(ADJACENCIES["random"])(random_seeds(80, 3, 2))
    assert found.tolerance == 1e-6
    assert (found.n_iterations <= 20).all()
    short = Diffusion(ADJACENCIES["random"], max_iterations=2)(random_seeds(80, 3, 2))
    np.testing.assert_array_equal(short.n_iterations, [2, 2, 0])
    np.testing.assert_array_equal(short.converged, [False, False, True])


def test_diffusion_of_no_query_is_empty():
    seeds = Seeds(np.zeros((0, 3), np.int32), np.zeros((0, 3), np.float32))
    found = Diffusion(ADJACENCIES["random"])(seeds)
    assert found.x.shape == (80, 0)
    assert found.n_iterations.shape == (0,)


@pytest.mark.parametrize("n_cliques", [1, 4])
def test_diffusion_spread_over_cliques_is_their_share(n_cliques):
    clique = np.ones((25, 25), np.float32) - np.eye(25, dtype=np.float32)
    adjacency = sparse.csr_array(sparse.block_diag([clique] * n_cliques))
    g = np.eye(25 * n_cliques)[0]
    f = dense_diffusion(adjacency, g, ALPHA)
    expected = f.sum() ** 2 / (f @ f) / (25 * n_cliques)
    found = diffusion_spread(adjacency, locality_ordering(adjacency))
    assert found == pytest.approx(expected, rel=1e-4)
    assert found == pytest.approx(1 / n_cliques, rel=0.1)


@pytest.mark.parametrize("shape", [(0, 0), (4, 4)])
def test_diffusion_spread_without_edges_is_zero(shape):
    adjacency = sparse.csr_array(shape, dtype=np.float32)
    assert diffusion_spread(adjacency, np.arange(shape[0])) == 0


# Seeds


def test_seeds_dense_places_weights_by_vertex_in_the_order_asked_for():
    seeds = Seeds(np.array([[2, -1], [0, 3]], np.int32), np.array([[0.5, 0], [1, 0.25]]))
    expected = [[0, 1], [0, 0], [0.5, 0], [0, 0.25]]
    np.testing.assert_array_equal(seeds.dense(np.arange(4)), expected)
    order = np.array([2, 3, 0, 1])
    np.testing.assert_array_equal(seeds.dense(order), np.array(expected)[order])


def test_seeds_from_similarities_by_hand():
    ids = np.array([[4, 2, 7], [1, -1, -1], [-1, -1, -1]])
    similarities = np.array([[1, 0.5, -0.5], [0, -INFINITY, 0.9], [1, 1, 1]])
    found = seeds_from_similarities(ids, similarities, 3)
    np.testing.assert_array_equal(found.ids, [[4, 2, -1], [-1] * 3, [-1] * 3])
    np.testing.assert_array_equal(found.weights, [[1, 0.125, 0], [0] * 3, [0] * 3])
    assert (found.ids.dtype, found.weights.dtype) == (np.int32, np.float32)
    np.testing.assert_allclose(
        seeds_from_similarities(ids, similarities, 1).weights[0], [1, 0.5, 0]
    )


def test_seeds_from_verification_are_the_best_by_inliers_and_similarity():
    ids = np.array([[10, 11, 12, 13, -1]])
    similarities = np.array([[0.5, 0.9, 0.2, -0.4, -INFINITY]])
    n_inliers = np.array([[8, 10, 40, 99, 0]])
    nothing = np.zeros((1, 5), bool)
    found = seeds_from_verification(ids, similarities, n_inliers, nothing, 2)
    np.testing.assert_array_equal(found.ids, [[11, 12]])
    np.testing.assert_allclose(found.weights, [[1, 8 / 9]], rtol=1e-6)
    found = seeds_from_verification(ids, similarities, n_inliers, nothing, 5)
    np.testing.assert_array_equal(found.ids, [[11, 12, 10, -1, -1]])
    np.testing.assert_allclose(found.weights, [[1, 8 / 9, 4 / 9, 0, 0]], rtol=1e-6)
    assert (found.ids.dtype, found.weights.dtype) == (np.int32, np.float32)


def test_seeds_from_verification_a_copy_counts_as_much_as_the_best_of_the_others():
    ids, n_inliers = np.array([[10, 11, 12]]), np.array([[1000, 10, 5]])
    similarities, is_copy = np.array([[1, 0.8, 0.8]]), np.array([[True, False, False]])
    found = seeds_from_verification(ids, similarities, n_inliers, is_copy, 3)
    np.testing.assert_array_equal(found.ids, [[10, 11, 12]])
    np.testing.assert_allclose(found.weights, [[1, 1, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("copy", [None, 1])
def test_seeds_from_verification_without_inliers(copy):
    ids, is_copy = np.array([[10, 11, 12]]), np.arange(3)[None] == copy
    found = seeds_from_verification(ids, np.ones((1, 3)), np.zeros((1, 3), int), is_copy, 2)
    np.testing.assert_array_equal(found.ids, [[-1, -1] if copy is None else [11, -1]])
    np.testing.assert_array_equal(found.weights, [[float(copy is not None), 0]])


def test_seeds_from_verification_of_ties_keep_the_order_of_the_ranking():
    found = seeds_from_verification(
        np.array([[9, 4, 7]]), np.ones((1, 3)), np.full((1, 3), 6), np.zeros((1, 3), bool), 2
    )
    np.testing.assert_array_equal(found.ids, [[9, 4]])


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_seeds_of_nothing_are_empty(shape):
    ids, values = np.zeros(shape, np.int32), np.zeros(shape)
    for found in (
        seeds_from_similarities(ids, values, 3),
        seeds_from_verification(ids, values, values.astype(int), values > 0, 5),
    ):
        assert found.ids.shape == found.weights.shape == shape
        assert found.dense(np.arange(4)).shape == (4, shape[0])


# Rankings

VALUES = st.sampled_from([-INFINITY, -1.0, 0.0, 0.25, 0.5, 2.0])


def plain_top_rows(scores: list[float], top: int) -> list[int]:
    return sorted(
        (i for i, score in enumerate(scores) if score > -INFINITY), key=lambda i: (-scores[i], i)
    )[:top]


def plain_rank_reached(scores: list[float], initial: list[float], top: int) -> list[int]:
    allowed = [i for i, value in enumerate(initial) if value > -INFINITY]
    reached = [i for i in allowed if scores[i] > 0]
    reached.sort(key=lambda i: (-scores[i], -initial[i], i))
    rest = sorted((i for i in allowed if scores[i] <= 0), key=lambda i: (-initial[i], i))
    return (reached + rest)[:top]


@settings(max_examples=150, deadline=None)
@given(st.lists(VALUES, max_size=15), st.integers(0, 16))
def test_top_rows_equal_plain_sorting(scores, top):
    found = top_rows(np.array(scores, dtype=float), top)
    assert found.dtype == np.int64
    assert found.tolist() == plain_top_rows(scores, top)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), max_size=15), st.integers(0, 16))
def test_rank_reached_equals_plain_sorting(pairs, top):
    scores, initial = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = rank_reached(np.array(scores, float), np.array(initial, float), top)
    assert found.tolist() == plain_rank_reached(scores, initial, top)


@pytest.mark.parametrize(
    ("scores", "top", "expected"),
    [
        ([3, 1, 2, 4], 4, [3, 0, 2, 1]),
        ([0, 0, 0, 0], 4, [1, 2, 0, 3]),
        ([0, 0, 1, 0], 4, [2, 1, 0, 3]),
        ([0, 0, 1, 0], 1, [2]),
        ([0, 3, 1, 0], 2, [1, 2]),
        ([0, 3, 1, 0], 1, [1]),
        ([1, 1, 1, 1], 3, [1, 2, 0]),
        ([0, 0, 1, 0], 0, []),
    ],
)
def test_rank_reached_by_hand(scores, top, expected):
    initial = np.array([0.2, 0.9, 0.5, 0.1])
    assert rank_reached(np.array(scores, float), initial, top).tolist() == expected


def test_rank_reached_never_lists_a_row_that_is_kept_out():
    found = rank_reached(np.array([9.0, 1, 0]), np.array([-INFINITY, 0.1, 0.2]), 3)
    assert found.tolist() == [1, 2]
