"""Acquisition against naive loops, and what every strategy must keep to."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import distance_matrix
from scipy.stats import entropy as scipy_entropy

from rrtool.core.learning.acquisition import (
    Acquisition,
    acquire_coreset,
    acquire_random,
    acquire_uncertain,
    ceal_threshold,
    check_budget,
    confident_pseudo_labels,
    entropy,
    nearest_labeled_distance,
    normalized_entropy,
)
from rrtool.core.learning.by_classifier import (
    acquire_badge,
    acquire_by_dropout,
    acquire_by_margin,
)
from rrtool.core.learning.joint_label_propagation import acquire_joint_propagation
from rrtool.core.learning.label_propagation import feature_graph
from rrtool.core.learning.typical import acquire_covering, acquire_typical

Strategy = Callable[..., Acquisition]
pytestmark = pytest.mark.usefixtures("one_thread")


def made(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features and probabilities with ties and duplicates."""
    generator = np.random.default_rng(seed)
    features = generator.integers(-2, 3, (n, 3)).astype(np.float32)
    probabilities = generator.integers(1, 4, (n, 3)).astype(np.float32)
    return features, probabilities / probabilities.sum(axis=1, keepdims=True)


def uncertain(features, probabilities, labeled, pool, budget, generator):
    return acquire_uncertain(probabilities, pool, budget, generator)


def at_random(features, probabilities, labeled, pool, budget, generator):
    return acquire_random(pool, budget, generator)


def coreset(features, probabilities, labeled, pool, budget, generator):
    return acquire_coreset(features, labeled, pool, budget, generator)


def joint(features, probabilities, labeled, pool, budget, generator):
    graph = feature_graph(features, k=3)
    return acquire_joint_propagation(graph, labeled, pool, budget, generator)


def by_margin(features, probabilities, labeled, pool, budget, generator):
    return acquire_by_margin(probabilities, pool, budget, generator)


def badge(features, probabilities, labeled, pool, budget, generator):
    return acquire_badge(features, probabilities, pool, budget, generator)


def dropout(features, probabilities, labeled, pool, budget, generator):
    return acquire_by_dropout(features, lambda x: x, pool, budget, generator)


def typical(features, probabilities, labeled, pool, budget, generator):
    return acquire_typical(features, labeled, pool, budget, generator)


def covering(features, probabilities, labeled, pool, budget, generator):
    return acquire_covering(features, labeled, pool, budget, generator, n_clusters=3)


