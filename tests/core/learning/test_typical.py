"""TypiClust and ProbCover against loops as their papers print them, and hand-worked cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from rrtool.core.learning.kmeans import kmeans
from rrtool.core.learning.typical import (
    acquire_covering,
    acquire_typical,
    pure_radius,
    typicality,
)

pytestmark = pytest.mark.usefixtures("one_thread")
NOTHING = np.array([], dtype=np.int64)


def blobs(*sizes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Well apart clusters of these sizes, and the cluster of each point."""
    generator = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    centers = 20 * np.eye(len(sizes))
    points = centers[truth] + generator.normal(size=(len(truth), len(sizes)))
    return points.astype(np.float32), truth


@pytest.mark.parametrize("n_neighbors", [1, 3, 20])
def test_typicality_is_the_inverse_mean_distance_to_the_nearest_others(n_neighbors):
    points = np.random.default_rng(1).normal(size=(30, 4)).astype(np.float32)
    distances = np.sort(cdist(points, points), axis=1)[:, 1:]
    expected = 1 / (distances[:, : min(n_neighbors, 15)].mean(axis=1) + 1e-5)
    np.testing.assert_allclose(typicality(points, n_neighbors), expected, rtol=1e-3)


@pytest.mark.parametrize(("n", "expected"), [(0, []), (1, [0])])
def test_typicality_of_none_or_one(n, expected):
    assert typicality(np.ones((n, 3), np.float32)).tolist() == expected


def test_acquire_typical_takes_the_most_typical_of_each_uncovered_cluster_largest_first():
    points, truth = blobs(30, 12, 20, 8)
    # The cluster of 30 is covered already, so that the other three are taken by their size.
    found = acquire_typical(points, np.array([0]), np.arange(1, 70), 3, np.random.default_rng(0))
    assert truth[found.ids].tolist() == [2, 1, 3]
    for row, score in zip(found.ids, found.scores, strict=True):
        members = np.flatnonzero(truth == truth[row])
        nearest = np.sort(cdist(points[members], points[members]), axis=1)
        mean = nearest[:, 1 : 1 + min(20, len(members) // 2)].mean(axis=1)
        assert row == members[mean.argmin()]
        assert score == pytest.approx(1 / mean.min(), rel=1e-3)


def test_acquire_typical_leaves_clusters_of_up_to_five_images_to_the_end():
    points, truth = blobs(5, 9, 14)
    found = acquire_typical(points, NOTHING, np.arange(28), 3, np.random.default_rng(0))
    assert truth[found.ids].tolist() == [2, 1, 0]


def test_acquire_typical_finds_more_classes_than_chance():
    points, truth = blobs(*[40] * 4, *[8] * 4)
    found = {"typical": 0, "random": 0}
    for seed in range(6):
        draw = np.random.default_rng(seed)
        picks = acquire_typical(points, NOTHING, np.arange(192), 8, draw).ids
        found["typical"] += len(set(truth[picks]))
        found["random"] += len(set(truth[draw.permutation(192)[:8]]))
    assert found["typical"] >= 40 > found["random"] + 6


def test_pure_radius_is_the_largest_on_a_grid_with_balls_as_pure():
    points = np.random.default_rng(4).normal(size=(80, 2)).astype(np.float32)
    clusters = kmeans(points, 4, np.random.default_rng(0)).assignments
    distances = cdist(points, points)

    def purity(radius: float) -> float:
        return np.mean([
            (clusters[row < radius] == clusters[i]).all() for i, row in enumerate(distances)
        ])  # fmt: skip

    found = pure_radius(points, clusters)
    assert purity(found - 1e-4) >= 0.95
    assert purity(found + 1e-4) < 0.95
    assert pure_radius(points, np.zeros(80, int)) == np.inf


def test_acquire_covering_is_the_greedy_maximum_coverage():
    generator = np.random.default_rng(5)
    points = generator.normal(size=(60, 2)).astype(np.float32)
    labeled, pool = np.array([3, 7]), np.setdiff1d(np.arange(60), [3, 7])
    found = acquire_covering(points, labeled, pool, 10, np.random.default_rng(0), n_clusters=4)
    # The radius from the first pick's own score: the number of points within it is what it gained.
    distances = cdist(points, points)
    ordered = np.random.default_rng(0).permutation(pool)
    rows = points[np.concatenate([ordered, labeled])]
    draw = np.random.default_rng(0)
    draw.permutation(pool)
    runs = [kmeans(rows, 4, draw) for _ in range(5)]
    best = min(runs, key=lambda run: run.objectives[-1]).assignments
    ball = distances < pure_radius(rows, best)
    covered = ball[labeled].any(axis=0)
    for row, score in zip(found.ids, found.scores, strict=True):
        gains = (ball & ~covered).sum(axis=1)
        assert score == gains[row]
        left = np.setdiff1d(pool, found.ids[: found.ids.tolist().index(row)])
        assert gains[row] == gains[left].max()
        covered |= ball[row]


def test_acquire_covering_of_one_point_many_times():
    same = np.ones((9, 3), np.float32)
    found = acquire_covering(same, NOTHING, np.arange(9), 4, np.random.default_rng(0), n_clusters=2)
    assert len(set(found.ids)) == 4
