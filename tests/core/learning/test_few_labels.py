"""The classifier of few labels against plain solves, and what it must keep to."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.diffusion.graph import edge_weight
from rrtool.core.learning.few_labels import (
    directions,
    expected_calibration_error,
    fit_exponents,
    fit_ridges,
    fitted_k,
    held_out_folds,
    joined,
    learn_few_labels,
    training_set,
)
from rrtool.core.learning.label_propagation import feature_graph, propagate_labels
from rrtool.core.learning.out_of_sample import propagate_to

pytestmark = pytest.mark.usefixtures("one_thread")


def blobs(n: int = 120, c: int = 4, d: int = 8, noise: float = 0.9, seed: int = 0):
    generator = np.random.default_rng(seed)
    truth = np.arange(n) % c
    points = 2 * np.eye(c, d)[truth] + noise * generator.normal(size=(n, d))
    return directions(points, points.mean(axis=0)), truth


def learn(vectors, ids, labels, c, **more):
    graph = feature_graph(vectors, k=5, symmetrize="sum")

    def propagate(known, values):
        return propagate_labels(graph, known, values, c, alpha=0.9)

    return learn_few_labels(vectors, ids, labels, c, propagate, **more)


@pytest.mark.parametrize(("m", "d"), [(6, 20), (40, 5)])
def test_fit_ridges_is_the_weighted_least_squares_solution(m, d):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(m, d)).astype(np.float32)
    labels, weights = generator.integers(0, 3, m), generator.random(m)
    fits = fit_ridges(x, np.arange(m), labels, weights, 3, (0.1, 2.0))
    for strength, found in zip((0.1, 2.0), fits, strict=True):
        y = np.eye(3)[labels] - 1 / 3
        stacked = np.concatenate([np.sqrt(weights)[:, None] * x, np.sqrt(strength) * np.eye(d)])
        right = np.concatenate([np.sqrt(weights)[:, None] * y, np.zeros((d, 3))])
        expected = np.linalg.lstsq(stacked, right, rcond=None)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 1, 2], [0], [0, 1, 2], [1] * 30])
def test_held_out_folds_leave_a_label_to_every_class(labels):
    labels = np.array(labels)
    folds = held_out_folds(labels)
    for held in folds:
        rest = np.delete(labels, held)
        assert set(labels[held]) <= set(rest)
        assert len(held)
    counted = np.concatenate([*folds, np.zeros(0, int)])
    several = np.flatnonzero(np.bincount(labels)[labels] > 1)
    np.testing.assert_array_equal(np.sort(counted), several)


@pytest.mark.parametrize(
    ("n", "m", "k"), [(221, 16, 8), (221, 80, 4), (10_000, 20, 15), (10, 10, 4), (9, 0, 8)]
)
def test_fitted_k_grows_with_the_images_to_a_label(n, m, k):
    assert fitted_k(n, m) == k


def test_training_set_gives_labels_weight_1_and_pseudo_labels_their_certainty():
    vectors, truth = blobs()
    graph = feature_graph(vectors, k=5, symmetrize="sum")
    ids = np.array([0, 1, 2, 3])
    pseudo = propagate_labels(graph, ids, truth[ids], 4)
    found, labels, weights = training_set(pseudo, ids, truth[ids])
    assert len(np.unique(found)) == len(found)
    np.testing.assert_array_equal(labels[:4], truth[ids])
    np.testing.assert_array_equal(weights[:4], 1)
    np.testing.assert_array_equal(weights[4:], pseudo.weights[found[4:]])
    np.testing.assert_array_equal(labels[4:], pseudo.labels[found[4:]])


def test_learn_few_labels_is_better_with_the_unlabelled_than_without():
    gains = []
    for seed in range(5):
        vectors, truth = blobs(n=200, seed=seed)
        ids = np.arange(8)
        right = [
            (learn(vectors, ids, truth[ids], 4, semi=semi).weights, semi) for semi in (True, False)
        ]
        rest = slice(8, None)
        scores = [((vectors @ w).argmax(axis=1) == truth)[rest].mean() for w, _ in right]
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > 0.02


def test_learn_few_labels_tells_calibrated_probabilities():
    vectors, truth = blobs(n=600, noise=1.1)
    ids = np.arange(120)
    found = learn(vectors, ids, truth[ids], 4)
    assert found.held_out is not None
    assert found.held_out.n == 120
    rest = found.probabilities[120:]
    np.testing.assert_allclose(rest.sum(axis=1), 1, rtol=1e-5)
    assert expected_calibration_error(rest, truth[120:]) < 0.08
    told_right = (rest.argmax(axis=1) == truth[120:]).mean()
    assert abs(found.held_out.accuracy - told_right) < 0.08


def test_learn_few_labels_with_one_label_a_class_holds_none_out():
    vectors, truth = blobs()
    found = learn(vectors, np.arange(4), truth[:4], 4)
    assert found.held_out is None
    assert (found.probabilities.argmax(axis=1) == truth).mean() > 0.7


def test_learn_few_labels_of_one_class_or_of_empty_rows():
    vectors, _ = blobs()
    vectors[5] = 0
    found = learn(vectors, np.arange(3), np.zeros(3, int), 2)
    assert (found.probabilities[:5].argmax(axis=1) == 0).all()
    np.testing.assert_allclose(found.probabilities[5], 0.5)  # nothing is known of it


def test_joined_is_a_product_of_powers():
    scores, propagated = np.array([[1.0, 0.5]]), np.array([[0.2, 0.8]])
    product = np.exp(2 * scores) * (propagated + 1e-3) ** 0.5
    np.testing.assert_allclose(
        joined(scores, propagated, (2.0, 0.5)), product / product.sum(), rtol=1e-5
    )
    by_scores = joined(scores, np.zeros((1, 2)), (2.0, 0.5))
    np.testing.assert_allclose(by_scores, joined(scores, propagated, (2.0, 0.0)), rtol=1e-5)


@pytest.mark.parametrize(("m", "c", "noise"), [(12, 3, 0.3), (60, 8, 0.5), (6, 2, 0.05)])
def test_fit_exponents_finds_the_best_of_a_grid_and_of_what_is_near(m, c, noise):
    generator = np.random.default_rng(m)
    truth = np.arange(m) % c
    scores = 0.8 * np.eye(c)[truth] + noise * generator.normal(size=(m, c))
    propagated = np.eye(c)[truth] * 0.5 + 0.3 * generator.random((m, c))
    propagated /= propagated.sum(axis=1, keepdims=True)
    propagated[0] = 0  # a row that no label reaches

    def loss(t, u):
        told = np.exp(t * scores) * (propagated + 1e-3) ** u
        own = told[np.arange(m), truth] / told.sum(axis=1)
        return -np.log(own).mean() + 0.02 * (np.log(t / 8) ** 2 + np.log(u / 0.3) ** 2)

    (t, u), found = fit_exponents(scores, propagated, truth)
    assert found == pytest.approx(loss(t, u), abs=1e-9)
    places = np.exp(np.linspace(np.log(0.05), np.log(40), 60))
    grid = [(a, b) for a in places for b in places]
    near = [(t * a, u * b) for a in (0.99, 1, 1.01) for b in (0.99, 1, 1.01)]
    assert min(loss(*each) for each in grid + near) >= found - 1e-9


def test_expected_calibration_error_of_hand_worked_bins():
    told = np.array([[0.95, 0.05], [0.95, 0.05], [0.45, 0.55], [0.45, 0.55]])
    # First bin: confidence .95, half right; second: .55, all right.
    assert expected_calibration_error(told, np.array([0, 1, 1, 1])) == pytest.approx(0.45)
    assert expected_calibration_error(told[:0], np.zeros(0, int)) == 0


def test_propagate_to_is_the_weighted_mean_of_the_nearest():
    vectors, truth = blobs()
    queries = vectors[:7] + 0.01
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    told = np.eye(4, dtype=np.float32)[truth]
    found = propagate_to(queries, vectors, told, 5)
    similarities = queries @ vectors.T
    for row, own in zip(found, similarities, strict=True):
        nearest = np.argsort(-own)[:5]
        weights = edge_weight(own[nearest], 3.0)
        np.testing.assert_allclose(row, weights @ told[nearest] / weights.sum(), rtol=1e-4)


def test_propagate_to_nothing_similar_says_nothing():
    vectors = np.eye(3, dtype=np.float32)[:2]
    query = np.array([[0, 0, 1]], np.float32)
    np.testing.assert_array_equal(propagate_to(query, vectors, np.eye(2, dtype=np.float32), 4), 0)


def test_directions_keep_zero_rows():
    found = directions(np.array([[0, 0], [3.0, 4.0]], np.float32), np.array([0, 1], np.float32))
    np.testing.assert_allclose(found, [[0, 0], [np.sqrt(0.5), np.sqrt(0.5)]], rtol=1e-6)
