"""Compiled kernels of :mod:`rrtool.core.discovery.expanding_gaussian_mixture`.

Samples lie on a grid and covariances are diagonal, so every sum over samples is separable: with
``e_κ(x)`` the one-dimensional Gaussians between component κ and column x, and ``R`` the samples'
weights over their denominators, the moments are ``Σ_y e_κ(y) Σ_x e_κ(x) R(y, x)``. Hence
sums over all pairs, none left out, with h + w exponentials a component in place of h · w.

Python calls ``fit_map`` alone; the rest is compiled without what a call from Python takes, some of
it by its own rules of rounding. Numba's sorting and expressions of whole arrays take it seconds to
compile, so both are written as loops.
"""

from typing import NamedTuple

import numba
import numpy as np

from rrtool.core.blocks import INNER

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


class Room(NamedTuple):
    """What ``fit_map`` works in."""

    ratio: np.ndarray  # (h, w), as the next two
    part: np.ndarray
    row: np.ndarray
    sums: np.ndarray  # (5, h, w): mass, Σx, Σy, Σxx, Σyy of each component
    toeplitz_x: np.ndarray  # (3, w, w)
    toeplitz_y: np.ndarray  # (3, h, h)
    columns: np.ndarray  # (h · w, w), of which as many rows are touched as components are left
    rows: np.ndarray  # (h · w, h)
    moves: np.ndarray  # (h · w,) as those that follow
    logs: np.ndarray
    keys: np.ndarray
    order: np.ndarray  # int64, as the next two
    merged: np.ndarray
    kept: np.ndarray


def make_room(height: int, width: int) -> Room:
    """For maps of one size."""
    shape, n = (height, width), height * width
    return Room(
        np.empty(shape), np.empty(shape), np.empty(shape), np.empty((5, *shape)),
        np.empty((3, width, width)), np.empty((3, height, height)),
        np.empty((n, width)), np.empty((n, height)), np.empty(n), np.empty(n), np.empty(n),
        np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n, np.int64),
    )  # fmt: skip


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fit_map(
    saliency, samples, sigma, overlap_threshold, tolerance, components, counts,
    ratio, part, row, sums, toeplitz_x, toeplitz_y, columns, rows, moves, logs, keys, order,
    merged, kept,
):  # fmt: skip
    """Fits one map; ``components (h · w, 5)`` and ``counts (max_iterations,)`` are filled.

    Args:
        saliency: ``(h, w)`` float64 of maximum 1 or all zero.
        samples: what each position weighs, of the same shape.
        ratio: and what follows, see :class:`Room`.

    Returns:
        The number of iterations, negative where it did not converge.
    """
    n = _initialize(saliency, sigma, components)
    for iteration in range(len(counts) if n else 0):
        if iteration == 0:
            _iterate_first(
                saliency, samples, sigma, components, n, moves, ratio, part, row, sums,
                toeplitz_x, toeplitz_y,
            )  # fmt: skip
        else:
            _measure_profiles(components, n, sigma, columns, rows)
            _expect(samples, components, n, sigma, columns, rows, ratio)
            _maximize(ratio, components, n, sigma, columns, rows, moves)
        n_kept, move = _purge(
            components, n, overlap_threshold, moves, logs, keys, order, merged, kept
        )
        counts[iteration] = n_kept
        if n_kept == n and move < tolerance:
            return iteration + 1
        n = n_kept
    return -len(counts) if n else 0


@numba.njit(**INNER)
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


