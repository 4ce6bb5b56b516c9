"""Diffusion on the neighbourhood of a query only, one small system each (METHODS §6)."""

import numpy as np
from numba import get_num_threads, njit
from scipy import sparse

from rrtool.core.blocks import in_threads


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
    indptr = matrix.indptr.astype(np.int64, copy=False)
    indices = matrix.indices.astype(np.int32, copy=False)
    most_edges = _most_edges(indptr, vertices)

    def solve(first: int, last: int) -> None:
        n = vertices.shape[1]
        # Vertex → place in the sub-graph.
        places = np.full(matrix.shape[0], -1, np.int32)
        starts, columns = np.zeros(n + 1, np.int64), np.empty(most_edges, np.int32)
        own_x, r, p, ap = np.empty((4, n))
        _solve_block(
            indptr, indices, matrix.data, vertices, b, alpha, tolerance, max_iterations,
            first, last, places, starts, columns, np.empty(most_edges), own_x, r, p, ap,
            x, n_iterations, residuals,
        )  # fmt: skip

    # One block a thread, for each takes a table of all vertices.
    in_threads(solve, len(vertices), fewest_rows=-(-len(vertices) // get_num_threads()) or 1)
    return x, n_iterations, residuals


def _most_edges(indptr: np.ndarray, vertices: np.ndarray) -> int:
    """A bound on those of a sub-graph: what its vertices have in the graph."""
    degrees = np.where(vertices >= 0, np.diff(indptr)[vertices], 0)
    return int(degrees.sum(axis=1).max(initial=0))


@njit(cache=True, nogil=True)
def _solve_block(
    indptr, indices, data, vertices, b, alpha, tolerance, max_iterations, first, last, places,
    starts, columns, weights, x, r, p, ap, solutions, n_iterations, residuals,
):  # fmt: skip
    """Solve for the rows from ``first`` to ``last``; the arrays from ``places`` on are room."""
    n = vertices.shape[1]
    for q in range(first, last):
        for a in range(n):
            if vertices[q, a] >= 0:
                places[vertices[q, a]] = a
        # Rows of the sub-graph in CSR, columns as places.
        end = 0
        for a in range(n):
            if vertices[q, a] >= 0:
                for e in range(indptr[vertices[q, a]], indptr[vertices[q, a] + 1]):
                    if places[indices[e]] >= 0:
                        columns[end], weights[end] = places[indices[e]], data[e]
                        end += 1
            starts[a + 1] = end
        for a in range(n):
            if vertices[q, a] >= 0:
                places[vertices[q, a]] = -1
        norm = 0.0
        for i in range(n):
            x[i], r[i], p[i] = 0.0, b[q, i], b[q, i]
            norm += r[i] * r[i]
        rho = norm
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
        for i in range(n):
            solutions[q, i] = x[i]
        n_iterations[q] = n_done
        residuals[q] = np.sqrt(rho / norm) if norm > 0 else 0.0
