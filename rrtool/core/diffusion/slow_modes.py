"""The eigenvectors of a graph that conjugate gradients are slow to resolve, found once for all.

A mode of eigenvalue λ is amplified by 1 / (1 − αλ); it is the few dozen largest λ, one or more a
cluster, that take most of the iterations. With their part of a solution known beforehand,
α = 0.99 takes some 20 iterations to 1e-6 in place of 60.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

N_MODES = 128
_UPPER = 0.8  # eigenvalues up to here are for conjugate gradients
_ROUNDS, _STEPS = 2, 20


@dataclass(frozen=True)
class SlowModes:
    """A subspace V close to the leading eigenvectors of W, to start solutions of A x = b from.

    Attributes:
        basis: ``(n, q)`` float32, V, orthonormal.
        galerkin: ``(q, q)`` float64, ``Vᵀ A V`` with ``A = I − αW``.
    """

    basis: np.ndarray
    galerkin: np.ndarray

    def start(self, ids: np.ndarray) -> np.ndarray:
        """The best solutions within V for the unit vectors ``e_i``, ``(n, m)`` float64.

        Good to single precision: what remains is to be solved for, and makes up for it.

        Args:
            ids: ``(m,)`` int64.
        """
        coefficients = np.linalg.solve(self.galerkin, self.basis[ids].T)
        return (self.basis @ coefficients.astype(np.float32)).astype(np.float64)


def find_slow_modes(
    matrix: sparse.csr_array, alpha: float, generator: np.random.Generator
) -> SlowModes:
    """By subspace iteration from random vectors, with Chebyshev polynomials as the filter.

    Args:
        matrix: ``(n, n)`` symmetric with eigenvalues in [−1, 1], e.g. ``normalize(adjacency)``.
        alpha: in (0, 1).
    """
    n = matrix.shape[0]
    w = matrix.astype(np.float32)
    basis = generator.standard_normal((n, min(N_MODES, n)), dtype=np.float32)
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(_filter(w, basis))[0]
    image = basis - np.float32(alpha) * (w @ basis)
    galerkin = basis.T.astype(np.float64) @ image
    return SlowModes(basis, (galerkin + galerkin.T) / 2)


def _filter(w: sparse.csr_array, vectors: np.ndarray) -> np.ndarray:
    """``T(W) vectors``, T the Chebyshev polynomial that is small on [−1, _UPPER]."""
    center, half = np.float32((_UPPER - 1) / 2), np.float32((_UPPER + 1) / 2)
    before, now = vectors, (w @ vectors - center * vectors) / half
    for _ in range(_STEPS - 1):
        before, now = now, (w @ now - center * now) * (2 / half) - before
    return now
