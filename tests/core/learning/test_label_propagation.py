"""Label propagation against dense solves, hand-worked chains and brute-force graphs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from rrtool.core.diffusion.graph import normalize
from rrtool.core.learning.label_propagation import (
    LABEL_MASSES,
    certainty,
    feature_graph,
    one_hot,
    propagate_labels,
)
from tests.core.diffusion.test_graph import dense_adjacency, random_adjacency

pytestmark = pytest.mark.usefixtures("one_thread")
CONVERGED = {"tolerance": 1e-9, "max_iterations": 1000}


def dense_probabilities(
    adjacency: sparse.csr_array,
    labeled: np.ndarray,
    labels: np.ndarray,
    c: int,
    *,
    alpha: float,
    mass: str,
) -> np.ndarray:
    n = adjacency.shape[0]
    y = np.zeros((n, c))
    for i, label in zip(labeled, labels, strict=True):
        y[i, label] = 1 if mass == "one" else 1 / (labels == label).sum()
    h = (1 - alpha) * np.linalg.solve(np.eye(n) - alpha * normalize(adjacency).toarray(), y)
    h = np.where(h < 1e-14, 0, h)
    sums = h.sum(axis=1, keepdims=True)
    return np.divide(h, sums, out=np.zeros_like(h), where=sums > 0)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60), density=st.sampled_from([0.03, 0.1, 0.5]), c=st.integers(1, 12),
    seed=st.integers(0, 1000), alpha=st.sampled_from([0.5, 0.99]),
    mass=st.sampled_from(LABEL_MASSES),
)  # fmt: skip
def test_propagate_labels_equals_a_dense_solve(n, density, c, seed, alpha, mass) -> None:
    adjacency = random_adjacency(n, density, seed=seed)
    generator = np.random.default_rng(seed)
    labeled = generator.permutation(n)[: generator.integers(0, n + 1)]
    labels = generator.integers(0, c, len(labeled))
    found = propagate_labels(
        adjacency, labeled, labels, c, alpha=alpha, label_mass=mass, **CONVERGED
    )
    expected = dense_probabilities(adjacency, labeled, labels, c, alpha=alpha, mass=mass)
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-5)
    reached = expected.any(axis=1)
    np.testing.assert_array_equal(found.labels >= 0, reached)
    chosen = expected[np.flatnonzero(reached), found.labels[reached]]
    np.testing.assert_allclose(chosen, expected[reached].max(axis=1), atol=1e-5)
    with np.errstate(divide="ignore", invalid="ignore"):
        h = -np.where(expected > 0, expected * np.log(expected), 0).sum(axis=1)
        beta = np.ones(n) if c == 1 else 1 - h / np.log(c)
    np.testing.assert_allclose(found.weights, np.where(reached, beta, 0), atol=1e-4)
    assert (found.labels.dtype, found.weights.dtype) == (np.int32, np.float32)
    assert found.probabilities.dtype == np.float32
    assert (found.residuals <= 1e-9).all()
    assert found.n_iterations.shape == found.residuals.shape == (c,)


def test_propagate_labels_hand_worked() -> None:
    # Two pairs and a loner: certainty is complete where one class alone arrives.
    pairs = sparse.csr_array(np.kron(np.diag([1, 1, 0]), [[0, 1], [1, 0]])[:5, :5].astype(float))
    found = propagate_labels(pairs, np.array([0, 3]), np.array([2, 0]), 3)
    np.testing.assert_array_equal(found.labels, [2, 2, 0, 0, -1])
    np.testing.assert_array_equal(found.weights, [1, 1, 1, 1, 0])
    np.testing.assert_allclose(found.probabilities.sum(axis=1), [1, 1, 1, 1, 0])
    # Halfway between two labels nothing is certain.
    path = sparse.csr_array(np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], float))
    middle = propagate_labels(path, np.array([0, 2]), np.array([1, 0]), 2)
    assert middle.weights[1] == pytest.approx(0, abs=1e-6)


def unequal_clusters(generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Five clusters that touch; features, classes, and 2 to 12 labels of each class."""
    classes = np.repeat(np.arange(5), 60)
    centers = generator.normal(size=(5, 12))
    features = (centers[classes] + 1.2 * generator.normal(size=(300, 12))).astype(np.float32)
    counts = (2, 4, 6, 9, 12)
    labeled = [60 * c + generator.permutation(60)[:m] for c, m in enumerate(counts)]
    return features, classes, np.concatenate(labeled)


def test_classes_of_equal_mass_keep_unequal_labels_from_flooding_each_other() -> None:
    right = dict.fromkeys(LABEL_MASSES, 0.0)
    for seed in range(10):
        features, classes, labeled = unequal_clusters(np.random.default_rng(seed))
        graph = feature_graph(features, k=20)
        for mass in LABEL_MASSES:
            found = propagate_labels(graph, labeled, classes[labeled], 5, label_mass=mass)
            right[mass] += (found.labels == classes).mean() / 10
    assert right["class"] > 0.6
    assert right["one"] < right["class"] - 0.15


