"""Reduction of regions: plain EM from the equations, hand-worked clusters, degenerate input."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from rrtool.core.retrieval.region_reduction import (
    TOLERANCE,
    RegionMixture,
    fit_region_mixture,
    reduce_regions,
)
from rrtool.core.retrieval.whitening import l2_normalize


def unit_vectors(seed: int, n: int, d: int = 6) -> np.ndarray:
    """Of positive entries, as descriptors are: they overlap, so that responsibilities are soft."""
    return l2_normalize(np.random.default_rng(seed).random((n, d)).astype(np.float32))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def plain_seeds(points: list[list[float]], m: int, generator: np.random.Generator) -> list[int]:
    seeds = [int(generator.integers(len(points)))]
    while len(seeds) < m:
        to_nearest = [min(math.dist(p, points[s]) ** 2 for s in seeds) for p in points]
        shares = [value / sum(to_nearest) for value in to_nearest]
        seeds.append(int(generator.choice(len(points), p=shares)))
    return seeds


def plain_fit(points: list[list[float]], seeds: list[int]):
    """EM in loops over points and components, in float64, with scipy's densities."""
    n, d, m = len(points), len(points[0]), len(seeds)
    nearest = [min(range(m), key=lambda k: math.dist(p, points[seeds[k]])) for p in points]
    gamma = [[float(nearest[i] == k) for k in range(m)] for i in range(n)]
    reached = [-math.inf]
    while len(reached) < 2 or abs(reached[-1] - reached[-2]) > TOLERANCE:
        weights, means, spread = [], [], 0.0
        for k in range(m):
            mass = sum(gamma[i][k] for i in range(n))
            mean = [sum(gamma[i][k] * points[i][j] for i in range(n)) / mass for j in range(d)]
            spread += sum(gamma[i][k] * math.dist(points[i], mean) ** 2 for i in range(n))
            weights.append(mass / n)
            means.append(mean)
        variance = spread / (n * d)
        reached.append(0.0)
        for i in range(n):
            joint = [
                math.log(weights[k])
                + multivariate_normal.logpdf(points[i], means[k], variance * np.eye(d))
                for k in range(m)
            ]
            total = np.logaddexp.reduce(joint)
            gamma[i] = [math.exp(value - total) for value in joint]
            reached[-1] += total / n
    return reached[-1], np.array(weights), np.array(means), variance, len(reached) - 1


def plain_mixture(points: np.ndarray, m: int, n_starts: int, generator: np.random.Generator):
    points = sorted(points.astype(np.float64).tolist())
    fits = [plain_fit(points, plain_seeds(points, m, generator)) for _ in range(n_starts)]
    return next(fit for fit in fits if fit[0] >= max(other[0] for other in fits) - TOLERANCE)


def log_densities(points: np.ndarray, mixture: RegionMixture) -> np.ndarray:
    """``(n, m)``, weights included."""
    covariance = mixture.variance * np.eye(points.shape[1])
    joint = [
        math.log(weight) + multivariate_normal.logpdf(points, mean, covariance)
        for weight, mean in zip(mixture.weights, mixture.means, strict=True)
    ]
    return np.stack(joint, axis=1)


@pytest.mark.parametrize(
    ("seed", "n", "d", "m", "n_starts"), [(1, 14, 6, 3, 1), (2, 20, 3, 4, 3), (3, 14, 12, 4, 2)]
)
def test_fit_region_mixture_equals_plain_em(seed, n, d, m, n_starts) -> None:
    points = unit_vectors(seed, n, d)
    mixture = fit_region_mixture(points, m, rng(seed), n_starts)
    reached, weights, means, variance, n_iterations = plain_mixture(points, m, n_starts, rng(seed))
    assert mixture.converged
    assert mixture.n_iterations == n_iterations > 2
    assert mixture.log_likelihood == pytest.approx(reached, abs=1e-9)
    assert mixture.variance == pytest.approx(variance, rel=1e-9)
    np.testing.assert_allclose(mixture.weights, weights, atol=1e-9)
    np.testing.assert_allclose(mixture.means, means, atol=1e-9)


