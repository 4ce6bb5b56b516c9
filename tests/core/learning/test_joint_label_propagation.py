"""Joint label propagation against a dense solve for every pick."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from rrtool.core.diffusion import slow_modes
from rrtool.core.diffusion.graph import normalize
from rrtool.core.learning import joint_label_propagation
from rrtool.core.learning.acquisition import Acquisition
from rrtool.core.learning.joint_label_propagation import (
    acquire_joint_propagation,
    manifold_similarity,
)
from tests.core.diffusion.test_graph import random_adjacency

pytestmark = pytest.mark.usefixtures("one_thread")
ACCURATE = {"tolerance": 1e-11}


def dense_similarity(adjacency: sparse.csr_array, labeled: list[int], alpha: float) -> np.ndarray:
    """Equations 3.9 and 3.11 word for word."""
    n = adjacency.shape[0]
    delta = np.zeros(n)
    delta[labeled] = 1
    return (1 - alpha) * np.linalg.solve(np.eye(n) - alpha * normalize(adjacency).toarray(), delta)


def assert_greedy(
    adjacency: sparse.csr_array,
    labeled: list[int],
    ordered_pool: list[int],
    found: Acquisition,
    alpha: float,
) -> None:
    """Every pick has the least value by a dense solve of its own, up to 1e-7 of that value.

    Symmetric graphs have vertices of equal value, which rounding may put in either order; zeros
    are exact, and there the first of the pool is due.
    """
    picks = found.ids.tolist()
    for step, (pick, score) in enumerate(zip(picks, found.scores, strict=True)):
        h = dense_similarity(adjacency, labeled + picks[:step], alpha)
        open_ids = [i for i in ordered_pool if i not in picks[:step]]
        values = np.where(h[open_ids] < 1e-15, 0, h[open_ids])  # 0 up to rounding
        if values.min() == 0:
            assert pick == open_ids[int(values.argmin())]
        assert h[pick] <= values.min() * (1 + 1e-7) + 1e-15
        np.testing.assert_allclose(score, values.min(), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("block", "modes_pay_from"), [(1, 200), (3, 0), (64, 200), (64, 0)])
@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(2, 50), density=st.sampled_from([0.02, 0.06, 0.2, 0.7]),
    n_labeled=st.integers(0, 4), seed=st.integers(0, 10_000), alpha=st.sampled_from([0.5, 0.99]),
)  # fmt: skip
def test_acquire_joint_propagation_equals_a_dense_solve_per_pick(
    block, modes_pay_from, n, density, n_labeled, seed, alpha
) -> None:
    adjacency = random_adjacency(n, density, seed=seed)
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(n)
    labeled, pool = shuffled[:n_labeled], shuffled[n_labeled:]
    budget = int(generator.integers(0, len(pool) + 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint_label_propagation, "_BLOCK", block)
        patch.setattr(joint_label_propagation, "_MODES_PAY_FROM", modes_pay_from)
        patch.setattr(slow_modes, "N_MODES", 4)
        found = acquire_joint_propagation(
            adjacency, labeled, pool, budget, np.random.default_rng(seed), alpha=alpha, **ACCURATE
        )
    ordered = np.random.default_rng(seed).permutation(np.sort(pool))
    assert len(found.ids) == budget
    assert_greedy(adjacency, labeled.tolist(), ordered.tolist(), found, alpha)


def test_acquire_joint_propagation_visits_every_component_before_it_solves(monkeypatch) -> None:
    def no_solver(*_args: object, **_options: object) -> None:
        raise AssertionError("nothing to solve for")

    monkeypatch.setattr(joint_label_propagation, "solve", no_solver)
    triangles = np.zeros((14, 14))
    triangles[:12, :12] = np.kron(np.eye(4), np.ones((3, 3)) - np.eye(3))
    adjacency = sparse.csr_array(triangles)
    pool = np.arange(1, 14)
    found = acquire_joint_propagation(adjacency, np.array([0]), pool, 5, np.random.default_rng(0))
    components = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 5])
    assert sorted(components[found.ids]) == [1, 2, 3, 4, 5]
    np.testing.assert_array_equal(found.scores, 0)


def test_acquire_joint_propagation_hand_worked_on_a_path() -> None:
    # 0 – 1 – 2 – 3 – 4, label at 0: the other end is least similar, then the middle.
    path = sparse.csr_array(sparse.diags_array([[1.0] * 4] * 2, offsets=[-1, 1]))
    found = acquire_joint_propagation(
        path, np.array([0]), np.arange(1, 5), 2, np.random.default_rng(0), alpha=0.5
    )
    np.testing.assert_array_equal(found.ids, [4, 2])


@pytest.mark.parametrize("n", [0, 1, 5])
def test_acquire_joint_propagation_without_edges(n: int) -> None:
    empty = sparse.csr_array((n, n), dtype=np.float32)
    found = acquire_joint_propagation(
        empty, np.array([]), np.arange(n), n, np.random.default_rng(2)
    )
    assert sorted(found.ids) == list(range(n))
    np.testing.assert_array_equal(found.scores, 0)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 40), density=st.sampled_from([0.03, 0.1, 0.5]), seed=st.integers(0, 1000),
    alpha=st.sampled_from([0.1, 0.99]),
)  # fmt: skip
def test_manifold_similarity_equals_a_dense_solve(n, density, seed, alpha) -> None:
    adjacency = random_adjacency(n, density, seed=seed)
    labeled = np.random.default_rng(seed).permutation(n)[: n // 4]
    found = manifold_similarity(adjacency, labeled, alpha=alpha, **ACCURATE)
    expected = dense_similarity(adjacency, labeled.tolist(), alpha)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-9)
    _, component = sparse.csgraph.connected_components(adjacency, directed=False)
    np.testing.assert_array_equal(found[~np.isin(component, component[labeled])], 0)
