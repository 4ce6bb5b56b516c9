"""Regional scores: cross-matching and generalized max pooling against plain loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rrtool.core.retrieval.regional import (
    cross_match,
    max_by_image,
    max_pooling_weights,
    sum_by_image,
)
from rrtool.core.retrieval.whitening import l2_normalize

OFFSETS = np.array([0, 3, 3, 4, 9, 9])  # five images of 3, 0, 1, 5 and 0 regions


def unit_vectors(seed: int, n: int) -> np.ndarray:
    return l2_normalize(np.random.default_rng(seed).normal(size=(n, 6)).astype(np.float32))


def test_sum_and_max_by_image_equal_a_loop() -> None:
    values = np.random.default_rng(0).normal(size=(2, 9))
    for row in range(2):
        groups = [values[row, first:last] for first, last in pairwise(OFFSETS)]
        np.testing.assert_allclose(
            sum_by_image(values, OFFSETS)[row], [group.sum() for group in groups], atol=1e-12
        )
        expected = [group.max() if len(group) else -np.inf for group in groups]
        np.testing.assert_array_equal(max_by_image(values, OFFSETS)[row], expected)


def test_by_image_of_no_images_is_empty() -> None:
    none = np.zeros(1, dtype=np.int64)
    assert sum_by_image(np.zeros((3, 0)), none).shape == (3, 0)
    assert max_by_image(np.zeros((3, 0)), none).shape == (3, 0)
    assert max_pooling_weights(np.zeros((0, 4)), none).shape == (0,)


def test_cross_match_equals_a_loop_over_pairs_of_images() -> None:
    queries, regions = unit_vectors(1, 7), unit_vectors(2, 9)
    query_offsets = np.array([0, 2, 2, 7])
    found = cross_match(queries @ regions.T, query_offsets, OFFSETS)
    for q, (a, b) in enumerate(pairwise(query_offsets)):
        for i, (c, d) in enumerate(pairwise(OFFSETS)):
            if a == b or c == d:
                assert found[q, i] == -np.inf
                continue
            best = [max(float(x @ y) for y in regions[c:d]) for x in queries[a:b]]
            assert found[q, i] == pytest.approx(np.mean(best), abs=1e-6)


def test_cross_match_of_single_vectors_is_their_similarity() -> None:
    similarities = unit_vectors(3, 4) @ unit_vectors(4, 5).T
    found = cross_match(similarities, np.arange(5), np.arange(6))
    np.testing.assert_allclose(found, similarities, atol=1e-7)


def test_max_pooling_weights_solve_the_ridge_system() -> None:
    vectors = unit_vectors(5, 9)
    weights = max_pooling_weights(vectors, OFFSETS, ridge=0.5)
    for first, last in pairwise(OFFSETS):
        phi = vectors[first:last].astype(np.float64)
        left = phi @ (phi.T @ weights[first:last]) + 0.5 * weights[first:last]
        np.testing.assert_allclose(left, np.ones(last - first), atol=1e-9)


def test_max_pooling_weights_hand_worked() -> None:
    # Orthogonal regions: each weighs 1/(1 + λ). m equal ones share: 1/(m + λ) each.
    weights = max_pooling_weights(np.eye(3), np.array([0, 3]))
    np.testing.assert_allclose(weights, 0.5)
    weights = max_pooling_weights(np.tile([1.0, 0.0], (4, 1)), np.array([0, 4]))
    np.testing.assert_allclose(weights, 0.2)
    # A region without activations says nothing of the others.
    weights = max_pooling_weights(np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([0, 2]))
    np.testing.assert_allclose(weights, [0.5, 1.0])
