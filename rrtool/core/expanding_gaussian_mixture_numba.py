"""Compiled kernels of :mod:`rrtool.core.expanding_gaussian_mixture`, maps in parallel.

Samples lie on a grid and covariances are diagonal, so every sum over samples is separable: with
``e_κ(x)`` the one-dimensional Gaussians between component κ and column x, and ``R`` the samples'
weights over their denominators, the moments are ``Σ_y e_κ(y) Σ_x e_κ(x) R(y, x)``. Hence exact
sums over all pairs, with h + w exponentials a component in place of h · w.
"""

from __future__ import annotations

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


@numba.njit(cache=True, nogil=True, parallel=True)
def fit_maps(values, offsets, shapes, options, components, counts):
    """Fits every map; ``components (n, 5)`` and ``counts (maps, max_iterations)`` are filled.

    Args:
        values: ``(n,)`` float64, the maps one after the other, each of maximum 1 or all zero.
        offsets: ``(maps + 1,)`` int64 into values and components.
        shapes: ``(maps, 2)`` int64, height and width.
        options: sigma, overlap threshold, tolerance, 1 to weigh samples or 0.

    Returns:
        Iterations of each map, negative where it did not converge.
    """
    n_iterations = np.zeros(len(shapes), np.int64)
    for i in numba.prange(len(shapes)):
        first, last = offsets[i], offsets[i + 1]
        saliency = values[first:last].reshape(shapes[i, 0], shapes[i, 1])
        n_iterations[i] = _fit(saliency, options, components[first:last], counts[i])
    return n_iterations


@numba.njit(cache=True, nogil=True)
def _fit(saliency, options, components, counts):
    sigma, overlap_threshold, tolerance, weighs = options
    samples = saliency.copy()
    n = _initialize(samples, sigma, weighs != 0, components)
    height, width = samples.shape
    columns, rows = np.empty((n, width)), np.empty((n, height))
    ratio, moves = np.empty_like(samples), np.empty(n)
    for iteration in range(len(counts) if n else 0):
        _measure_profiles(components[:n], sigma, columns, rows)
        _expect(samples, components[:n], sigma, columns, rows, ratio)
        _maximize(ratio, components[:n], sigma, columns, rows, moves)
        n_kept, move = _purge(components[:n], overlap_threshold, moves)
        counts[iteration] = n_kept
        if n_kept == n and move < tolerance:
            return iteration + 1
        n = n_kept
    return -len(counts) if n else 0


@numba.njit(cache=True, nogil=True)
def _initialize(samples, sigma, weighs, components):
    """A component at each positive sample: ``q_κ ← s_κ``. Unweighted samples then become 1."""
    n = 0
    for y in range(samples.shape[0]):
        for x in range(samples.shape[1]):
            if samples[y, x] > 0:
                components[n, 0] = samples[y, x]
                components[n, 1], components[n, 2] = x, y
                components[n, 3], components[n, 4] = sigma, sigma
                n += 1
                if not weighs:
                    samples[y, x] = 1
    return n


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
    height, width = samples.shape
    ratio[:] = 0
    for k in range(len(components)):
        factor = _density_factor(components[k], sigma)
        for y in range(height):
            scale = factor * rows[k, y]
            for x in range(width):
                ratio[y, x] += scale * columns[k, x]
    for y in range(height):
        for x in range(width):
            reached = ratio[y, x] > _UNREACHED
            ratio[y, x] = samples[y, x] / ratio[y, x] if reached else 0.0


@numba.njit(cache=True, nogil=True, fastmath=_FAST)
def _maximize(ratio, components, sigma, columns, rows, moves):
    """M-step (5.6–5.8); ``moves`` gets the larger coordinate of each mean's move.

    Moments are taken about the old mean, which is near the new one: nothing cancels.
    """
    height, width = ratio.shape
    total = 0.0
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
        effective = mass * _density_factor(components[k], sigma)
        total += effective
        components[k, 0] = effective
        moves[k] = 0.0
        if mass > 0:
            dx, dy = sum_x / mass, sum_y / mass
            components[k, 1] += dx
            components[k, 2] += dy
            components[k, 3] = max(sum_xx / mass - dx * dx, MIN_VARIANCE)
            components[k, 4] = max(sum_yy / mass - dy * dy, MIN_VARIANCE)
            moves[k] = max(abs(dx), abs(dy))
    for k in range(len(components)):
        components[k, 0] /= total


@numba.njit(cache=True, nogil=True)
def _purge(components, overlap_threshold, moves):
    """P-step: keeps what the stronger kept components don't cover, and moves it to the front.

    Returns:
        The number kept and the largest of their moves. The others' order stays: raster order.
    """
    logs = np.log(components[:, 0])  # −∞ where a component has lost all its samples
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