@numba.njit(**INNER)
def _iterate_first(
    saliency, samples, sigma, components, n, moves, ratio, part, row, sums, toeplitz_x, toeplitz_y
):
    """E- and M-step of the first iteration: components still stand on the samples, alike.

    So all sums are convolutions, and separable: h + w terms a position in place of h · w. In
    place of ``e``, ``de`` and ``dde`` stand the profile and its first two moments.
    """
    _fill_toeplitz(2 * sigma, toeplitz_x)
    _fill_toeplitz(2 * sigma, toeplitz_y)
    factor = 1 / (2 * sigma)
    _product(saliency, toeplitz_x[0], part)
    _product(toeplitz_y[0], part, ratio)
    for y in range(ratio.shape[0]):
        for x in range(ratio.shape[1]):
            ratio[y, x] = factor * ratio[y, x]
    _divide(samples, ratio)
    _product(ratio, toeplitz_x[0], row)
    _product(toeplitz_y[0], row, sums[0])
    for moment in range(1, 3):
        _product(ratio, toeplitz_x[moment], part)
        _product(toeplitz_y[0], part, sums[2 * moment - 1])
        # The first moment is odd, and the transposed matrix is wanted here.
        _product(toeplitz_y[moment], row, sums[2 * moment])
    for k in range(n):
        x, y = int(components[k, 1]), int(components[k, 2])
        _update(
            components, k, factor * components[k, 0], sums[0, y, x], sums[1, y, x],
            -sums[2, y, x], sums[3, y, x], sums[4, y, x], moves,
        )  # fmt: skip


@numba.njit(**INNER)
def _fill_toeplitz(variance, out):
    """Gaussian of ``d = i − j``, and that times d and d²: three ``(length, length)``."""
    for i in range(out.shape[1]):
        for j in range(out.shape[1]):
            distance = float(i - j)
            zeroth = np.exp(-0.5 * distance * distance / variance)
            out[0, i, j] = zeroth
            out[1, i, j] = zeroth * distance
            out[2, i, j] = zeroth * distance * distance


@numba.njit(**INNER, fastmath=_FAST)
def _product(a, b, out):
    """Matrix product. BLAS would start threads of its own inside ours."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            out[i, j] = 0
        for k in range(a.shape[1]):
            scale = a[i, k]
            for j in range(b.shape[1]):
                out[i, j] += scale * b[k, j]


@numba.njit(**INNER)
def _measure_profiles(components, n, sigma, columns, rows):
    for k in range(n):
        for axis in range(2):
            profiles = columns if axis == 0 else rows
            mean, factor = components[k, 1 + axis], -0.5 / (components[k, 3 + axis] + sigma)
            for position in range(profiles.shape[1]):
                distance = position - mean
                profiles[k, position] = np.exp(factor * distance * distance)


@numba.njit(inline="always")
def _density_factor(components, k, sigma):
    """``⟨s_i, q_κ⟩`` without its exponential, ``S_i`` and the 2π that cancels."""
    return components[k, 0] / np.sqrt((components[k, 3] + sigma) * (components[k, 4] + sigma))


@numba.njit(**INNER, fastmath=_FAST)
def _expect(samples, components, n, sigma, columns, rows, ratio):
    """E-step (5.5): fills ``ratio`` with each sample's weight over its sum of inner products."""
    for y in range(samples.shape[0]):
        for x in range(samples.shape[1]):
            ratio[y, x] = 0
    for k in range(n):
        factor = _density_factor(components, k, sigma)
        for y in range(samples.shape[0]):
            scale = factor * rows[k, y]
            for x in range(samples.shape[1]):
                ratio[y, x] += scale * columns[k, x]
    _divide(samples, ratio)


@numba.njit(**INNER)
def _divide(samples, denominators):
    """Replaces the denominators by ``samples / denominators``; 0 for samples out of reach."""
    for y in range(samples.shape[0]):
        for x in range(samples.shape[1]):
            reached = denominators[y, x] > _UNREACHED
            denominators[y, x] = samples[y, x] / denominators[y, x] if reached else 0.0


@numba.njit(**INNER, fastmath=_FAST)
def _maximize(ratio, components, n, sigma, columns, rows, moves):
    """M-step (5.6–5.8); moments are taken about the old mean."""
    height, width = ratio.shape
    for k in range(n):
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
        factor = _density_factor(components, k, sigma)
        _update(components, k, factor, mass, sum_x, sum_y, sum_xx, sum_yy, moves)


