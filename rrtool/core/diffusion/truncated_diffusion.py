"""Diffusion on the neighbourhood of a query only, one small system each (METHODS §6)."""

import numpy as np
from numba import get_num_threads, njit, prange
from scipy import sparse


def solve_on_subgraphs(
    matrix: sparse.csr_array,
    vertices: np.ndarray,
    right_hand_sides: np.ndarray,
    alpha: float,
    *,
    tolerance: float = 1e-6,
    max_iterations: int = 20,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Solve ``(I − α W_n[V, V]) x = b`` for each set of vertices V by conjugate gradients.

    Degrees stay those of the whole graph, so the sub-graph loses what flows out of it, as in Yang
    et al. 2019; the code released with Iscen et al. 2017 normalises the sub-graph by its own
    degrees, so that nothing is lost. In float64: the systems fit the cache.

    Args:
        matrix: ``(n, n)`` the normalised adjacency ``W_n``.
        vertices: ``(q, t)`` int32, none twice in a row, −1 = none.
        right_hand_sides: ``(q, t)``.
        alpha: in (0, 1).

    Returns:
        ``x (q, t)`` float32 of the vertices given, 0 where there is none; iterations ``(q,)``
        int32; residuals ``(q,)`` float64, ``‖b − Ax‖ / ‖b‖`` by recursion, 0 where b = 0.
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), not {alpha}")
    vertices = np.ascontiguousarray(vertices, dtype=np.int32)
    b = np.where(vertices >= 0, right_hand_sides, 0).astype(np.float64)
    x = np.zeros(vertices.shape, dtype=np.float32)
    n_iterations = np.zeros(len(vertices), dtype=np.int32)
    residuals = np.zeros(len(vertices))
    # Vertex → place in the sub-graph, one table per worker.
    places = np.full((min(get_num_threads(), max(1, len(vertices))), matrix.shape[0]), -1, np.int32)
    _solve_all(
        matrix.indptr.astype(np.int64, copy=False), matrix.indices, matrix.data, vertices, b,
        alpha, tolerance, max_iterations, places, x, n_iterations, residuals,
    )  # fmt: skip
    return x, n_iterations, residuals


@njit(parallel=True, cache=True)
def _solve_all(
    indptr, indices, data, vertices, b, alpha, tolerance, max_iterations, places, x,
    n_iterations, residuals,
):  # fmt: skip
    n_workers = len(places)
    for worker in prange(n_workers):
        for q in range(worker, len(vertices), n_workers):
            place = places[worker]
            for a in range(vertices.shape[1]):
                if vertices[q, a] >= 0:
                    place[vertices[q, a]] = a
            columns, weights, starts = _subgraph(indptr, indices, data, vertices[q], place)
            n_iterations[q], residuals[q] = _conjugate_gradients(
                starts, columns, weights, b[q], alpha, tolerance, max_iterations, x[q]
            )
            for a in range(vertices.shape[1]):
                if vertices[q, a] >= 0:
                    place[vertices[q, a]] = -1


@njit(cache=True)
def _subgraph(indptr, indices, data, vertices, place):
    """Rows of the sub-graph in CSR, columns as places."""
    starts = np.zeros(len(vertices) + 1, dtype=np.int64)
    for a in range(len(vertices)):
        starts[a + 1] = starts[a]
        if vertices[a] >= 0:
            for e in range(indptr[vertices[a]], indptr[vertices[a] + 1]):
                starts[a + 1] += place[indices[e]] >= 0
    columns = np.empty(starts[-1], dtype=np.int32)
    weights = np.empty(starts[-1], dtype=np.float64)
    for a in range(len(vertices)):
        end = starts[a]
        if vertices[a] >= 0:
            for e in range(indptr[vertices[a]], indptr[vertices[a] + 1]):
                if place[indices[e]] >= 0:
                    columns[end], weights[end] = place[indices[e]], data[e]
                    end += 1
    return columns, weights, starts


@njit(cache=True)
def _conjugate_gradients(starts, columns, weights, b, alpha, tolerance, max_iterations, out):
    """Iterations and relative residual; the solution goes to ``out``."""
    n = len(b)
    x, r, p, ap = np.zeros(n), b.copy(), b.copy(), np.empty(n)
    rho = norm = (r * r).sum()
    n_done = 0
    while n_done < max_iterations and rho > tolerance * tolerance * norm:
        curvature = 0.0
        for i in range(n):
            total = 0.0
            for e in range(starts[i], starts[i + 1]):
                total += weights[e] * p[columns[e]]
            ap[i] = p[i] - alpha * total
            curvature += p[i] * ap[i]
        step, before, rho = rho / curvature, rho, 0.0
        for i in range(n):
            x[i] += step * p[i]
            r[i] -= step * ap[i]
            rho += r[i] * r[i]
        for i in range(n):
            p[i] = r[i] + rho / before * p[i]
        n_done += 1
    out[:] = x
    return n_done, np.sqrt(rho / norm) if norm > 0 else 0.0
