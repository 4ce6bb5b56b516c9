"""Fewer regions an image: a Gaussian mixture of their descriptors ([Isc+17]; thesis §5.4.3).

The regional descriptors of an image are reduced to m: the means of a mixture of m Gaussians, each
l2-normalised. Neither text says more. Here covariances are spherical, one variance a component:
a dozen points of hundreds of dimensions tell no more. Seeds are those of k-means++.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtool.core.whitening import l2_normalize

MAX_ITERATIONS = 100
TOLERANCE = 1e-6

# Variance of a component that has one point, or copies of one: far below that of any two regions.
MIN_VARIANCE = 1e-6


@dataclass(frozen=True)
class RegionMixture:
    """A mixture of spherical Gaussians, all float64.

    Attributes:
        weights: ``(m,)`` of sum 1.
        means: ``(m, d)``.
        variances: ``(m,)`` of one dimension.
        responsibilities: ``(n, m)`` of each component for each point; rows sum to 1.
        n_iterations: of expectation and maximization.
        converged: whether the mean log-likelihood had come to rest.
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    responsibilities: np.ndarray
    n_iterations: int
    converged: bool


def fit_region_mixture(
    points: np.ndarray,
    n_components: int,
    generator: np.random.Generator,
    *,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> RegionMixture:
    """Maximum likelihood by expectation-maximization, from k-means++ and its hard assignment.

    Args:
        points: ``(n, d)`` finite, n ≥ 1. Their order does not matter to the components.
        n_components: m; fewer come back where there are fewer distinct points.
        generator: draws the seeds.
        tolerance: of the mean log-likelihood.

    Raises:
        ValueError: there is no point, one is not finite, or a number is out of its range.
    """
    points = np.asarray(points, np.float64)
    _check(points, n_components, max_iterations, tolerance)
    # In an order of their own, so that draws and sums do not depend on the order given.
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    seeds = _spread_seeds(ordered, n_components, generator)
    nearest = _squared_distances(ordered, ordered[seeds]).argmin(axis=1)
    responsibilities = np.eye(len(seeds))[nearest]
    likelihood, n_iterations, converged = -np.inf, 0, False
    while n_iterations < max_iterations and not converged:
        parameters = _maximize(ordered, responsibilities)
        responsibilities, reached = _expect(ordered, *parameters)
        converged = abs(reached - likelihood) <= tolerance
        likelihood, n_iterations = reached, n_iterations + 1
    in_order_given = np.empty_like(responsibilities)
    in_order_given[order] = responsibilities
    return RegionMixture(*parameters, in_order_given, n_iterations, converged)


@dataclass(frozen=True)
class ReducedRegions:
    """The regions that stand for those of an image.

    Attributes:
        descriptors: ``(m, d)`` float32, l2-normalised.
        members: ``(r, m)`` bool, which of the given regions each stands for; no column is empty.
        converged: see ``RegionMixture``; True where nothing had to be fitted.
    """

    descriptors: np.ndarray
    members: np.ndarray
    converged: bool


def reduce_regions(
    descriptors: np.ndarray, n_regions: int, generator: np.random.Generator
) -> ReducedRegions:
    """At most ``n_regions`` descriptors in place of those of one image.

    Up to ``n_regions`` of them stay as they are, in their order. Else they are the means of a
    mixture, l2-normalised, each standing for the regions for which it is more responsible than
    half of what it is for any. Rows that are not finite, and zero ones beside others, say nothing
    of the image and are left out; of an image that is zero everywhere one zero row stays.

    Args:
        descriptors: ``(r, d)`` float32, l2-normalised or zero.
        n_regions: at least 1.
    """
    if n_regions < 1:
        raise ValueError(f"{n_regions} regions, expected at least 1")
    finite = np.isfinite(descriptors).all(axis=1)
    kept = np.flatnonzero(finite & descriptors.any(axis=1))
    if not len(kept):
        kept = np.flatnonzero(finite)[:1]
    n = len(descriptors)
    if len(kept) <= n_regions:
        members = np.arange(n)[:, None] == kept
        return ReducedRegions(descriptors[kept].astype(np.float32), members, True)
    mixture = fit_region_mixture(descriptors[kept], n_regions, generator)
    share = mixture.responsibilities
    members = np.zeros((n, share.shape[1]), bool)
    members[kept] = share > share.max(axis=0) / 2
    means = l2_normalize(mixture.means).astype(np.float32)
    return ReducedRegions(means, members, mixture.converged)


def _check(points: np.ndarray, n_components: int, max_iterations: int, tolerance: float) -> None:
    if points.ndim != 2 or not len(points):
        raise ValueError(f"the points are {points.shape}, expected (n, d) with n at least 1")
    if not np.isfinite(points).all():
        raise ValueError("a point is NaN or infinite")
    if n_components < 1 or max_iterations < 1 or not tolerance >= 0:
        raise ValueError(
            f"{n_components} components, {max_iterations} iterations and tolerance {tolerance},"
            " expected at least 1, 1 and 0"
        )


def _squared_distances(points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """``(n, m)``, from differences: copies are at distance 0 exactly."""
    return ((points[:, None] - centers) ** 2).sum(axis=2)


def _spread_seeds(points: np.ndarray, n_seeds: int, generator: np.random.Generator) -> np.ndarray:
    """k-means++: rows, each drawn by its squared distance to those before; distinct points."""
    seeds = [int(generator.integers(len(points)))]
    distances = _squared_distances(points, points[seeds])[:, 0]
    while len(seeds) < n_seeds and distances.any():
        seeds.append(int(generator.choice(len(points), p=distances / distances.sum())))
        distances = np.minimum(distances, _squared_distances(points, points[seeds[-1:]])[:, 0])
    return np.array(seeds)


def _maximize(
    points: np.ndarray, responsibilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and variances; a component that has lost all its points is dropped."""
    responsibilities = responsibilities[:, responsibilities.sum(axis=0) > 0]
    masses = responsibilities.sum(axis=0)
    means = (responsibilities.T @ points) / masses[:, None]
    spread = (responsibilities * _squared_distances(points, means)).sum(axis=0)
    variances = np.maximum(spread / (masses * points.shape[1]), MIN_VARIANCE)
    return masses / len(points), means, variances


def _expect(
    points: np.ndarray, weights: np.ndarray, means: np.ndarray, variances: np.ndarray
) -> tuple[np.ndarray, float]:
    """Responsibilities ``(n, m)`` and the mean log-likelihood."""
    logs = np.log(weights) - points.shape[1] / 2 * np.log(2 * np.pi * variances)
    logs = logs - _squared_distances(points, means) / (2 * variances)
    largest = logs.max(axis=1, keepdims=True)
    densities = np.exp(logs - largest)
    totals = densities.sum(axis=1, keepdims=True)
    return densities / totals, float((largest + np.log(totals)).mean())