@numba.njit(**INNER)
def _update(components, k, factor, mass, sum_x, sum_y, sum_xx, sum_yy, moves):
    """Sets ``ℓ_κ`` and, from moments about the old mean, mean and variances.

    ``moves`` gets the larger coordinate of the mean's move. The old mean is near the new one, so
    nothing cancels in the variances.
    """
    components[k, 0] = factor * mass
    moves[k] = 0.0
    if mass > 0:
        dx, dy = sum_x / mass, sum_y / mass
        components[k, 1] += dx
        components[k, 2] += dy
        components[k, 3] = max(sum_xx / mass - dx * dx, MIN_VARIANCE)
        components[k, 4] = max(sum_yy / mass - dy * dy, MIN_VARIANCE)
        moves[k] = max(abs(dx), abs(dy))


@numba.njit(**INNER)
def _purge(components, n, overlap_threshold, moves, logs, keys, order, merged, kept):
    """P-step: keeps what the stronger kept components don't cover, and moves it to the front.

    Returns:
        The number kept and the largest of their moves. The others' order stays: raster order.
    """
    # Scaled to sum 1 first (5.6), so that the map's scale does not move the steps of 1e-9; −∞
    # where a component has lost all its samples.
    total = 0.0
    for k in range(n):
        total += components[k, 0]
    for k in range(n):
        logs[k] = np.log(components[k, 0] / total)
        keys[k] = -np.rint(logs[k] * _TIE)
    _sort(keys, n, order, merged)
    n_kept = 0
    # Π/(Π + Σ) ≥ τ, with Π the component's product with itself and Σ those with the kept.
    allowed = (1 - overlap_threshold) / overlap_threshold
    for i in range(n):
        k = order[i]
        if logs[k] > -np.inf and _overlap(components, logs, k, kept, n_kept, allowed) <= allowed:
            kept[n_kept] = k
            n_kept += 1
    for k in range(n):
        merged[k] = 0
    for i in range(n_kept):
        merged[kept[i]] = 1
    move = total = 0.0
    place = 0
    for k in range(n):
        if merged[k]:
            for entry in range(5):
                components[place, entry] = components[k, entry]
            move = max(move, moves[k])
            total += components[k, 0]
            place += 1
    for i in range(n_kept):
        components[i, 0] /= total
    return n_kept, move


@numba.njit(**INNER)
def _sort(keys, n, order, merged):
    """``order`` of rising keys, equal ones as they come: runs that double in length are merged."""
    for k in range(n):
        order[k] = k
    length = 1
    while length < n:
        for start in range(0, n, 2 * length):
            middle, end = min(start + length, n), min(start + 2 * length, n)
            i, j = start, middle
            for place in range(start, end):
                if i < middle and (j >= end or not keys[order[j]] < keys[order[i]]):
                    merged[place] = order[i]
                    i += 1
                else:
                    merged[place] = order[j]
                    j += 1
        for place in range(n):
            order[place] = merged[place]
        length *= 2


@numba.njit(inline="always")
def _overlap(components, logs, k, kept, n_kept, allowed):
    """``Σ_j ⟨q_κ, q_j⟩ / ⟨q_κ, q_κ⟩`` over the kept; stops once it is more than allowed."""
    mean_x, mean_y = components[k, 1], components[k, 2]
    variance_x, variance_y = components[k, 3], components[k, 4]
    own = 4 * variance_x * variance_y
    total = 0.0
    for i in range(n_kept):
        j = kept[i]
        shared_x, shared_y = variance_x + components[j, 3], variance_y + components[j, 4]
        dx, dy = mean_x - components[j, 1], mean_y - components[j, 2]
        shared = shared_x * shared_y
        exponent = logs[j] - logs[k] - 0.5 * (dx * dx * shared_y + dy * dy * shared_x) / shared
        if exponent > _NEGLIGIBLE:
            total += np.exp(exponent) * np.sqrt(own / shared)
            if total > allowed:
                break
    return total
