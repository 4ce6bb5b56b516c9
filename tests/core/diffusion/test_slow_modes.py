"""Slow modes against a dense eigendecomposition and dense projections."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from rrtool.core.diffusion import slow_modes
from rrtool.core.diffusion.conjugate_gradients import solve
from rrtool.core.diffusion.graph import normalize
from rrtool.core.diffusion.slow_modes import find_slow_modes
from tests.core.diffusion.test_graph import random_adjacency

pytestmark = pytest.mark.usefixtures("one_thread")
ALPHA = 0.99


def clustered(n_clusters: int, size: int) -> sparse.csr_array:
    """Dense random clusters with a few weak edges between them."""
    n = n_clusters * size
    inside = np.kron(np.eye(n_clusters), np.ones((size, size)))
    weights = random_adjacency(n, 0.6).toarray() * inside
    weights += 0.05 * random_adjacency(n, 0.01, seed=1).toarray()
    return normalize(sparse.csr_array(weights))


def test_find_slow_modes_holds_the_leading_eigenvectors(monkeypatch) -> None:
    monkeypatch.setattr(slow_modes, "N_MODES", 16)
    matrix = clustered(8, 40)
    modes = find_slow_modes(matrix, ALPHA, np.random.default_rng(0))
    values, vectors = np.linalg.eigh(matrix.toarray())
    leading = vectors[:, values > 0.9]
    assert leading.shape[1] == 8
    within = modes.basis @ (modes.basis.T @ leading)
    np.testing.assert_allclose(within, leading, atol=1e-5)
    np.testing.assert_allclose(modes.basis.T @ modes.basis, np.eye(16), atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, 60])
def test_start_is_the_galerkin_solution(n: int) -> None:
    matrix = normalize(random_adjacency(n, 0.3))
    a = np.eye(n) - ALPHA * matrix.toarray()
    modes = find_slow_modes(matrix, ALPHA, np.random.default_rng(0))
    ids = np.arange(0, n, 2)
    remainder = np.eye(n)[:, ids] - a @ modes.start(ids)
    np.testing.assert_allclose(modes.basis.T @ remainder, 0, atol=1e-4)


def test_start_saves_iterations(monkeypatch) -> None:
    monkeypatch.setattr(slow_modes, "N_MODES", 16)
    matrix = clustered(8, 40)
    modes = find_slow_modes(matrix, ALPHA, np.random.default_rng(0))
    unit, start = np.eye(320)[:, :20], modes.start(np.arange(20))
    remainder = unit - start + ALPHA * (matrix @ start)
    plain = solve(matrix, unit, ALPHA, max_iterations=200)
    started = solve(matrix, remainder, ALPHA, max_iterations=200)
    assert started.converged.all()
    assert started.n_iterations.max() < plain.n_iterations.min()
