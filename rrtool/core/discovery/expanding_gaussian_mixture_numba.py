"""Compiled kernels of :mod:`rrtool.core.discovery.expanding_gaussian_mixture`.

Samples lie on a grid and covariances are diagonal, so every sum over samples is separable: with
``e_κ(x)`` the one-dimensional Gaussians between component κ and column x, and ``R`` the samples'
weights over their denominators, the moments are ``Σ_y e_κ(y) Σ_x e_κ(x) R(y, x)``. Hence
sums over all pairs, none left out, with h + w exponentials a component in place of h · w.
"""

import numba
import numpy as np

# Sums may be reordered for vector instructions; NaN and infinity keep their meaning.
_FAST = {"reassoc", "contract", "nsz"}

# Denominators below are samples out of every component's reach: 38 standard deviations.
_UNREACHED = 1e-290

# A position stands for a cell of unit width, whose variance this is (eq. 5.8 gives 0 for one).
MIN_VARIANCE = 1.0 / 12.0

# Mixing coefficients that agree to 1e-9 count as equal, so that rounding orders nothing.
_TIE = 1e9

# Terms of the purge below exp(-40) of the component's own are left out: all of them together
# change the ratio by less than 1e-13.
_NEGLIGIBLE = -40.0


@numba.njit(cache=True, nogil=True)
def fit_map(saliency, options, components, counts):
    """Fits one map; ``components (h · w, 5)`` and ``counts (max_iterations,)`` are filled.

    Args:
        saliency: ``(h, w)`` float64 of maximum 1 or all zero.
        options: sigma, overlap threshold, tolerance, 1 to weigh samples or 0.

    Returns:
        The number of iterations, negative where it did not converge.
    """
    sigma, overlap_threshold, tolerance, weighs = options
    samples = saliency if weighs else np.where(saliency > 0, 1.0, 0.0)
    n = _initialize(saliency, sigma, components)
    moves = np.empty(n)
    columns = rows = np.empty((0, 0))
    ratio = np.empty_like(samples)
    for iteration in range(len(counts) if n else 0):
        if iteration == 0:
            _iterate_first(saliency, samples, sigma, components[:n], moves)
        else:
            _measure_profiles(components[:n], sigma, columns, rows)
            _expect(samples, components[:n], sigma, columns, rows, ratio)
            _maximize(ratio, components[:n], sigma, columns, rows, moves)
        n_kept, move = _purge(components[:n], overlap_threshold, moves)
        counts[iteration] = n_kept
        if n_kept == n and move < tolerance:
            return iteration + 1
        n = n_kept
        if iteration == 0:
            columns, rows = np.empty((n, samples.shape[1])), np.empty((n, samples.shape[0]))
    return -len(counts) if n else 0


@numba.njit(cache=True, nogil=True)
def _initialize(saliency, sigma, components):
    """A component at each position of positive saliency: ``q_κ ← s_κ``; returns how many."""
    n = 0
    for y in range(saliency.shape[0]):
        for x in range(saliency.shape[1]):
            if saliency[y, x] > 0:
                components[n, 0] = saliency[y, x]
                components[n, 1], components[n, 2] = x, y
                components[n, 3], components[n, 4] = sigma, sigma
                n += 1
    return n


@numba.njit(cache=True, nogil=True)
def _iterate_first(saliency, samples, sigma, components, moves):
    """E- and M-step of the first iteration: components still stand on the samples, alike.

    So all sums are convolutions, and separable: h + w terms a position in place of h · w. In
    place of ``e``, ``de`` and ``dde`` stand the profile and its first two moments.
    """
    height, width = saliency.shape
    e_x, de_x, dde_x = _toeplitz(width, 2 * sigma)
    e_y, de_y, dde_y = _toeplitz(height, 2 * sigma)
    factor = 1 / (2 * sigma)
    ratio = factor * _product(e_y, _product(saliency, e_x))
    _divide(samples, ratio)
    row = _product(ratio, e_x)
    mass = _product(e_y, row)
    sum_x = _product(e_y, _product(ratio, de_x))
    sum_xx = _product(e_y, _product(ratio, dde_x))
    # The moment is odd, and the transposed matrix is wanted here.
    sum_y = -_product(de_y, row)
    sum_yy = _product(dde_y, row)
    for k in range(len(components)):
        x, y = int(components[k, 1]), int(components[k, 2])
        sums = (mass[y, x], sum_x[y, x], sum_y[y, x], sum_xx[y, x], sum_yy[y, x])
        _update(components, k, factor * components[k, 0], sums, moves)


@numba.njit(cache=True, nogil=True)
def _toeplitz(length, variance):
    """Gaussian of ``d = i − j``, and that times d and d²: three ``(length, length)``."""
    zeroth = np.empty((length, length))
    first, second = np.empty_like(zeroth), np.empty_like(zeroth)
    for i in range(length):
        for j in range(length):
            distance = float(i - j)
            zeroth[i, j] = np.exp(-0.5 * distance * distance / variance)
            first[i, j] = zeroth[i, j] * distance
            second[i, j] = first[i, j] * distance
    return zeroth, first, second


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _product(a, b):
    """Matrix product. BLAS would start threads of its own inside ours."""
    out = np.zeros((a.shape[0], b.shape[1]))
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            scale = a[i, k]
            for j in range(b.shape[1]):
                out[i, j] += scale * b[k, j]
    return out


@numba.njit(cache=True, nogil=True)
def _measure_profiles(components, sigma, columns, rows):
    for k in range(len(components)):
        _measure_profile(components[k, 1], components[k, 3] + sigma, columns[k])
        _measure_profile(components[k, 2], components[k, 4] + sigma, rows[k])


