"""Conjugate gradients against dense solves in float64 and against SciPy's, step for step."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import ModuleType, SimpleNamespace

import numba
import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.linalg import cg

from rrtool.core.diffusion import (
    conjugate_gradients,
    conjugate_gradients_numba,
    conjugate_gradients_torch,
)
from rrtool.core.diffusion.conjugate_gradients import Solution, solve
from rrtool.core.diffusion.graph import normalize
from tests.device import TORCH_DEVICE

ALPHA = 0.99
LARGE = 1100  # several chunks of rows


def random_weights(n: int, degree: float, seed: int) -> sparse.csr_array:
    generator = np.random.default_rng(seed)
    upper = sparse.triu(sparse.random_array((n, n), density=degree / n, rng=generator), 1)
    return sparse.csr_array(upper + upper.T)


def clustered_weights(n: int, size: int, seed: int) -> sparse.csr_array:
    """Cliques of ``size``, hung together by weak edges: slow to converge."""
    generator = np.random.default_rng(seed)
    clusters = np.arange(n) // size
    rows, columns = np.nonzero(np.triu(clusters[:, None] == clusters, 1))
    strong = sparse.coo_array((generator.uniform(0.5, 1, len(rows)), (rows, columns)), (n, n))
    matrix = strong + strong.T + 0.01 * random_weights(n, 1, seed)
    return sparse.csr_array(matrix)


@cache
def matrix_of(name: str) -> sparse.csr_array:
    """Normalised adjacency matrices."""
    parts = {
        "random": lambda: random_weights(300, 8, 0),
        "dense": lambda: random_weights(60, 50, 1),
        "clustered": lambda: clustered_weights(300, 20, 2),
        "large": lambda: clustered_weights(LARGE, 25, 3),
        "disconnected": lambda: sparse.block_diag(
            [random_weights(50, 9, 4), random_weights(70, 6, 5)], format="csr"
        ),
        "isolated": lambda: sparse.block_diag(
            [random_weights(40, 5, 6), sparse.csr_array((9, 9))], format="csr"
        ),
        "path": lambda: sparse.diags_array([np.ones(99)] * 2, offsets=[-1, 1]).tocsr(),
        "pair": lambda: sparse.csr_array(np.array([[0, 1.0], [1, 0]])),
        "no edge": lambda: sparse.csr_array((7, 7)),
        "single": lambda: sparse.csr_array((1, 1)),
    }
    matrix = sparse.csr_array(parts[name](), dtype=np.float32)
    matrix.sort_indices()
    return normalize(matrix)


GRAPHS = ("random", "dense", "clustered", "large", "disconnected", "isolated", "path", "pair",
          "no edge", "single")  # fmt: skip


def system_of(matrix: sparse.csr_array, alpha: float = ALPHA) -> sparse.csr_array:
    return sparse.csr_array(sparse.eye_array(matrix.shape[0]) - alpha * matrix)


def sparse_columns(n: int, m: int, seed: int = 0) -> np.ndarray:
    """Right-hand sides as diffusion has them: a few positive entries."""
    generator = np.random.default_rng(seed)
    columns = np.zeros((n, m))
    for column in columns.T:
        column[generator.permutation(n)[:10]] = generator.uniform(0, 0.01, min(n, 10))
    return columns


def random_columns(n: int, m: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, m))


def mixed_columns(n: int) -> np.ndarray:
    return np.concatenate([sparse_columns(n, 2), random_columns(n, 2)], axis=1)


def assert_near(found: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    """Column by column, relative to the largest entry."""
    found, expected = (values.reshape(len(values), -1) for values in (found, expected))
    errors = np.abs(found - expected).max(axis=0)
    assert (errors <= tolerance * np.abs(expected).max(axis=0)).all(), errors


def true_residuals(matrix: sparse.csr_array, b: np.ndarray, x: np.ndarray, alpha: float = ALPHA):
    b, x = b.reshape(len(b), -1).astype(float), x.reshape(len(x), -1)
    norms = np.linalg.norm(b, axis=0)
    residuals = np.linalg.norm(b - system_of(matrix, alpha) @ x, axis=0)
    return np.where(norms > 0, residuals / np.where(norms > 0, norms, 1), 0)


class Counted:
    """SciPy's conjugate gradients, and how many iterations they took."""

    def __init__(self, matrix: sparse.csr_array, b: np.ndarray, tolerance: float, limit: int):
        self.n_iterations = 0
        system = system_of(matrix)
        self.x = cg(system, b, rtol=tolerance, atol=0, maxiter=limit, callback=self._count)[0]

    def _count(self, _: np.ndarray) -> None:
        self.n_iterations += 1


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on busy cores cost a thousand times what they compute."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


