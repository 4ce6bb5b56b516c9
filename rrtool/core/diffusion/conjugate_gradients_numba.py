"""Conjugate gradients on the CPU: compiled, parallel over rows, independent of the thread count."""

import numpy as np
from numba import njit, prange
from scipy import sparse

_ROWS = 512  # per chunk; sums are added up chunk by chunk, so any number of threads agrees


class Operator:
    """``A = I − αW`` for ``iterate``."""

    def __init__(self, matrix: sparse.csr_array, alpha: float, device: str = "cpu") -> None:
        self.indptr = matrix.indptr.astype(np.int64, copy=False)
        self.indices = matrix.indices
        self.exact_weights = alpha * matrix.data.astype(np.float64)
        self.weights = self.exact_weights.astype(np.float32)

    def residual(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``b − A x`` in float64, ``(n, m)``."""
        b, x = np.ascontiguousarray(b), np.ascontiguousarray(x)
        residual = np.empty(b.shape)
        _residual(self.indptr, self.indices, self.exact_weights, b, x, residual)
        return residual

    def residual_norms(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``‖b − A x‖`` of each column, in float64, ``(m,)``."""
        b, x = np.ascontiguousarray(b), np.ascontiguousarray(x)
        squares = np.empty((_n_chunks(len(b)), b.shape[1]))
        _residual_squares(self.indptr, self.indices, self.exact_weights, b, x, squares)
        return np.sqrt(squares.sum(axis=0))


def iterate(
    operator: Operator,
    b: np.ndarray,
    tolerance: float | np.ndarray,
    max_iterations: int | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The iterations themselves.

    Args:
        b: ``(n, m)`` float32, the first residual.
        tolerance: on ``‖r‖``, for all or ``(m,)``.
        max_iterations: for all or ``(m,)``.

    Returns:
        ``x (n, m)`` float32, and the iterations of each column ``(m,)`` int32.
    """
    n, m = b.shape
    r, p = b.copy(order="C"), b.copy(order="C")
    x, ap = np.zeros_like(r), np.empty_like(r)
    partial = np.empty((_n_chunks(n), m))
    n_iterations = np.zeros(m, dtype=np.int32)
    limits = np.broadcast_to(max_iterations, m)
    rho = np.einsum("ij,ij->j", r, r, dtype=np.float64)
    while (active := (np.sqrt(rho) > tolerance) & (n_iterations < limits)).any():
        _multiply(operator.indptr, operator.indices, operator.weights, p, ap, partial)
        curvature = partial.sum(axis=0)
        # A column that has arrived stands still: its step is zero.
        step = np.where(active & (curvature > 0), rho / np.where(curvature > 0, curvature, 1), 0)
        step = step.astype(np.float32)
        _reduce(step, ap, r, partial)
        rho_next = partial.sum(axis=0)
        _advance(step, (rho_next / np.where(rho > 0, rho, 1)).astype(np.float32), r, x, p)
        rho = np.where(active, rho_next, rho)
        n_iterations += active
    return x, n_iterations


def _n_chunks(n: int) -> int:
    return -(-n // _ROWS)


@njit(parallel=True, fastmath=True, cache=True)
def _multiply(indptr, indices, weights, p, product, inner):
    """``product = p − W p``, and per chunk of rows the inner products with ``p``."""
    n, m = p.shape
    for chunk in prange(len(inner)):
        first, last = chunk * _ROWS, min(n, (chunk + 1) * _ROWS)
        if m == 1:
            _multiply_rows_single(indptr, indices, weights, p, product, first, last)
        else:
            _multiply_rows(indptr, indices, weights, p, product, first, last)
        for c in range(m):
            inner[chunk, c] = 0
        for i in range(first, last):
            for c in range(m):
                inner[chunk, c] += np.float64(p[i, c]) * np.float64(product[i, c])


@njit(fastmath=True, cache=True)
def _multiply_rows(indptr, indices, weights, p, product, first, last):
    for i in range(first, last):
        for c in range(p.shape[1]):
            product[i, c] = p[i, c]
        for e in range(indptr[i], indptr[i + 1]):
            weight, j = weights[e], indices[e]
            for c in range(p.shape[1]):
                product[i, c] -= weight * p[j, c]


@njit(fastmath=True, cache=True)
def _multiply_rows_single(indptr, indices, weights, p, product, first, last):
    """One column: the sum stays in a register, which is three times faster."""
    for i in range(first, last):
        total = p[i, 0]
        for e in range(indptr[i], indptr[i + 1]):
            total -= weights[e] * p[indices[e], 0]
        product[i, 0] = total


@njit(parallel=True, fastmath=True, cache=True)
def _reduce(step, ap, r, squares):
    """``r −= step·Ap``, and per chunk of rows the squares of ``r``."""
    n, m = r.shape
    for chunk in prange(len(squares)):
        for c in range(m):
            squares[chunk, c] = 0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            for c in range(m):
                value = r[i, c] - step[c] * ap[i, c]
                r[i, c] = value
                squares[chunk, c] += np.float64(value) * np.float64(value)


@njit(parallel=True, fastmath=True, cache=True)
def _advance(step, ratio, r, x, p):
    """``x += step·p``, then ``p = r + ratio·p``: one pass over the three for both."""
    n, m = p.shape
    for chunk in prange(-(-n // _ROWS)):
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            for c in range(m):
                direction = p[i, c]
                x[i, c] += step[c] * direction
                p[i, c] = r[i, c] + ratio[c] * direction


@njit(cache=True)
def _residual_row(indptr, indices, weights, b, x, i, row):
    for c in range(x.shape[1]):
        row[c] = b[i, c] - np.float64(x[i, c])
    for e in range(indptr[i], indptr[i + 1]):
        weight, j = weights[e], indices[e]
        for c in range(x.shape[1]):
            row[c] += weight * x[j, c]


@njit(parallel=True, cache=True)
def _residual(indptr, indices, weights, b, x, residual):
    for i in prange(len(x)):
        _residual_row(indptr, indices, weights, b, x, i, residual[i])


@njit(parallel=True, cache=True)
def _residual_squares(indptr, indices, weights, b, x, squares):
    n, m = x.shape
    for chunk in prange(len(squares)):
        row = np.empty(m)
        squares[chunk] = 0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            _residual_row(indptr, indices, weights, b, x, i, row)
            for c in range(m):
                squares[chunk, c] += row[c] * row[c]