STRATEGIES = [
    uncertain, at_random, coreset, joint, by_margin, badge, dropout, typical, covering,
]  # fmt: skip


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_strategies_keep_to_pool_and_budget_and_depend_on_the_seed_alone(
    strategy: Strategy, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, 25))
    seed = data.draw(st.integers(0, 1000))
    inputs = made(n, seed)
    shuffled = np.random.default_rng(seed).permutation(n)
    n_labeled = data.draw(st.integers(0, n))
    labeled, pool = shuffled[:n_labeled], shuffled[n_labeled:]
    pool = pool[: data.draw(st.integers(0, len(pool)))]
    budget = data.draw(st.integers(0, len(pool)))
    copies = [array.copy() for array in (*inputs, labeled, pool)]
    found = strategy(*inputs, labeled, pool, budget, np.random.default_rng(seed))
    assert found.ids.dtype == np.int64
    assert found.ids.shape == found.scores.shape == (budget,)
    assert np.isfinite(found.scores).all()
    assert len(set(found.ids.tolist())) == budget
    assert set(found.ids.tolist()) <= set(pool.tolist())
    again = strategy(*inputs, labeled, np.flip(pool), budget, np.random.default_rng(seed))
    np.testing.assert_array_equal(again.ids, found.ids)
    np.testing.assert_array_equal(again.scores, found.scores)
    # The block of columns, and so the rounding, of jLP follows the budget, as others' clusters do.
    if strategy not in (joint, typical, dropout):
        fewer = strategy(*inputs, labeled, pool, budget // 2, np.random.default_rng(seed))
        np.testing.assert_array_equal(fewer.ids, found.ids[: budget // 2])
    for before, after in zip(copies, (*inputs, labeled, pool), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    ("pool", "budget"), [([2, 3], 3), ([2, 3], -1), ([], 1), ([2, 2, 3], 1), ([-1, 2], 1)]
)
def test_strategies_refuse_a_budget_or_a_pool_that_does_not_fit(strategy, pool, budget) -> None:
    with pytest.raises(ValueError):
        strategy(*made(5), np.array([0]), np.array(pool), budget, np.random.default_rng(0))


@pytest.mark.parametrize("strategy", [coreset, joint, typical, covering])
def test_strategies_refuse_a_labelled_image_in_the_pool(strategy) -> None:
    with pytest.raises(ValueError, match="labelled"):
        strategy(*made(5), np.array([0, 3]), np.array([3, 4]), 1, np.random.default_rng(0))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_strategies_resolve_ties_differently_with_other_seeds(strategy) -> None:
    same = np.ones((40, 3), np.float32), np.full((40, 3), 1 / 3)
    picks = {
        tuple(strategy(*same, np.array([]), np.arange(40), 3, np.random.default_rng(seed)).ids)
        for seed in range(4)
    }
    assert len(picks) == 4


def test_check_budget_sorts_the_pool() -> None:
    np.testing.assert_array_equal(check_budget(np.array([4, 1, 3]), 2, np.array([0])), [1, 3, 4])


def test_acquire_random_takes_each_image_equally_often() -> None:
    generator = np.random.default_rng(0)
    picks = [acquire_random(np.arange(10), 3, generator).ids for _ in range(2000)]
    counts = np.bincount(np.concatenate(picks), minlength=10)
    assert abs(counts - 600).max() < 5 * np.sqrt(600)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 20), c=st.integers(1, 6), seed=st.integers(0, 1000))
def test_entropy_equals_scipy(n: int, c: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    p = generator.dirichlet(np.full(c, 0.1), n)
    p[generator.random(n) < 0.2] = np.eye(c)[0]
    np.testing.assert_allclose(entropy(p), scipy_entropy(p, axis=1), atol=1e-12)


def test_entropy_hand_worked() -> None:
    p = np.array([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.5, 0.5, 0, 0]], np.float32)
    np.testing.assert_allclose(entropy(p), np.log([1, 4, 2]))
    assert entropy(np.zeros((0, 3))).shape == (0,)
    for bad in (np.nan, -0.1, np.inf):
        with pytest.raises(ValueError):
            entropy(np.array([[bad, 1.0]]))


def test_acquire_uncertain_hand_worked() -> None:
    p = np.array([[0.5, 0.5], [1, 0], [0.9, 0.1], [0.6, 0.4], [0.5, 0.5]])
    found = acquire_uncertain(p, np.array([1, 2, 3, 4]), 3, np.random.default_rng(0))
    np.testing.assert_array_equal(found.ids, [4, 3, 2])
    np.testing.assert_allclose(found.scores, scipy_entropy(p, axis=1)[[4, 3, 2]])


def test_confident_pseudo_labels_hand_worked() -> None:
    p = np.array([[0.999, 0.001], [0.5, 0.5], [0, 1], [0.9, 0.1]])
    ids, labels = confident_pseudo_labels(p, np.array([3, 2, 0]), 0.02)
    np.testing.assert_array_equal(ids, [0, 2])
    np.testing.assert_array_equal(labels, [0, 1])
    assert labels.dtype == np.int32
    at_limit = scipy_entropy([0.9, 0.1], base=2)  # of two classes: H / log c
    np.testing.assert_array_equal(confident_pseudo_labels(p, np.arange(4), at_limit)[0], [0, 2, 3])
    assert len(confident_pseudo_labels(p, np.array([]), 1.0)[0]) == 0


def test_ceal_threshold_decays_to_zero() -> None:
    assert ceal_threshold(0) == 0.1
    assert ceal_threshold(10) == pytest.approx(0.1 - 0.0033)
    assert ceal_threshold(1, 0.5, 0.2) == pytest.approx(0.3)
    assert ceal_threshold(400) == 0.0


def test_confident_pseudo_labels_mean_the_same_for_any_number_of_classes() -> None:
    # Of a guess among two in c classes: H / log c = log 2 / log c.
    for n_classes, expected in ((4, 0.5), (16, 0.25), (1024, 0.1)):
        p = np.zeros((1, n_classes))
        p[0, :2] = 0.5
        assert normalized_entropy(p) == pytest.approx(expected)
        assert len(confident_pseudo_labels(p, np.arange(1), expected + 1e-9)[0]) == 1
        assert len(confident_pseudo_labels(p, np.arange(1), expected - 1e-9)[0]) == 0
    assert normalized_entropy(np.ones((2, 1))).tolist() == [0, 0]


def naive_coreset(
    features: np.ndarray, labeled: np.ndarray, pool: np.ndarray, budget: int
) -> list[int]:
    """Equation 3.4 word for word; ties go to the first of the pool."""
    features = features.astype(np.float64)
    labeled, pool, picks = labeled.tolist(), pool.tolist(), []
    for _ in range(budget):
        centers = features[labeled + picks] if labeled + picks else features[pool].mean(0)[None]
        nearest = distance_matrix(features[pool], centers).min(axis=1)
        picks.append(pool.pop(int(nearest.argmax())))
    return picks


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(1, 40), n_labeled=st.integers(0, 5), seed=st.integers(0, 1000),
    is_integer=st.booleans(), offset=st.sampled_from([0.0, 4096.0]),
)  # fmt: skip
def test_acquire_coreset_equals_the_naive_loop(n, n_labeled, seed, is_integer, offset) -> None:
    generator = np.random.default_rng(seed)
    if is_integer:  # all distances exact, many equal
        features = generator.integers(-1, 2, (n, 4)).astype(np.float32)
    else:
        # Far from the origin single precision, or ‖x‖² − 2xy + ‖y‖², would lose the order.
        features = (offset + generator.normal(size=(n, 4))).astype(np.float32)
    shuffled = generator.permutation(n)
    labeled, pool = shuffled[:n_labeled], np.sort(shuffled[n_labeled:])
    if is_integer and not n_labeled:
        labeled, pool = pool[:1], pool[1:]  # a mean is not exact
    found = acquire_coreset(features, labeled, pool, len(pool), np.random.default_rng(seed))
    ordered = np.random.default_rng(seed).permutation(pool)
    assert found.ids.tolist() == naive_coreset(features, labeled, ordered, len(pool))
    for step, pick in enumerate(found.ids[1:], 1):
        centers = np.concatenate([labeled, found.ids[:step]])
        nearest = distance_matrix(features[[pick]].astype(float), features[centers].astype(float))
        np.testing.assert_allclose(found.scores[step], nearest.min(), rtol=1e-12)