@settings(max_examples=20, deadline=None)
@given(per_class=st.integers(1, 5), symmetrize=st.sampled_from(["mutual", "sum"]))
def test_masses_agree_exactly_where_classes_have_equally_many_labels(
    per_class: int, symmetrize: str
) -> None:
    features, classes, _ = unequal_clusters(np.random.default_rng(per_class))
    labeled = np.flatnonzero(np.arange(300) % 60 < per_class)
    graph = feature_graph(features, k=20, symmetrize=symmetrize)
    both = [
        propagate_labels(graph, labeled, classes[labeled], 6, label_mass=mass)
        for mass in LABEL_MASSES
    ]
    np.testing.assert_array_equal(both[0].probabilities, both[1].probabilities)


def test_propagate_labels_refuses_an_unknown_mass() -> None:
    with pytest.raises(ValueError, match="label mass 'two'"):
        propagate_labels(
            sparse.csr_array((2, 2)), np.array([0]), np.array([0]), 1, label_mass="two"
        )


def test_propagate_labels_reports_what_few_iterations_leave() -> None:
    adjacency = random_adjacency(200, 0.03)
    found = propagate_labels(adjacency, np.array([0]), np.array([1]), 3, max_iterations=3)
    np.testing.assert_array_equal(found.n_iterations, [0, 3, 0])
    assert found.residuals[1] > 1e-6
    assert not found.residuals[[0, 2]].any()


@pytest.mark.parametrize("n", [0, 1, 4])
def test_propagate_labels_without_edges_or_labels(n: int) -> None:
    found = propagate_labels(sparse.csr_array((n, n)), np.array([]), np.array([]), 2)
    np.testing.assert_array_equal(found.labels, np.full(n, -1))
    np.testing.assert_array_equal(found.probabilities, np.zeros((n, 2)))


@pytest.mark.parametrize(
    ("ids", "labels"),
    [([0, 0], [1, 1]), ([5], [0]), ([-1], [0]), ([0], [2]), ([0], [-1]), ([0, 1], [0])],
)
def test_one_hot_refuses_what_does_not_fit(ids, labels) -> None:
    with pytest.raises(ValueError):
        one_hot(np.array(ids), np.array(labels), 5, 2)


def test_certainty_hand_worked() -> None:
    p = np.array([[1, 0, 0, 0], [0.25] * 4, [0.5, 0.5, 0, 0]])
    np.testing.assert_allclose(certainty(p), [1, 0, 0.5])
    np.testing.assert_array_equal(certainty(np.ones((3, 1))), [1, 1, 1])


@pytest.mark.parametrize("symmetrize", ["mutual", "sum"])
@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 30), k=st.integers(1, 40), seed=st.integers(0, 1000))
def test_feature_graph_equals_brute_force(symmetrize, n, k, seed) -> None:
    features = np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32)
    found = feature_graph(3 * features, k=k, symmetrize=symmetrize)
    unit = features.astype(np.float64) / np.linalg.norm(features, axis=1, keepdims=True)
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -np.inf)
    ids = np.argsort(-similarities, axis=1)[:, : min(k, n - 1)]
    values = np.take_along_axis(similarities, ids, axis=1)
    expected = dense_adjacency(ids, values, 3.0, symmetrize)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-5)


@pytest.mark.parametrize("symmetrize", ["mutual", "sum"])
def test_feature_graph_isolates_zero_rows_and_keeps_duplicates(symmetrize) -> None:
    features = np.array([[0, 0], [1, 0], [2, 0], [0, 0], [1, 0]], np.float32)
    found = feature_graph(features, k=4, symmetrize=symmetrize).toarray()
    assert not found[[0, 3]].any()
    assert not found[:, [0, 3]].any()
    weight = 1 if symmetrize == "mutual" else 2
    np.testing.assert_allclose(found[np.ix_([1, 2, 4], [1, 2, 4])], weight * (1 - np.eye(3)))


@pytest.mark.parametrize("method", ["ivf", "hnsw"])
def test_feature_graph_of_approximate_neighbors_has_the_recall_that_it_tells(method) -> None:
    pytest.importorskip("faiss")
    features, recalls = np.random.default_rng(0).normal(size=(800, 12)), []
    exact = feature_graph(features, k=10, symmetrize="sum")
    found = feature_graph(
        features, k=10, symmetrize="sum", method=method, tell_recall=recalls.append
    )
    shared = found.multiply(exact.astype(bool)).nnz / exact.nnz
    assert 0.9 < recalls[0] <= 1
    assert shared == pytest.approx(recalls[0], abs=0.03)
    feature_graph(features, k=10, tell_recall=recalls.append)
    assert len(recalls) == 1


@pytest.mark.parametrize("n", [0, 1])
def test_feature_graph_of_less_than_two(n: int) -> None:
    assert feature_graph(np.ones((n, 3), np.float32)).shape == (n, n)


def test_feature_graph_refuses_features_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        feature_graph(np.array([[1, np.nan], [1, 0]], np.float32))