@pytest.fixture(params=["numba", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both backends, the one in torch on the CPU or where the tests compute."""
    if request.param == "torch":
        on_device = SimpleNamespace(
            Operator=lambda matrix, alpha, _: conjugate_gradients_torch.Operator(
                matrix, alpha, TORCH_DEVICE
            ),
            iterate=conjugate_gradients_torch.iterate,
        )
        monkeypatch.setattr(conjugate_gradients, "_backend", lambda _: on_device)
    return request.param


# The solution


@pytest.mark.parametrize("name", GRAPHS)
def test_solve_converged_equals_a_dense_solve(backend, name):
    matrix = matrix_of(name)
    b = mixed_columns(matrix.shape[0])
    found = solve(matrix, b, ALPHA, tolerance=1e-8, max_iterations=2000)
    assert found.converged.all()
    assert (found.residuals <= 1e-8).all()
    assert found.x.dtype == np.float64
    assert_near(found.x, np.linalg.solve(system_of(matrix).toarray(), b), 1e-5)


@pytest.mark.parametrize("alpha", [1e-6, 0.5, 0.999])
def test_solve_at_other_alpha_equals_a_dense_solve(backend, alpha):
    matrix = matrix_of("clustered")
    b = random_columns(300, 2)
    found = solve(matrix, b, alpha, tolerance=1e-9, max_iterations=3000)
    assert found.converged.all()
    assert_near(found.x, np.linalg.solve(system_of(matrix, alpha).toarray(), b), 1e-5)
    np.testing.assert_allclose(
        found.residuals, true_residuals(matrix, b, found.x, alpha), rtol=1e-3, atol=1e-13
    )


def test_solve_of_a_pair_by_hand():
    found = solve(matrix_of("pair"), np.array([1, 0]), 0.5)
    np.testing.assert_allclose(found.x, [4 / 3, 2 / 3], rtol=1e-6)
    assert found.n_iterations == [2]


# The steps


@pytest.mark.parametrize("name", ["random", "large", "isolated"])
@pytest.mark.parametrize("limit", [1, 2, 5, 20])
def test_solve_takes_the_steps_of_scipy(backend, name, limit):
    matrix = matrix_of(name)
    b = mixed_columns(matrix.shape[0])
    found = solve(matrix, b, ALPHA, tolerance=1e-6, max_iterations=limit)
    for place, column in enumerate(b.T):
        expected = Counted(matrix, column, 1e-6, limit)
        assert_near(found.x[:, place], expected.x, 1e-5)
        # Where float32 arrives before the limit, a refinement may take an iteration or two more.
        arrived = expected.n_iterations < limit
        assert 0 <= found.n_iterations[place] - expected.n_iterations <= 2 * arrived


@pytest.mark.parametrize("tolerance", [0.5, 0.1, 1e-2, 1e-3])
@pytest.mark.parametrize("name", ["random", "clustered", "large"])
def test_solve_stops_where_scipy_stops(backend, name, tolerance):
    matrix = matrix_of(name)
    b = mixed_columns(matrix.shape[0])
    found = solve(matrix, b, ALPHA, tolerance=tolerance, max_iterations=500)
    expected = [Counted(matrix, column, tolerance, 500).n_iterations for column in b.T]
    assert found.n_iterations.dtype == np.int32
    np.testing.assert_array_equal(found.n_iterations, expected)
    assert found.converged.all()
    assert found.tolerance == tolerance


def test_solve_says_which_columns_have_not_converged(backend):
    matrix = matrix_of("isolated")
    b = np.zeros((49, 3))
    b[0, 0] = b[45, 1] = 1
    found = solve(matrix, b, ALPHA, tolerance=1e-6, max_iterations=3)
    np.testing.assert_array_equal(found.converged, [False, True, True])
    np.testing.assert_array_equal(found.n_iterations, [3, 1, 0])
    np.testing.assert_array_equal(found.x[:, 1], b[:, 1])
    np.testing.assert_array_equal(found.x[:, 2], np.zeros(49))
    assert found.residuals[2] == 0


def test_solve_zero_iterations_is_zero(backend):
    found = solve(matrix_of("random"), np.ones((300, 2)), ALPHA, max_iterations=0)
    assert not found.x.any()
    np.testing.assert_array_equal(found.n_iterations, [0, 0])
    np.testing.assert_allclose(found.residuals, [1, 1], rtol=1e-12)
    assert not found.converged.any()


def test_solve_at_a_tolerance_out_of_reach_ends_at_the_limit(backend):
    matrix, b = matrix_of("clustered"), random_columns(300, 2)
    found = solve(matrix, b, ALPHA, tolerance=0, max_iterations=60)
    assert (found.n_iterations <= 60).all()
    assert_near(found.x, np.linalg.solve(system_of(matrix).toarray(), b), 1e-5)


def test_refinement_reaches_what_float32_alone_does_not(backend, monkeypatch):
    matrix, b = matrix_of("path"), random_columns(100, 3)
    options = {"tolerance": 1e-9, "max_iterations": 2000}
    refined = solve(matrix, b, ALPHA, **options)
    assert refined.converged.all()
    assert_near(refined.x, np.linalg.solve(system_of(matrix).toarray(), b), 1e-7)
    monkeypatch.setattr(conjugate_gradients, "_MAX_REFINEMENTS", 0)
    assert not solve(matrix, b, ALPHA, **options).converged.any()


def test_refinement_counts_against_the_limit(backend, monkeypatch):
    matrix, b = matrix_of("path"), random_columns(100, 3)
    with monkeypatch.context() as patch:
        patch.setattr(conjugate_gradients, "_MAX_REFINEMENTS", 0)
        arrived = solve(matrix, b, ALPHA, tolerance=1e-9, max_iterations=2000).n_iterations
    limit = int(arrived.max()) + 3
    found = solve(matrix, b, ALPHA, tolerance=1e-9, max_iterations=limit)
    assert (found.n_iterations <= limit).all()
    assert (found.n_iterations > arrived).any()
    assert not found.converged.all()


# Many right-hand sides


@pytest.mark.parametrize("m", [1, 2, 79, 80, 81, 160, 163])
def test_solve_of_many_columns_equals_each_alone(m):
    matrix = matrix_of("large" if m in (81,) else "clustered")
    b = sparse_columns(matrix.shape[0], m) + 0.01 * random_columns(matrix.shape[0], m)
    b[:, m // 2] = 0
    together = solve(matrix, b, ALPHA, max_iterations=20)
    assert together.x.shape == b.shape
    assert together.n_iterations.shape == together.residuals.shape == (m,)
    for place in {0, 1 % m, m // 2, m // 2 + 1, m - 1} & set(range(m)):
        alone = solve(matrix, b[:, place], ALPHA, max_iterations=20)
        assert alone.x.shape == (len(b),)
        assert_near(together.x[:, place], alone.x, 1e-5)
        assert together.n_iterations[place] == alone.n_iterations[0]
    np.testing.assert_allclose(
        together.residuals, true_residuals(matrix, b, together.x), rtol=1e-6, atol=1e-12
    )


def test_solve_columns_that_arrive_early_stand_still(backend):
    matrix = matrix_of("isolated")
    b = np.zeros((49, 2))
    b[:40, 0], b[44, 1] = random_columns(40, 1)[:, 0], 3
    found = solve(matrix, b, ALPHA, tolerance=1e-8, max_iterations=1000)
    np.testing.assert_allclose(found.x[:, 1], b[:, 1], rtol=1e-15)
    assert found.n_iterations[1] == 1 < found.n_iterations[0]


@pytest.mark.parametrize("shape", [(300, 0), (0,), (0, 3), (0, 0)])
def test_solve_of_nothing_is_empty(shape):
    matrix = matrix_of("random") if shape[0] else sparse.csr_array((0, 0))
    found = solve(matrix, np.zeros(shape), ALPHA)
    n_columns = shape[1] if len(shape) == 2 else 1
    assert found.x.shape == shape
    assert found.n_iterations.shape == found.residuals.shape == (n_columns,)
    assert found.converged.all()


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e30])
def test_solve_is_linear_in_its_right_hand_side(backend, scale):
    matrix, b = matrix_of("random"), sparse_columns(300, 2)
    expected, found = (solve(matrix, factor * b, ALPHA) for factor in (1, scale))
    assert_near(found.x / scale, expected.x, 1e-5)
    np.testing.assert_array_equal(found.n_iterations, expected.n_iterations)
    np.testing.assert_allclose(found.residuals, expected.residuals, rtol=1e-3)


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_solve_takes_any_dtype_and_layout(backend, dtype):
    matrix = matrix_of("random")
    b = (random_columns(300, 3) > 1).astype(dtype)
    found = solve(matrix, np.asfortranarray(b), ALPHA)
    expected = solve(matrix, b.astype(np.float64), ALPHA)
    np.testing.assert_allclose(found.x, expected.x, rtol=1e-5, atol=1e-7)


def test_solve_leaves_its_arguments_alone(backend):
    matrix, b = matrix_of("clustered").copy(), random_columns(300, 3)
    copies = matrix.copy(), b.copy()
    solve(matrix, b, ALPHA, tolerance=1e-9, max_iterations=300)
    np.testing.assert_array_equal(b, copies[1])
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(matrix, name), getattr(copies[0], name))


# Residuals, threads, backends


@pytest.mark.parametrize("limit", [1, 20, 500])
def test_solve_reports_the_true_residual(backend, limit):
    matrix, b = matrix_of("large"), random_columns(LARGE, 3)
    found = solve(matrix, b, ALPHA, tolerance=1e-7, max_iterations=limit)
    np.testing.assert_allclose(
        found.residuals, true_residuals(matrix, b, found.x), rtol=1e-6, atol=1e-14
    )


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
@pytest.mark.parametrize("m", [1, 7])
@pytest.mark.parametrize("limit", [5, 60])
def test_solve_does_not_depend_on_the_number_of_threads(m, limit):
    matrix, b = matrix_of("large"), random_columns(LARGE, m)
    found: list[Solution] = []
    for n_threads in (1, 2):
        numba.set_num_threads(n_threads)
        found.append(solve(matrix, b, ALPHA, tolerance=1e-8, max_iterations=limit))
    for name in ("x", "n_iterations", "residuals"):
        np.testing.assert_array_equal(*(getattr(solution, name) for solution in found))


def _device_of(module: ModuleType) -> str:
    return TORCH_DEVICE if module is conjugate_gradients_torch else "cpu"


@pytest.mark.parametrize("limit", [1, 5, 20, 60])
def test_backends_take_the_same_steps(limit):
    matrix = matrix_of("large")
    b = random_columns(LARGE, 4)
    b = (b / np.linalg.norm(b, axis=0)).astype(np.float32)
    b[:, 1] = 0
    results = []
    for backend in (conjugate_gradients_numba, conjugate_gradients_torch):
        operator = backend.Operator(matrix, ALPHA, _device_of(backend))
        x, n_iterations = backend.iterate(operator, b, 1e-3, limit)
        assert (x.dtype, n_iterations.dtype) == (np.float32, np.int32)
        results.append((x, n_iterations, operator.residual(b, x), operator.residual_norms(b, x)))
    ours, theirs = results
    assert_near(theirs[0], ours[0], 1e-5)
    np.testing.assert_array_equal(theirs[1], ours[1])
    np.testing.assert_allclose(theirs[2], ours[2], atol=2e-6)
    np.testing.assert_allclose(theirs[3], ours[3], rtol=1e-3, atol=1e-6)
    expected = b - system_of(matrix) @ ours[0].astype(np.float64)
    np.testing.assert_allclose(ours[2], expected, atol=1e-12)
    np.testing.assert_allclose(ours[3], np.linalg.norm(expected, axis=0), rtol=1e-9)


@pytest.mark.parametrize("module", [conjugate_gradients_numba, conjugate_gradients_torch])
def test_iterate_takes_a_limit_and_a_tolerance_for_each_column(module):
    matrix = matrix_of("clustered")
    b = random_columns(300, 3).astype(np.float32)
    operator = module.Operator(matrix, ALPHA, _device_of(module))
    limits, tolerances = np.array([2, 100, 7]), np.array([0, 1.0, 0])
    x, n_iterations = module.iterate(operator, b, tolerances, limits)
    assert n_iterations[0] == 2
    assert 2 < n_iterations[1] < 100
    assert n_iterations[2] == 7
    for place in range(3):
        alone, n_alone = module.iterate(
            operator, b[:, [place]], float(tolerances[place]), int(limits[place])
        )
        assert n_alone == n_iterations[[place]]
        assert_near(x[:, [place]], alone, 1e-5)


# Bad arguments


@pytest.mark.parametrize("alpha", [0, 1, -0.5, 1.5, np.nan, np.inf])
def test_solve_refuses_alpha_out_of_range(alpha):
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\)"):
        solve(matrix_of("pair"), np.ones(2), alpha)


@pytest.mark.parametrize("shape", [(3,), (3, 2), (1, 2), (0,), (), (2, 1, 1)])
def test_solve_refuses_wrong_shapes(shape):
    with pytest.raises(ValueError, match="right-hand sides"):
        solve(matrix_of("pair"), np.ones(shape), ALPHA)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_solve_refuses_values_that_are_not_finite(value):
    b = np.ones((2, 3))
    b[1, 2] = value
    with pytest.raises(ValueError, match="not finite"):
        solve(matrix_of("pair"), b, ALPHA)