def test_acquire_coreset_hand_worked() -> None:
    line = np.array([[0.0], [1.0], [4.0], [10.0], [10.0]], np.float32)
    found = acquire_coreset(line, np.array([0]), np.array([1, 2, 3]), 3, np.random.default_rng(0))
    np.testing.assert_array_equal(found.ids, [3, 2, 1])
    np.testing.assert_array_equal(found.scores, [10, 4, 1])
    without = acquire_coreset(
        line, np.array([]), np.array([0, 1, 2, 3]), 4, np.random.default_rng()
    )
    np.testing.assert_array_equal(without.ids, [3, 0, 2, 1])  # the mean is 3.75
    np.testing.assert_array_equal(without.scores, [6.25, 10, 4, 1])


def test_acquire_coreset_takes_duplicates_last() -> None:
    features = np.array([[0], [1], [1], [2], [0]], np.float32)
    found = acquire_coreset(features, np.array([0]), np.arange(1, 5), 4, np.random.default_rng(3))
    assert found.ids[0] == 3
    assert set(found.ids[2:]) | {found.ids[1]} == {1, 2, 4}
    np.testing.assert_array_equal(found.scores, [2, 1, 0, 0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_acquire_coreset_refuses_features_that_are_not_finite(value) -> None:
    features = np.zeros((4, 2), np.float32)
    features[2, 1] = value
    with pytest.raises(ValueError, match="finite"):
        acquire_coreset(features, np.array([0]), np.array([1, 2]), 1, np.random.default_rng(0))
    found = acquire_coreset(features, np.array([0]), np.array([1, 3]), 1, np.random.default_rng(0))
    assert found.ids[0] in (1, 3)  # a failed row outside pool and labels plays no part


def test_nearest_labeled_distance_equals_distance_matrix() -> None:
    features = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    labeled, pool = np.array([3, 7]), np.array([9, 1, 20])
    expected = distance_matrix(features[pool], features[labeled]).min(axis=1)
    found = nearest_labeled_distance(features, labeled, pool)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isinf(nearest_labeled_distance(features, np.array([]), pool)).all()
    assert nearest_labeled_distance(features, labeled, np.array([])).shape == (0,)