@numba.njit(cache=True, nogil=True)
def _measure_profile(mean, variance, profile):
    factor = -0.5 / variance
    for position in range(len(profile)):
        distance = position - mean
        profile[position] = np.exp(factor * distance * distance)


@numba.njit(cache=True, nogil=True)
def _density_factor(component, sigma):
    """``⟨s_i, q_κ⟩`` without its exponential, ``S_i`` and the 2π that cancels."""
    return component[0] / np.sqrt((component[3] + sigma) * (component[4] + sigma))


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _expect(samples, components, sigma, columns, rows, ratio):
    """E-step (5.5): fills ``ratio`` with each sample's weight over its sum of inner products."""
    ratio[:] = 0
    for k in range(len(components)):
        factor = _density_factor(components[k], sigma)
        for y in range(samples.shape[0]):
            scale = factor * rows[k, y]
            for x in range(samples.shape[1]):
                ratio[y, x] += scale * columns[k, x]
    _divide(samples, ratio)


@numba.njit(cache=True, nogil=True)
def _divide(samples, denominators):
    """Replaces the denominators by ``samples / denominators``; 0 for samples out of reach."""
    for y in range(samples.shape[0]):
        for x in range(samples.shape[1]):
            reached = denominators[y, x] > _UNREACHED
            denominators[y, x] = samples[y, x] / denominators[y, x] if reached else 0.0


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _maximize(ratio, components, sigma, columns, rows, moves):
    """M-step (5.6–5.8); moments are taken about the old mean."""
    height, width = ratio.shape
    for k in range(len(components)):
        mean_x, mean_y = components[k, 1], components[k, 2]
        mass = sum_x = sum_y = sum_xx = sum_yy = 0.0
        for y in range(height):
            row = row_x = row_xx = 0.0
            for x in range(width):
                dx = x - mean_x
                term = columns[k, x] * ratio[y, x]
                row += term
                row_x += term * dx
                row_xx += term * dx * dx
            dy = y - mean_y
            mass += rows[k, y] * row
            sum_x += rows[k, y] * row_x
            sum_xx += rows[k, y] * row_xx
            sum_y += rows[k, y] * row * dy
            sum_yy += rows[k, y] * row * dy * dy
        factor = _density_factor(components[k], sigma)
        _update(components, k, factor, (mass, sum_x, sum_y, sum_xx, sum_yy), moves)


@numba.njit(cache=True, nogil=True)
def _update(components, k, factor, sums, moves):
    """Sets ``ℓ_κ`` and, from moments about the old mean, mean and variances.

    ``moves`` gets the larger coordinate of the mean's move. The old mean is near the new one, so
    nothing cancels in the variances.
    """
    mass, sum_x, sum_y, sum_xx, sum_yy = sums
    components[k, 0] = factor * mass
    moves[k] = 0.0
    if mass > 0:
        dx, dy = sum_x / mass, sum_y / mass
        components[k, 1] += dx
        components[k, 2] += dy
        components[k, 3] = max(sum_xx / mass - dx * dx, MIN_VARIANCE)
        components[k, 4] = max(sum_yy / mass - dy * dy, MIN_VARIANCE)
        moves[k] = max(abs(dx), abs(dy))


@numba.njit(cache=True, nogil=True)
def _purge(components, overlap_threshold, moves):
    """P-step: keeps what the stronger kept components don't cover, and moves it to the front.

    Returns:
        The number kept and the largest of their moves. The others' order stays: raster order.
    """
    # Scaled to sum 1 first (5.6), so that the map's scale does not move the steps of 1e-9; −∞
    # where a component has lost all its samples.
    logs = np.log(components[:, 0] / components[:, 0].sum())
    order = np.argsort(-np.rint(logs * _TIE), kind="mergesort")
    kept = np.empty(len(components), np.int64)
    n_kept = 0
    # Π/(Π + Σ) ≥ τ, with Π the component's product with itself and Σ those with the kept.
    allowed = (1 - overlap_threshold) / overlap_threshold
    for k in order:
        if logs[k] > -np.inf and _overlap(components, logs, k, kept[:n_kept], allowed) <= allowed:
            kept[n_kept] = k
            n_kept += 1
    in_raster_order = np.sort(kept[:n_kept])
    move = total = 0.0
    for i in range(n_kept):
        components[i] = components[in_raster_order[i]]
        move = max(move, moves[in_raster_order[i]])
        total += components[i, 0]
    components[:n_kept, 0] /= total
    return n_kept, move


@numba.njit(cache=True, nogil=True)
def _overlap(components, logs, k, kept, allowed):
    """``Σ_j ⟨q_κ, q_j⟩ / ⟨q_κ, q_κ⟩`` over the kept; stops once it is more than allowed."""
    mean_x, mean_y = components[k, 1], components[k, 2]
    variance_x, variance_y = components[k, 3], components[k, 4]
    own = 4 * variance_x * variance_y
    total = 0.0
    for j in kept:
        shared_x, shared_y = variance_x + components[j, 3], variance_y + components[j, 4]
        dx, dy = mean_x - components[j, 1], mean_y - components[j, 2]
        shared = shared_x * shared_y
        exponent = logs[j] - logs[k] - 0.5 * (dx * dx * shared_y + dy * dy * shared_x) / shared
        if exponent > _NEGLIGIBLE:
            total += np.exp(exponent) * np.sqrt(own / shared)
            if total > allowed:
                break
    return total
