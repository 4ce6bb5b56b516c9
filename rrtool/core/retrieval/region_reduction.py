"""Fewer regions an image: a Gaussian mixture of their descriptors ([Isc+17]; thesis §5.4.3).

The regional descriptors of an image are reduced to m: the means of a mixture of m Gaussians, each
l2-normalised. Neither text says more. Here covariances are spherical and equal: a dozen points of
hundreds of dimensions tell no more, and with a variance of its own a component of one point would
have infinite likelihood. Seeds are those of k-means++, and the likeliest of several fits counts:
with one fit the seed moves the mAP of five regions by 1.5 points, with ten by 0.6.
"""

from dataclasses import dataclass, replace

import numpy as np

from rrtool.core.retrieval.whitening import l2_normalize

N_STARTS = 10
MAX_ITERATIONS = 100
TOLERANCE = 1e-6

# The variance where every point is a mean: far below that of any two regions.
MIN_VARIANCE = 1e-6


@dataclass(frozen=True)
class RegionMixture:
    """A mixture of spherical Gaussians, all float64.

    Attributes:
        weights: ``(m,)`` of sum 1.
        means: ``(m, d)``.
        variance: of every component in every dimension.
        responsibilities: ``(n, m)`` of each component for each point; rows sum to 1.
        log_likelihood: mean of the points.
        n_iterations: of expectation and maximization.
        converged: whether the log-likelihood had come to rest.
    """

    weights: np.ndarray
    means: np.ndarray
    variance: float
    responsibilities: np.ndarray
    log_likelihood: float
    n_iterations: int
    converged: bool


def fit_region_mixture(
    points: np.ndarray,
    n_components: int,
    generator: np.random.Generator,
    n_starts: int = N_STARTS,
    max_iterations: int = MAX_ITERATIONS,
) -> RegionMixture:
    """Maximum likelihood by expectation-maximization, from k-means++ and its hard assignment.

    Args:
        points: ``(n, d)`` finite, n ≥ 1. Their order does not matter to the components.
        n_components: m; fewer come back where there are fewer distinct points.
        generator: draws the seeds.
        n_starts: fits, of which the likeliest counts; of those within ``TOLERANCE``, the first.
        max_iterations: of each fit; it ends before where the mean log-likelihood comes to rest.

    Raises:
        ValueError: there is no point, one is not finite, or no component is asked for.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"the points are {points.shape}, expected (n, d) finite, n at least 1")
    if n_components < 1:
        raise ValueError(f"{n_components} components, expected at least 1")
    # In an order of their own, so that draws and sums do not depend on the order given.
    order = np.lexsort(points.T[::-1])
    ordered = points[order]
    fits = []
    for _ in range(n_starts):
        seeds = _spread_seeds(ordered, n_components, generator)
        fits.append(_fit(ordered, ordered[seeds], max_iterations))
    # Several may end in the same place: the first of them, whatever rounding has to say.
    enough = max(fit.log_likelihood for fit in fits) - TOLERANCE
    best = next(fit for fit in fits if fit.log_likelihood >= enough)
    in_order_given = np.empty_like(best.responsibilities)
    in_order_given[order] = best.responsibilities
    return replace(best, responsibilities=in_order_given)


def _fit(points: np.ndarray, seeds: np.ndarray, max_iterations: int) -> RegionMixture:
    responsibilities = np.eye(len(seeds))[_squared_distances(points, seeds).argmin(axis=1)]
    likelihood, n_iterations, converged = -np.inf, 0, False
    while n_iterations < max_iterations and not converged:
        parameters = _maximize(points, responsibilities)
        responsibilities, reached = _expect(points, *parameters)
        converged = abs(reached - likelihood) <= TOLERANCE
        likelihood, n_iterations = reached, n_iterations + 1
    return RegionMixture(*parameters, responsibilities, likelihood, n_iterations, converged)


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
) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights, means and the variance; a component that has lost all its points is dropped."""
    responsibilities = responsibilities[:, responsibilities.sum(axis=0) > 0]
    masses = responsibilities.sum(axis=0)
    means = (responsibilities.T @ points) / masses[:, None]
    spread = (responsibilities * _squared_distances(points, means)).sum()
    return masses / len(points), means, max(float(spread / points.size), MIN_VARIANCE)


def _expect(
    points: np.ndarray, weights: np.ndarray, means: np.ndarray, variance: float
) -> tuple[np.ndarray, float]:
    """Responsibilities ``(n, m)`` and the mean log-likelihood."""
    logs = np.log(weights) - _squared_distances(points, means) / (2 * variance)
    largest = logs.max(axis=1, keepdims=True)
    densities = np.exp(logs - largest)
    totals = densities.sum(axis=1, keepdims=True)
    scale = points.shape[1] / 2 * np.log(2 * np.pi * variance)
    return densities / totals, float((largest + np.log(totals)).mean() - scale)
