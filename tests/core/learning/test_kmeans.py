"""k-means against plain Lloyd iterations and brute force; mutual information by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtool.core.learning.kmeans import kmeans, normalized_mutual_information


def _plain_lloyd(points, centroids, n_iterations):
    """In float64, a loop over points; no cluster may run empty."""
    points, centroids = points.astype(np.float64), centroids.astype(np.float64)
    for step in range(n_iterations + 1):
        distances = [[((p - c) ** 2).sum() for c in centroids] for p in points]
        assignments = np.argmin(distances, axis=1)
        if step < n_iterations:
            centroids = np.array(
                [points[assignments == j].mean(axis=0) for j in range(len(centroids))]
            )
    return assignments, centroids, float(np.mean(np.min(distances, axis=1)))


@pytest.mark.parametrize("n_iterations", [0, 1, 10])
def test_kmeans_equals_plain_lloyd(n_iterations):
    points = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    found = kmeans(points, 4, np.random.default_rng(1), n_iterations)
    start = points[np.random.default_rng(1).choice(60, 4, replace=False)]
    assignments, centroids, objective = _plain_lloyd(points, start, n_iterations)
    np.testing.assert_array_equal(found.assignments, assignments)
    np.testing.assert_allclose(found.centroids, centroids, atol=1e-5)
    assert found.objectives[-1] == pytest.approx(objective, rel=1e-5)
    assert len(found.objectives) == n_iterations + 1
    assert found.n_reseeded == found.n_empty == 0


def test_kmeans_finds_groups_far_apart():
    truth = np.repeat(np.arange(5), 20)
    points = (10 * np.eye(5)[truth] + np.random.default_rng(0).normal(size=(100, 5))).astype("f4")
    best = max(
        normalized_mutual_information(
            kmeans(points, 5, np.random.default_rng(seed)).assignments, truth
        )
        for seed in range(10)
    )
    assert best == pytest.approx(1)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 30), k=st.integers(1, 35), n_distinct=st.integers(1, 30),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_kmeans_assigns_every_point_to_its_nearest_centroid(n, k, n_distinct, seed):
    generator = np.random.default_rng(seed)
    distinct = generator.normal(size=(n_distinct, 2)).astype(np.float32)
    points = distinct[generator.integers(0, n_distinct, n)]
    found = kmeans(points, k, generator)
    assert found.centroids.shape == (min(k, n), 2)
    distances = ((points[:, None] - found.centroids[None]) ** 2).sum(axis=2)
    own = distances[np.arange(n), found.assignments]
    np.testing.assert_allclose(own, distances.min(axis=1), atol=1e-5)
    assert found.objectives[-1] == pytest.approx(own.mean(), abs=1e-5)
    assert found.n_empty == min(k, n) - len(np.unique(found.assignments))


def _with_copies(n_copies: int) -> np.ndarray:
    """Most points are one and the same, so that several first centroids are equal."""
    spread = np.random.default_rng(3).normal(size=(60, 2)).astype(np.float32) * 5
    return np.vstack([np.zeros((n_copies, 2), np.float32), spread])


def test_kmeans_reseeds_empty_clusters_and_counts_them():
    points = _with_copies(60)
    without = kmeans(points, 8, np.random.default_rng(0), 0)
    assert without.n_empty > 0  # equal first centroids: only the first of them gets points
    found = kmeans(points, 8, np.random.default_rng(0), 10)
    assert found.n_empty == 0
    assert found.n_reseeded >= without.n_empty
    assert found.objectives[-1] < without.objectives[-1]


def test_kmeans_of_equal_points_ends_with_empty_clusters():
    found = kmeans(np.ones((7, 3), np.float32), 4, np.random.default_rng(0))
    assert found.n_empty == 3
    assert len(set(found.assignments)) == 1
    assert found.objectives[-1] == pytest.approx(0, abs=1e-9)
    assert np.isfinite(found.centroids).all()


@pytest.mark.parametrize("offset", [1.0, 30.0])
def test_kmeans_tells_points_apart_that_lie_close_together_far_from_the_origin(offset):
    """As features of an untrained network do: two groups 1e-3 apart at distance 1 and 30."""
    generator = np.random.default_rng(0)
    truth = np.arange(40) % 2
    points = (offset + 1e-3 * truth[:, None] + 1e-4 * generator.normal(size=(40, 8))).astype("f4")
    found = kmeans(points, 2, np.random.default_rng(1))
    assert normalized_mutual_information(found.assignments, truth) == pytest.approx(1)
    assert found.n_reseeded == 0


def test_kmeans_of_one_seed_is_one_clustering():
    points = _with_copies(20)
    first, second = (kmeans(points, 9, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.assignments, second.assignments)
    np.testing.assert_array_equal(first.centroids, second.centroids)
    before = points.copy()
    kmeans(points, 9, np.random.default_rng(5))
    np.testing.assert_array_equal(points, before)


def test_kmeans_of_nothing_is_empty():
    found = kmeans(np.zeros((0, 4), np.float32), 3, np.random.default_rng(0))
    assert found.assignments.shape == (0,)
    assert found.centroids.shape == (0, 4)
    assert found.n_empty == 0


def test_kmeans_refuses_no_clusters():
    with pytest.raises(ValueError, match="0 clusters"):
        kmeans(np.zeros((2, 2), np.float32), 0, np.random.default_rng(0))


def test_normalized_mutual_information_of_a_case_by_hand():
    first, second = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    entropy = np.log(2), -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    joint = 0.25 * np.log(4) * 2 + 0.5 * np.log(2)
    expected = (entropy[0] + entropy[1] - joint) / np.sqrt(entropy[0] * entropy[1])
    assert normalized_mutual_information(first, second) == pytest.approx(expected)
    assert normalized_mutual_information(second, first) == pytest.approx(expected)


def test_normalized_mutual_information_does_not_care_for_numbering():
    clusters = np.array([0, 1, 2, 2, 1, 0, 0])
    for order in itertools.permutations(range(3)):
        renamed = np.array(order)[clusters]
        assert normalized_mutual_information(clusters, renamed) == pytest.approx(1)
    crossed = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    assert normalized_mutual_information(*crossed) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "expected"), [([], [], 1), ([0, 0], [5, 5], 1), ([0, 0], [0, 1], 0)]
)
def test_normalized_mutual_information_of_single_clusters(first, second, expected):
    pair = np.array(first, np.int32), np.array(second, np.int32)
    assert normalized_mutual_information(*pair) == expected