def test_fit_region_mixture_never_loses_likelihood() -> None:
    points = unit_vectors(4, 40, 4).astype(np.float64)
    reached = []
    for i in range(1, 12):
        mixture = fit_region_mixture(points, 4, rng(1), 1, i)
        reached.append(np.logaddexp.reduce(log_densities(points, mixture), axis=1).mean())
        assert mixture.log_likelihood == pytest.approx(reached[-1], abs=1e-9)
    assert (np.diff(reached) >= -1e-12).all()
    assert reached[-1] > reached[0]


def test_fit_region_mixture_takes_the_likeliest_of_its_starts() -> None:
    points = unit_vectors(5, 30, 3)

    def reached(seed: int, n_starts: int) -> float:
        return fit_region_mixture(points, 6, rng(seed), n_starts).log_likelihood

    single = [reached(seed, 1) for seed in range(8)]
    assert reached(0, 40) >= max(single) - TOLERANCE
    assert min(single) < max(single) - 0.01


def test_fit_region_mixture_says_whether_it_converged() -> None:
    points = unit_vectors(4, 40, 4)
    short = fit_region_mixture(points, 4, rng(1), 1, 2)
    assert (short.n_iterations, short.converged) == (2, False)


def test_fit_region_mixture_responsibilities_are_those_of_the_parameters() -> None:
    points = unit_vectors(5, 25, 5).astype(np.float64)
    mixture = fit_region_mixture(points, 3, rng())
    joint = np.exp(log_densities(points, mixture))
    expected = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mixture.responsibilities, expected, atol=1e-9)
    assert mixture.weights.sum() == pytest.approx(1)


def test_fit_region_mixture_of_separated_clusters_by_hand() -> None:
    # Two pairs and a single point: the means are in the middle of each.
    points = np.array([[0, 0], [0, 0.2], [10, 0], [10.4, 0], [0, 30]])
    mixture = fit_region_mixture(points, 3, rng())
    order = np.argsort(mixture.means @ [1, 2])
    np.testing.assert_allclose(mixture.means[order], [[0, 0.1], [10.2, 0], [0, 30]], atol=1e-12)
    np.testing.assert_allclose(mixture.weights[order], [0.4, 0.4, 0.2], atol=1e-12)
    # Σ ‖x − μ‖² = 2 · 0.1² + 2 · 0.2², over five points of two dimensions.
    assert mixture.variance == pytest.approx(0.01)
    np.testing.assert_allclose(
        mixture.responsibilities[:, order],
        [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]],
        atol=1e-12,
    )


def test_reduce_regions_is_the_normalised_means() -> None:
    regions = unit_vectors(6, 14)
    mixture = fit_region_mixture(regions, 5, rng(3))
    reduced = reduce_regions(regions, 5, rng(3))
    expected = mixture.means / np.linalg.norm(mixture.means, axis=1, keepdims=True)
    assert reduced.descriptors.dtype == np.float32
    np.testing.assert_allclose(reduced.descriptors, expected, atol=1e-6)
    assert reduced.members.shape == (14, 5)
    assert reduced.members.any(axis=0).all()


def test_reduce_regions_finds_clusters_whatever_the_order_and_the_seed() -> None:
    centers = np.eye(8)[[0, 3, 5]]
    noise = rng(7).normal(scale=0.01, size=(12, 8))
    regions = l2_normalize((np.repeat(centers, 4, axis=0) + noise).astype(np.float32))
    for seed in range(5):
        order = rng(seed).permutation(12)
        reduced = reduce_regions(regions[order], 3, rng(seed))
        found = reduced.descriptors @ centers.T
        assert (found.max(axis=0) > 0.999).all()
        groups = {tuple(sorted(order[column])) for column in reduced.members.T}
        assert groups == {(0, 1, 2, 3), (4, 5, 6, 7), (8, 9, 10, 11)}


