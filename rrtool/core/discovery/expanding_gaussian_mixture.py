"""Rectangular regions of a saliency map by an expanding Gaussian mixture (thesis §5.3.4).

The map is a sum of Gaussian samples ``s_i = S_i N(p_i, σ I)`` (5.3), which a mixture of Gaussian
components with diagonal covariance explains. Every sample starts a component; each iteration
shares samples out among components (E, 5.5), moves the components there (M, 5.6–5.8) and purges
those that stronger ones cover (P).

Where the thesis leaves a choice:

* σ is a variance, as eq. 5.3 has it, in square cells.
* Samples count by their saliency: ``ℓ_κ = Σ_i S_i γ_iκ``, and likewise in 5.7 and 5.8. In (5.5)
  the saliency of a sample cancels, so that (5.6–5.8) as printed forget the map after the first
  iteration: all of it is tiled by equal regions, whatever the exponent ρ, against Figure 5.5a.
  ``weigh_samples=False`` gives the printed form.
* Variances are at least 1/12, that of one cell.
* Mixing coefficients sum to 1 after each purge too; equal ones (to 1e-9) are in raster order.
* It ends when an iteration keeps all components and no mean moves by 0.1 cells.
* A region reaches 2 standard deviations from the mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rrtool.core.blocks import in_threads
from rrtool.core.discovery.expanding_gaussian_mixture_numba import fit_map, make_room
from rrtool.core.discovery.saliency import check_values, unit_maximum

SIGMA = 2.5
OVERLAP_THRESHOLD = 0.55
N_DEVIATIONS = 2.0


@dataclass(frozen=True)
class Mixture:
    """Components of one map, by falling weight, equal ones (to 1e-9) in raster order.

    Attributes:
        weights: ``(m,)`` float64, mixing coefficients π, of sum 1.
        means: ``(m, 2)`` float64, ``(x, y)`` in cells, centres at integers.
        variances: ``(m, 2)`` float64, along x and y, in square cells.
        component_counts: ``(n_iterations,)`` int32, components kept by each iteration.
        converged: False where the iterations ran out.
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    component_counts: np.ndarray
    converged: bool

    def __len__(self) -> int:
        return len(self.weights)


@dataclass(frozen=True)
class MixtureOptions:
    """How mixtures are fitted.

    Attributes:
        sigma: σ of eq. 5.3, the variance of a sample in square cells; positive.
        overlap_threshold: τ of the purge, in (0, 1): larger keeps fewer components.
        max_iterations: at most so many; at least 1.
        mean_tolerance: cells; positive.
        weigh_samples: count samples by saliency, see the module's docstring.
    """

    sigma: float = SIGMA
    overlap_threshold: float = OVERLAP_THRESHOLD
    max_iterations: int = 20
    mean_tolerance: float = 0.1
    weigh_samples: bool = True


def fit_mixtures(
    saliency_maps: Sequence[np.ndarray], options: MixtureOptions = MixtureOptions()
) -> list[Mixture]:
    """Fits every map, several at a time.

    Args:
        saliency_maps: ``(h, w)`` each, non-negative, of any sizes; see
            :func:`rrtool.core.discovery.saliency.prepare_for_detection`.

    Returns:
        One mixture a map, without components where the map is zero; the same whatever the number
        of threads, the other maps and the map's scale.

    Raises:
        ValueError: a map is not two-dimensional or holds negative, NaN or infinite values.
    """
    maps = [_scaled(saliency_map, i) for i, saliency_map in enumerate(saliency_maps)]

    def fit(start: int, stop: int) -> list[Mixture]:
        return [_fit(values, options) for values in maps[start:stop]]

    return [mixture for block in in_threads(fit, len(maps)) for mixture in block]


def rectangles(
    mixture: Mixture, shape: tuple[int, int], n_deviations: float = N_DEVIATIONS
) -> np.ndarray:
    """Axis-aligned regions around the means, in the order of the components.

    A cell is inside when its centre lies within ``n_deviations`` standard deviations (our choice
    of 2: nine tenths of a Gaussian's mass), so is the one nearest to the mean.

    Args:
        shape: ``(h, w)`` of the map, to which regions are clipped.

    Returns:
        ``(m, 4)`` int32 ``(x0, y0, x1, y1)`` in cells, half-open, none of them empty.
    """
    if not n_deviations >= 0:
        raise ValueError(f"{n_deviations} standard deviations, expected 0 or more")
    extent = n_deviations * np.sqrt(mixture.variances)
    size = np.array(shape[::-1])
    nearest = np.clip(np.rint(mixture.means), 0, size - 1)
    first = np.minimum(np.ceil(mixture.means - extent), nearest)
    last = np.maximum(np.floor(mixture.means + extent), nearest)
    boxes = np.hstack([np.maximum(first, 0), np.minimum(last + 1, size)])
    return boxes.astype(np.int32)


def _scaled(saliency_map: np.ndarray, index: int) -> np.ndarray:
    values = np.asarray(saliency_map, np.float64)
    if values.ndim != 2:
        raise ValueError(f"saliency map {index} is {values.shape}, expected (h, w)")
    check_values(f"saliency map {index}", values)
    return unit_maximum(values)


def _fit(values: np.ndarray, options: MixtureOptions) -> Mixture:
    components, counts = np.empty((values.size, 5)), np.zeros(options.max_iterations, np.int32)
    saliency = np.require(values, requirements=["C", "W"])
    samples = saliency if options.weigh_samples else np.where(saliency > 0, 1.0, 0.0)
    n_iterations = fit_map(
        saliency, samples, float(options.sigma), float(options.overlap_threshold),
        float(options.mean_tolerance), components, counts, *make_room(*saliency.shape),
    )  # fmt: skip
    return _mixture(components, counts[: abs(n_iterations)], n_iterations >= 0)


def _mixture(components: np.ndarray, counts: np.ndarray, converged: bool) -> Mixture:
    found = components[: counts[-1] if len(counts) else 0]
    order = np.argsort(-np.rint(np.log(found[:, 0]) * 1e9), kind="stable")
    found = found[order]
    return Mixture(found[:, 0], found[:, 1:3], found[:, 3:5], counts.copy(), converged)
