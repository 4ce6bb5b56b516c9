"""Diffusion on sub-graphs against dense solves on principal submatrices."""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import pytest
from scipy import sparse

from rrtool.core.diffusion.conjugate_gradients import solve
from rrtool.core.diffusion.graph import normalize
from rrtool.core.diffusion.truncated_diffusion import solve_on_subgraphs
from tests.core.diffusion.test_graph import random_adjacency

ALPHA = 0.99
CONVERGED = {"tolerance": 1e-10, "max_iterations": 1000}
MATRICES = {
    "random": normalize(random_adjacency(60, 0.15)),
    "isolated": normalize(random_adjacency(60, 0.15, seed=1, n_isolated=20)),
    "dense": normalize(random_adjacency(30, 0.9, seed=2)),
    "no edge": sparse.csr_array((8, 8)),
}


class Solutions(NamedTuple):
    x: np.ndarray
    n_iterations: np.ndarray
    residuals: np.ndarray


def solutions_of(*arguments: Any, **options: Any) -> Solutions:
    return Solutions(*solve_on_subgraphs(*arguments, **options))


def random_sets(n: int, t: int, n_queries: int = 5, n_missing: int = 0, seed: int = 0):
    """Sets of ``t`` places of which ``n_missing``, anywhere, are empty; and right-hand sides."""
    generator = np.random.default_rng(seed)
    vertices = np.full((n_queries, t), -1, np.int32)
    for row in vertices:
        row[n_missing:] = generator.permutation(n)[: t - n_missing]
        generator.shuffle(row)
    return vertices, generator.normal(size=vertices.shape)


def dense_solution(
    matrix: sparse.csr_array, vertices: np.ndarray, b: np.ndarray, alpha: float
) -> np.ndarray:
    x = np.zeros(b.shape)
    for row, own, solution in zip(vertices, b, x, strict=True):
        kept = row >= 0
        inside = matrix.toarray()[np.ix_(row[kept], row[kept])]
        solution[kept] = np.linalg.solve(np.eye(kept.sum()) - alpha * inside, own[kept])
    return x


@pytest.mark.parametrize("alpha", [0.3, ALPHA])
@pytest.mark.parametrize(("share", "n_missing"), [(1, 0), (0.5, 0), (0.5, 3), (0.1, 1), (0.5, 4)])
@pytest.mark.parametrize("name", MATRICES)
def test_solve_on_subgraphs_equals_a_dense_solve_on_the_submatrix(name, share, n_missing, alpha):
    matrix = MATRICES[name]
    n = matrix.shape[0]
    t = max(1, int(share * n))
    vertices, b = random_sets(n, t, n_missing=min(n_missing, t))
    copies = vertices.copy(), b.copy()
    found = solutions_of(matrix, vertices, b, alpha, **CONVERGED)
    expected = dense_solution(matrix, vertices, b, alpha)
    assert found.x.dtype == np.float32
    assert found.n_iterations.dtype == np.int32
    np.testing.assert_allclose(found.x, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    assert (found.x[vertices < 0] == 0).all()
    assert (found.residuals <= 1e-10).all()
    np.testing.assert_array_equal(vertices, copies[0])
    np.testing.assert_array_equal(b, copies[1])


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("limit", [1, 5, 20])
def test_solve_on_subgraphs_of_everything_takes_the_steps_of_the_full_solve(name, limit):
    matrix = MATRICES[name]
    n = matrix.shape[0]
    vertices, b = random_sets(n, n)
    found = solutions_of(matrix, vertices, b, ALPHA, tolerance=1e-5, max_iterations=limit)
    columns = np.zeros((n, len(b)))
    np.put_along_axis(columns.T, vertices.astype(int), b, axis=1)
    full = solve(matrix, columns, ALPHA, tolerance=1e-5, max_iterations=limit)
    expected = np.take_along_axis(full.x.T, vertices.astype(int), axis=1)
    np.testing.assert_allclose(found.x, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    np.testing.assert_array_equal(found.n_iterations, full.n_iterations)


@pytest.mark.parametrize("limit", [0, 1, 3, 15])
def test_solve_on_subgraphs_reports_the_true_residual(limit):
    matrix = MATRICES["random"]
    vertices, b = random_sets(60, 40, n_missing=2)
    found = solutions_of(matrix, vertices, b, ALPHA, tolerance=1e-9, max_iterations=limit)
    assert (found.n_iterations == limit).all()
    for row, own, x, residual in zip(vertices, b, found.x, found.residuals, strict=True):
        kept = row >= 0
        inside = np.eye(kept.sum()) - ALPHA * matrix.toarray()[np.ix_(row[kept], row[kept])]
        rest = own[kept] - inside @ x[kept].astype(float)
        expected = np.linalg.norm(rest) / np.linalg.norm(own[kept])
        assert residual == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_solve_on_subgraphs_of_zero_is_zero():
    vertices, b = random_sets(60, 20, n_queries=4)
    b[1] = 0
    vertices[2] = -1
    found = solutions_of(MATRICES["random"], vertices, b, ALPHA, **CONVERGED)
    assert not found.x[[1, 2]].any()
    assert not found.n_iterations[[1, 2]].any()
    assert not found.residuals[[1, 2]].any()
    assert found.n_iterations[[0, 3]].all()


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (0, 0)])
def test_solve_on_subgraphs_of_nothing_is_empty(shape):
    found = solutions_of(MATRICES["random"], np.zeros(shape, np.int32), np.zeros(shape), ALPHA)
    assert found.x.shape == shape
    assert found.n_iterations.shape == found.residuals.shape == shape[:1]
    assert not found.residuals.any()


def test_solve_on_subgraphs_queries_do_not_disturb_each_other():
    vertices, b = random_sets(60, 25, n_queries=9, n_missing=2)
    together = solutions_of(MATRICES["random"], vertices, b, ALPHA)
    for place in range(9):
        rows = slice(place, place + 1)
        alone = solutions_of(MATRICES["random"], vertices[rows], b[rows], ALPHA)
        np.testing.assert_array_equal(together.x[rows], alone.x)
        np.testing.assert_array_equal(together.n_iterations[rows], alone.n_iterations)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_solve_on_subgraphs_does_not_depend_on_the_number_of_threads():
    vertices, b = random_sets(60, 25, n_queries=11)
    found = []
    for n_threads in (1, 2):
        numba.set_num_threads(n_threads)
        found.append(solutions_of(MATRICES["random"], vertices, b, ALPHA))
    for name in ("x", "n_iterations", "residuals"):
        np.testing.assert_array_equal(*(getattr(solution, name) for solution in found))


@pytest.mark.parametrize("alpha", [0, 1, -1, 2, np.nan])
def test_solve_on_subgraphs_refuses_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\)"):
        solutions_of(MATRICES["random"], *random_sets(60, 5), alpha)
