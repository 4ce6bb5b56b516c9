"""Joint label propagation: acquire what is least similar to the labelled images on the manifold.

``h(δ(L))`` (thesis eq. 3.9, 3.11) is linear in its right-hand side: picking i adds the column
``h(e_i)`` to it and nothing else changes. So nothing is ever solved anew: each pick is a
correction of what stands, and a column is solved for only when its vertex comes first, together
with those of the vertices right behind it, which are the likely next picks; a block of columns
shares every pass over the matrix. Columns that were solved for too early wait for their turn. For
many picks what all columns have in common, the slow modes of the graph, is found once beforehand.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from rrtool.core.diffusion.conjugate_gradients import solve
from rrtool.core.diffusion.graph import locality_ordering, normalize, permute
from rrtool.core.diffusion.slow_modes import SlowModes, find_slow_modes
from rrtool.core.learning.acquisition import Acquisition, check_budget

_BLOCK = 64  # columns solved for together
_MODES_PAY_FROM = 200  # picks; finding the slow modes takes as long as some 100 columns


def manifold_similarity(
    adjacency: sparse.csr_array,
    labeled_ids: np.ndarray,
    *,
    alpha: float = 0.99,
    tolerance: float = 1e-6,
) -> np.ndarray:
    """``h(δ(L)) = (1 − α) L_α^{-1} δ(L)`` (eq. 3.9, 3.11), ``(n,)`` float64.

    Exactly 0 in components of the graph without a labelled image.
    """
    everything = np.arange(adjacency.shape[0])
    return _Propagation(adjacency, everything, alpha, tolerance)(labeled_ids)


def acquire_joint_propagation(
    adjacency: sparse.csr_array,
    labeled_ids: np.ndarray,
    pool_ids: np.ndarray,
    budget: int,
    generator: np.random.Generator,
    *,
    alpha: float = 0.99,
    tolerance: float = 1e-6,
) -> Acquisition:
    """Greedy ``argmin_{i ∈ U} h(δ(L ∪ S))_i`` (eq. 3.12), the same picks as solving every time.

    ``h`` is 0 in components without a labelled or picked image: as long as there are any, their
    images tie, and nothing needs to be solved. Ties go by an order drawn from the generator.
    Memory: a float32 column for each vertex solved for and not picked yet, a few hundred.

    Args:
        adjacency: ``(n, n)`` symmetric, not negative, zero diagonal.
        tolerance: ``‖r‖ / ‖b‖`` of every solution. Vertices whose values are closer than this
            tells apart may be taken in either order, as in the naive loop.

    Raises:
        ValueError: as ``check_budget``, or ``alpha`` is not in (0, 1).
    """
    pool = generator.permutation(check_budget(pool_ids, budget, labeled_ids))
    labeled = np.asarray(labeled_ids, dtype=np.int64)
    first = _of_unlabeled_components(adjacency, labeled, pool)[:budget]
    if len(first) == budget:
        return Acquisition(first, np.zeros(budget))
    rest = pool[~np.isin(pool, first)]
    propagation = _Propagation(adjacency, rest, alpha, tolerance)
    if budget - len(first) >= _MODES_PAY_FROM:
        propagation.find_modes(generator)
    similarities = propagation(np.concatenate([labeled, first]))
    places, scores = _pick(similarities, rest, propagation, budget - len(first))
    return Acquisition(
        np.concatenate([first, rest[places]]), np.concatenate([np.zeros(len(first)), scores])
    )


def _of_unlabeled_components(
    adjacency: sparse.csr_array, labeled: np.ndarray, pool: np.ndarray
) -> np.ndarray:
    """The first image of the pool in each component without a labelled one, in their order."""
    _, component = connected_components(adjacency, directed=False)
    _, first = np.unique(component[pool], return_index=True)
    first = pool[np.sort(first)]
    return first[~np.isin(component[first], component[labeled])]


def _pick(
    similarities: np.ndarray, vertices: np.ndarray, propagation: _Propagation, budget: int
) -> tuple[np.ndarray, np.ndarray]:
    """Places in ``vertices`` and values at picking."""
    similarities = similarities.copy()
    places, scores = np.empty(budget, dtype=np.int64), np.empty(budget)
    columns: dict[int, np.ndarray] = {}
    for step in range(budget):
        best = int(similarities.argmin())
        if best not in columns:
            likely = _lowest(similarities, columns, min(_BLOCK, budget - step))
            columns.update(zip(likely.tolist(), propagation.columns(vertices[likely]), strict=True))
        places[step], scores[step] = best, similarities[best]
        similarities += columns.pop(best)
        similarities[best] = np.inf  # and stays so
    return places, scores


def _lowest(similarities: np.ndarray, columns: dict[int, np.ndarray], n: int) -> np.ndarray:
    """The ``n`` lowest of those without a column, ties by place; fewer if there are no more."""
    key = similarities.copy()
    key[list(columns)] = np.inf
    lowest = np.argsort(key, kind="stable")[:n]
    return lowest[np.isfinite(key[lowest])]


class _Propagation:
    """``h`` at some vertices, on a graph brought into the order in which it is solved fastest."""

    def __init__(
        self, adjacency: sparse.csr_array, vertices: np.ndarray, alpha: float, tolerance: float
    ) -> None:
        order = locality_ordering(adjacency)
        self._matrix = permute(normalize(adjacency), order)
        self._place = np.empty(len(order), dtype=np.int64)
        self._place[order] = np.arange(len(order))
        self._rows = self._place[vertices]
        self._alpha = alpha
        self._modes: SlowModes | None = None
        # Twice the bound on the error of conjugate gradients at condition (1 + α) / (1 − α).
        condition = (1 + alpha) / (1 - alpha)
        most = 10 + int(np.sqrt(condition) * np.log(2 * condition / tolerance))
        self._solver: dict[str, Any] = {"tolerance": tolerance, "max_iterations": most}

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """``h(δ(ids))``."""
        delta = np.zeros((len(self._place), 1))
        delta[self._place[ids]] = 1
        return self._solve(delta)[:, 0]

    def find_modes(self, generator: np.random.Generator) -> None:
        """Saves ``columns`` two thirds of their iterations."""
        self._modes = find_slow_modes(self._matrix, self._alpha, generator)

    def columns(self, ids: np.ndarray) -> np.ndarray:
        """``h(e_i)`` of each id, one a row, float32."""
        places = self._place[ids]
        unit = np.zeros((len(self._place), len(ids)))
        unit[places, np.arange(len(ids))] = 1
        if self._modes is None:
            found = self._solve(unit)
        else:
            start = self._modes.start(places)
            found = self._solve(unit - start + self._alpha * (self._matrix @ start))
            found += (1 - self._alpha) * start[self._rows]
        return np.ascontiguousarray(found.T, dtype=np.float32)

    def _solve(self, right_hand_sides: np.ndarray) -> np.ndarray:
        solution = solve(self._matrix, right_hand_sides, self._alpha, **self._solver)
        return (1 - self._alpha) * solution.x[self._rows]
