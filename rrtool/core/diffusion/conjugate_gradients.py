"""Solve (I − αW) x = b for many right-hand sides at once by conjugate gradients (eq. 2.7)."""

from dataclasses import dataclass
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from scipy import sparse

_BLOCK = 80  # right-hand sides that share one pass over the matrix: more do not pay any more
_MAX_REFINEMENTS = 10


@dataclass(frozen=True)
class Solution:
    """What conjugate gradients found.

    Attributes:
        x: float64, of the shape of the right-hand sides.
        n_iterations: ``(m,)`` int32, of each right-hand side.
        residuals: ``(m,)`` float64, ``‖b − (I − αW)x‖ / ‖b‖``, computed from ``x`` in float64 and
            not by the recursion; 0 where b = 0.
        tolerance: that was asked for.
    """

    x: np.ndarray
    n_iterations: np.ndarray
    residuals: np.ndarray
    tolerance: float

    @property
    def converged(self) -> np.ndarray:
        """``(m,)`` bool, which right-hand sides reached the tolerance."""
        return self.residuals <= self.tolerance


def solve(
    matrix: sparse.csr_array,
    right_hand_sides: np.ndarray,
    alpha: float,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 20,
    device: str = "cpu",
) -> Solution:
    """Solve ``(I − alpha · matrix) x = b`` by plain conjugate gradients from zero.

    All right-hand sides go through the iterations together, so that the matrix is read once an
    iteration for all of them; each stops by itself, as soon as ``‖r‖ ≤ tolerance · ‖b‖``.
    Products are in float32, sums of inner products in float64. When float32 has lost digits, i.e.
    the recursion has arrived but the true residual has not, the rest is solved for as a
    correction; its iterations count.

    Args:
        matrix: ``(n, n)`` symmetric with eigenvalues in [−1, 1], e.g. ``normalize(adjacency)``.
        right_hand_sides: ``(n,)`` or ``(n, m)``, finite.
        alpha: in (0, 1).
        device: ``cpu`` or ``cuda:<i>``. Both take the same steps up to rounding.

    Raises:
        ValueError: shapes do not fit, ``alpha`` is out of range, or a value is not finite.
    """
    columns = np.asarray(right_hand_sides)
    _check(matrix, columns, alpha)
    flat = columns[:, None] if columns.ndim == 1 else columns
    x = np.empty(flat.shape)
    n_iterations = np.zeros(flat.shape[1], dtype=np.int32)
    residuals = np.zeros(flat.shape[1])
    backend = _backend(device)
    operator = backend.Operator(matrix, alpha, device)
    for block in _blocks(flat.shape[1]):
        n_iterations[block], residuals[block] = _solve_block(
            backend, operator, flat[:, block], tolerance, max_iterations, x[:, block]
        )
    return Solution(x.reshape(columns.shape), n_iterations, residuals, tolerance)


def _check(matrix: sparse.csr_array, columns: np.ndarray, alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), not {alpha}")
    if columns.ndim not in (1, 2) or matrix.shape != (len(columns),) * 2:
        raise ValueError(f"a matrix {matrix.shape} and right-hand sides {columns.shape}")
    if not np.isfinite(columns).all():
        raise ValueError("a right-hand side is not finite")


def _backend(device: str) -> ModuleType:
    if device == "cpu":
        from rrtool.core.diffusion import conjugate_gradients_numba

        return conjugate_gradients_numba
    from rrtool.core.diffusion import conjugate_gradients_torch

    return conjugate_gradients_torch


def _blocks(m: int) -> list[slice]:
    """Even blocks of at most ``_BLOCK`` columns."""
    edges = np.linspace(0, m, -(-m // _BLOCK) + 1).astype(int).tolist()
    return [slice(first, last) for first, last in pairwise(edges)]


def _solve_block(
    backend: ModuleType,
    operator: Any,
    b: np.ndarray,
    tolerance: float,
    max_iterations: int,
    solution: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Iterations and relative residuals, ``(m,)`` both; ``solution (n, m)`` is written to."""
    norms = np.sqrt(np.einsum("ij,ij->j", b, b, dtype=np.float64))
    # Unit length makes thresholds relative and keeps tiny right-hand sides clear of underflow.
    b = b / np.where(norms > 0, norms, 1)
    x, n_iterations = backend.iterate(operator, b.astype(np.float32), tolerance, max_iterations)
    residuals = operator.residual_norms(b, x)
    for _ in range(_MAX_REFINEMENTS):
        unfinished = (residuals > tolerance) & (n_iterations < max_iterations)
        if not unfinished.any():
            break
        correction, extra = backend.iterate(
            operator,
            np.where(unfinished, operator.residual(b, x), 0).astype(np.float32),
            tolerance,
            max_iterations - n_iterations,
        )
        refined = x.astype(np.float64) + correction
        reached = operator.residual_norms(b, refined)
        n_iterations = n_iterations + extra
        improved = reached < residuals
        if not improved.any():
            break
        x = np.where(improved, refined, x)
        residuals = np.where(improved, reached, residuals)
    np.multiply(x, norms, out=solution)
    return n_iterations, residuals
