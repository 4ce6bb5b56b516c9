"""Conjugate gradients on the CPU: compiled, parallel over rows, independent of the thread count."""

from collections.abc import Callable

import numpy as np
from numba import njit
from scipy import sparse

from rrtool.core.blocks import in_threads
from rrtool.core.lanes import add_product, load, store

_ROWS = 512  # per chunk; sums are added up chunk by chunk, so any number of threads agrees
_FEWEST_PRODUCTS = 1 << 16  # that are worth a thread


class Operator:
    """``A = I − αW`` for ``iterate``."""

    def __init__(self, matrix: sparse.csr_array, alpha: float, device: str = "cpu") -> None:
        self.indptr = matrix.indptr.astype(np.int64, copy=False)
        self.indices = matrix.indices.astype(np.int32, copy=False)  # one type, and half as much
        self.exact_weights = alpha * matrix.data.astype(np.float64)
        self.weights = self.exact_weights.astype(np.float32)

    def residual(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``b − A x`` in float64, ``(n, m)``."""
        residual = np.empty(b.shape)
        self._measure_residual(b, x, residual, True)
        return residual

    def residual_norms(self, b: np.ndarray, x: np.ndarray) -> np.ndarray:
        """``‖b − A x‖`` of each column, in float64, ``(m,)``."""
        one_row_a_chunk = np.empty((_n_chunks(len(b)), b.shape[1]))
        return np.sqrt(self._measure_residual(b, x, one_row_a_chunk, False).sum(axis=0))

    def _measure_residual(
        self, b: np.ndarray, x: np.ndarray, residual: np.ndarray, keeps: bool
    ) -> np.ndarray:
        """The squares of each column in each chunk; fills ``residual``, if it has all rows."""
        b, x = np.ascontiguousarray(b), np.ascontiguousarray(x)
        squares = np.empty((_n_chunks(len(b)), b.shape[1]))

        def measure(first: int, last: int) -> None:
            rows = self.indptr, self.indices, self.exact_weights
            _measure_residual(*rows, b, x, residual, keeps, squares, first, last)

        self.over_chunks(measure, b)
        return squares

    def over_chunks(self, work: Callable[[int, int], None], columns: np.ndarray) -> None:
        """Run ``work(first, last)`` on the chunks of the rows of ``columns (n, m)``, in threads."""
        n, m = columns.shape
        products = (len(self.indices) / max(1, n) + 1) * m * _ROWS  # of a chunk
        in_threads(work, _n_chunks(n), fewest_rows=1 + int(_FEWEST_PRODUCTS / max(1, products)))


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
    n, n_columns = b.shape
    m = n_columns if n_columns < 2 else -(-n_columns // 16) * 16  # the last ones stay zero
    r, p, ap, x = (_aligned_zeros(n, m) for _ in range(4))
    r[:, :n_columns] = p[:, :n_columns] = b
    partial = np.empty((_n_chunks(n), m))
    n_iterations = np.zeros(m, dtype=np.int32)
    thresholds, limits = np.zeros(m), np.zeros(m, dtype=np.int64)
    thresholds[:n_columns], limits[:n_columns] = tolerance, max_iterations
    rho = np.einsum("ij,ij->j", r, r, dtype=np.float64)

    def multiply(first: int, last: int) -> None:
        rows = operator.indptr, operator.indices, operator.weights
        _multiply(*rows, p, ap, partial, first, last)

    def reduce(first: int, last: int) -> None:
        _reduce(step, ap, r, partial, first, last)

    def advance(first: int, last: int) -> None:
        _advance(step, ratio, r, x, p, first, last)

    while (active := (np.sqrt(rho) > thresholds) & (n_iterations < limits)).any():
        operator.over_chunks(multiply, p)
        curvature = partial.sum(axis=0)
        # A column that has arrived stands still: its step is zero.
        step = np.where(active & (curvature > 0), rho / np.where(curvature > 0, curvature, 1), 0)
        step = step.astype(np.float32)
        operator.over_chunks(reduce, r)
        rho_next = partial.sum(axis=0)
        ratio = (rho_next / np.where(rho > 0, rho, 1)).astype(np.float32)
        operator.over_chunks(advance, p)
        rho = np.where(active, rho_next, rho)
        n_iterations += active
    return np.ascontiguousarray(x[:, :n_columns]), n_iterations[:n_columns]


def _n_chunks(n: int) -> int:
    return -(-n // _ROWS)


def _aligned_zeros(n: int, m: int) -> np.ndarray:
    """``(n, m)`` float32 that begin with a line of the cache."""
    room = np.zeros(n * m + 16, dtype=np.float32)
    start = -room.ctypes.data % 64 // 4
    return room[start : start + n * m].reshape(n, m)


# One column has loops of its own below: its sums stay in a register, which is three times faster.
# More come in sixteens, which lanes keep in registers.
@njit(fastmath=True, cache=True, nogil=True)
def _multiply(indptr, indices, weights, p, product, inner, first_chunk, last_chunk):
    """``product = p − W p``, and per chunk of rows the inner products with ``p``."""
    n, m = p.shape
    for chunk in range(first_chunk, last_chunk):
        for c in range(m):
            inner[chunk, c] = 0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            begin, end = indptr[i], indptr[i + 1]
            if m == 1:
                total = p[i, 0]
                for e in range(begin, end):
                    total -= weights[e] * p[indices[e], 0]
                product[i, 0] = total
            for c in range(0, m - 31, 32):
                lanes = load(32, p, i, c)
                for e in range(begin, end):
                    lanes = add_product(lanes, -weights[e], load(32, p, indices[e], c))
                store(product, i, c, lanes)
            if m % 32 == 16:
                few = load(16, p, i, m - 16)
                for e in range(begin, end):
                    few = add_product(few, -weights[e], load(16, p, indices[e], m - 16))
                store(product, i, m - 16, few)
            for c in range(m):
                inner[chunk, c] += np.float64(p[i, c]) * np.float64(product[i, c])


@njit(fastmath=True, cache=True, nogil=True)
def _reduce(step, ap, r, squares, first_chunk, last_chunk):
    """``r −= step·Ap``, and per chunk of rows the squares of ``r``."""
    n, m = r.shape
    for chunk in range(first_chunk, last_chunk):
        first, last = chunk * _ROWS, min(n, (chunk + 1) * _ROWS)
        if m == 1:
            total = 0.0
            for i in range(first, last):
                value = r[i, 0] - step[0] * ap[i, 0]
                r[i, 0] = value
                total += np.float64(value) * np.float64(value)
            squares[chunk, 0] = total
            continue
        for c in range(m):
            squares[chunk, c] = 0
        for i in range(first, last):
            for c in range(m):
                value = r[i, c] - step[c] * ap[i, c]
                r[i, c] = value
                squares[chunk, c] += np.float64(value) * np.float64(value)


@njit(fastmath=True, cache=True, nogil=True)
def _advance(step, ratio, r, x, p, first_chunk, last_chunk):
    """``x += step·p``, then ``p = r + ratio·p``: one pass over the three for both."""
    n, m = p.shape
    first, last = first_chunk * _ROWS, min(n, last_chunk * _ROWS)
    if m == 1:
        own_step, own_ratio = step[0], ratio[0]
        for i in range(first, last):
            direction = p[i, 0]
            x[i, 0] += own_step * direction
            p[i, 0] = r[i, 0] + own_ratio * direction
        return
    for i in range(first, last):
        for c in range(m):
            direction = p[i, c]
            x[i, c] += step[c] * direction
            p[i, c] = r[i, c] + ratio[c] * direction


@njit(cache=True, nogil=True)
def _measure_residual(
    indptr, indices, weights, b, x, residual, keeps, squares, first_chunk, last_chunk
):
    """``b − A x`` of every row, or where ``keeps`` is false of the last one of each chunk."""
    n, m = x.shape
    for chunk in range(first_chunk, last_chunk):
        for c in range(m):
            squares[chunk, c] = 0
        for i in range(chunk * _ROWS, min(n, (chunk + 1) * _ROWS)):
            place = i if keeps else chunk
            if m == 1:
                total = b[i, 0] - np.float64(x[i, 0])
                for e in range(indptr[i], indptr[i + 1]):
                    total += weights[e] * x[indices[e], 0]
                residual[place, 0] = total
                squares[chunk, 0] += total * total
                continue
            for c in range(m):
                residual[place, c] = b[i, c] - np.float64(x[i, c])
            for e in range(indptr[i], indptr[i + 1]):
                weight, j = weights[e], indices[e]
                for c in range(m):
                    residual[place, c] += weight * x[j, c]
            for c in range(m):
                squares[chunk, c] += residual[place, c] * residual[place, c]
