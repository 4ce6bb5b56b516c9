"""The expanding Gaussian mixture written plainly from eq. 5.3–5.8: all pairs, float64, loops.

The oracle of the tests. Two-dimensional Gaussians, the inner products of the paper in full, no
separation into rows and columns, nothing left out. Its order of equal components is the one that
the module documents, which is a convention and not a result.
"""

from __future__ import annotations

import math

import numpy as np


def gaussian(difference: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """``N(difference | 0, diag(variance))`` over the last axis of two."""
    exponent = -0.5 * (difference**2 / variance).sum(axis=-1)
    return np.exp(exponent) / (2 * math.pi * np.sqrt(variance.prod(axis=-1)))


def fit_plain(saliency, sigma=2.5, tau=0.55, max_iterations=20, tolerance=0.1, weigh=True):
    """Returns weights, means, variances by falling weight, and the counts of components."""
    positions = np.array([(x, y) for y, x in np.argwhere(saliency > 0)], float).reshape(-1, 2)
    values = np.array([saliency[int(y), int(x)] for x, y in positions], float)
    pi, mu = values.copy(), positions.copy()
    variance = np.full_like(positions, sigma)
    counts: list[int] = []
    while len(pi) and len(counts) < max_iterations:
        old = mu
        pi, mu, variance = em_step(positions, values, pi, mu, variance, sigma, weigh)
        kept = purge(pi, mu, variance, tau)
        counts.append(len(kept))
        settled = len(kept) == len(pi) and np.abs(mu - old).max() < tolerance
        pi, mu, variance = pi[kept] / pi[kept].sum(), mu[kept], variance[kept]
        if settled:
            break
    order = falling(pi)
    return pi[order], mu[order], variance[order], counts


def em_step(positions, values, pi, mu, variance, sigma, weigh):
    """E-step (5.5) and M-step (5.6–5.8)."""
    # ⟨s_i, q_κ⟩ = S_i π_κ N(p_i | μ_κ, σI + Σ_κ)
    apart = positions[:, None] - mu[None]
    products = values[:, None] * pi * gaussian(apart, sigma + variance)
    gamma = products / products.sum(axis=1, keepdims=True)
    if weigh:
        gamma = gamma * values[:, None]
    effective = gamma.sum(axis=0)
    mu = (gamma.T @ positions) / effective[:, None]
    deviations = (positions[:, None] - mu[None]) ** 2
    variance = np.einsum("ik,ikd->kd", gamma, deviations) / effective[:, None]
    return effective / effective.sum(), mu, np.maximum(variance, 1 / 12)


def falling(pi: np.ndarray) -> list[int]:
    """Indices by falling weight; those that agree to 1e-9 by index."""
    return sorted(range(len(pi)), key=lambda k: (-round(math.log(pi[k]) * 1e9), k))


def purge(pi, mu, variance, tau) -> list[int]:
    """P-step: indices kept, rising."""
    kept: list[int] = []
    for k in falling(pi):
        own = pi[k] ** 2 * gaussian(np.zeros(2), 2 * variance[k])
        shared = pi[k] * pi[kept] * gaussian(mu[k] - mu[kept], variance[k] + variance[kept])
        if own / (own + shared.sum()) >= tau:
            kept.append(k)
    return sorted(kept)