def test_reduce_regions_does_not_depend_on_the_order_of_the_regions() -> None:
    regions = unit_vectors(8, 14)
    order = rng(9).permutation(14)
    one, other = reduce_regions(regions, 5, rng(2)), reduce_regions(regions[order], 5, rng(2))
    assert np.array_equal(one.descriptors, other.descriptors)
    assert np.array_equal(one.members[order], other.members)


def test_reduce_regions_of_few_keeps_them_as_they_are() -> None:
    regions = unit_vectors(10, 4)
    regions[3] = regions[1]
    for n_regions in (4, 5, 100):
        reduced = reduce_regions(regions, n_regions, rng())
        assert np.array_equal(reduced.descriptors, regions)
        assert np.array_equal(reduced.members, np.eye(4, dtype=bool))
        assert reduced.converged


def test_reduce_regions_of_copies_gives_the_distinct_ones() -> None:
    distinct = unit_vectors(11, 2)
    reduced = reduce_regions(np.repeat(distinct, 5, axis=0), 4, rng())
    assert reduced.descriptors.shape == (2, 6)
    similarities = reduced.descriptors @ distinct.T
    np.testing.assert_allclose(similarities.max(axis=0), 1, atol=1e-6)
    assert reduced.members.sum(axis=0).tolist() == [5, 5]
    one = reduce_regions(np.repeat(distinct[:1], 5, axis=0), 3, rng())
    np.testing.assert_allclose(one.descriptors, distinct[:1], atol=1e-6)


def test_reduce_regions_to_one_is_the_normalised_mean() -> None:
    regions = unit_vectors(12, 9)
    reduced = reduce_regions(regions, 1, rng())
    mean = regions.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(reduced.descriptors[0], mean / np.linalg.norm(mean), atol=1e-6)
    assert reduced.members.all()


def test_reduce_regions_leaves_out_what_says_nothing() -> None:
    good = unit_vectors(13, 7)
    regions = np.insert(good, [0, 4], [[np.nan] * 6, [0] * 6], axis=0).astype(np.float32)
    expected = reduce_regions(good, 3, rng())
    reduced = reduce_regions(regions, 3, rng())
    assert np.array_equal(reduced.descriptors, expected.descriptors)
    said = np.flatnonzero(np.isfinite(regions).all(axis=1) & regions.any(axis=1))
    assert np.array_equal(reduced.members[said], expected.members)
    assert not np.delete(reduced.members, said, axis=0).any()


def test_reduce_regions_of_nothing() -> None:
    zeros = reduce_regions(np.zeros((3, 4), np.float32), 2, rng())
    assert zeros.descriptors.tolist() == [[0, 0, 0, 0]]
    assert zeros.members.tolist() == [[True], [False], [False]]
    for nothing in (np.zeros((0, 4), np.float32), np.full((2, 4), np.nan, np.float32)):
        reduced = reduce_regions(nothing, 2, rng())
        assert reduced.descriptors.shape == (0, 4)
        assert reduced.members.shape == (len(nothing), 0)


def test_region_reduction_leaves_its_arguments_alone() -> None:
    regions = unit_vectors(14, 9)
    regions.flags.writeable = False
    reduce_regions(regions, 3, rng())


@pytest.mark.parametrize(
    ("points", "m"),
    [(np.zeros((0, 3)), 2), (np.zeros(3), 2), (np.array([[1, np.nan]]), 1), (np.ones((4, 2)), 0)],
)
def test_fit_region_mixture_refuses_unfit_input(points, m) -> None:
    with pytest.raises(ValueError, match="expected"):
        fit_region_mixture(points, m, rng())


def test_region_reduction_refuses_to_keep_no_region() -> None:
    with pytest.raises(ValueError, match="0 regions"):
        reduce_regions(np.ones((4, 2), np.float32), 0, rng())
