"""Rank by diffusion on the graph, from the vertices that resemble a query (thesis §2.4, §4.4.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse

from rrtool.core.diffusion.conjugate_gradients import Solution, solve
from rrtool.core.diffusion.graph import edge_weight, locality_ordering, normalize, permute
from rrtool.core.retrieval.ranking import top_rows

ALPHA = 0.99


@dataclass(frozen=True)
class Seeds:
    """Where the diffusion of each query starts.

    Attributes:
        ids: ``(q, s)`` int32 vertices, −1 = none; the weights of one that recurs add up.
        weights: ``(q, s)`` float32, not negative, 0 where there is no vertex.
    """

    ids: np.ndarray
    weights: np.ndarray

    def dense(self, order: np.ndarray) -> np.ndarray:
        """The vectors ``g`` as columns, ``(n, q)``, their rows in ``order (n,)``."""
        rows = np.empty(len(order), dtype=np.intp)
        rows[order] = np.arange(len(order))
        columns = np.zeros((len(order), len(self.ids)), dtype=np.float32)
        queries, places = np.nonzero(self.ids >= 0)
        seeds = rows[self.ids[queries, places]]
        np.add.at(columns, (seeds, queries), self.weights[queries, places])
        return columns

    def joined(self, offsets: np.ndarray) -> Seeds:
        """One row of seeds a query, from one a region of it.

        Args:
            offsets: ``(q + 1,)`` rows of each query.
        """
        counts = np.diff(offsets)
        if (counts == 1).all():
            return self
        width = int(counts.max(initial=0))
        present = np.arange(width) < counts[:, None]
        rows = np.where(present, offsets[:-1, None] + np.arange(width), 0)
        shape = (len(counts), -1)
        ids = np.where(present[..., None], self.ids[rows], -1).reshape(*shape)
        weights = np.where(present[..., None], self.weights[rows], 0).reshape(*shape)
        return Seeds(ids, weights)


def seeds_from_similarities(ids: np.ndarray, similarities: np.ndarray, gamma: float) -> Seeds:
    """``g_i = s(q, v_i)`` for the nearest neighbours of a query outside the graph (§4.4.1).

    Args:
        ids: ``(q, kq)`` the nearest vertices; −1 = none.
        similarities: ``(q, kq)`` inner products.
    """
    weights = np.where(ids >= 0, edge_weight(similarities, gamma), 0)
    return Seeds(np.where(weights > 0, ids, -1).astype(np.int32), weights.astype(np.float32))


def seeds_from_verification(
    ids: np.ndarray,
    similarities: np.ndarray,
    n_inliers: np.ndarray,
    is_copy: np.ndarray,
    n_seeds: int,
) -> Seeds:
    """The best of the spatially verified images by inliers × similarity (§4.4.1, "DSM+D").

    Weights are divided by their maximum. A copy of the query in the database matches itself
    everywhere, and would leave nothing for the rest: it counts as much as the best of them.

    Args:
        ids: ``(q, s)`` verified rows, best first; −1 = none.
        similarities: ``(q, s)``.
        n_inliers: ``(q, s)``.
        is_copy: ``(q, s)`` bool, entries that are the query itself.
        n_seeds: how many start the diffusion.
    """
    scores = n_inliers * np.maximum(similarities, 0).astype(np.float64)
    scores = np.where((ids >= 0) & ~is_copy, scores, 0)
    largest = scores.max(axis=1, keepdims=True, initial=0)
    scores = np.divide(scores, largest, out=np.zeros_like(scores), where=largest > 0)
    scores = np.where((ids >= 0) & is_copy, 1, scores)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :n_seeds]
    weights = np.take_along_axis(scores, order, axis=1).astype(np.float32)
    chosen = np.take_along_axis(ids, order, axis=1)
    return Seeds(np.where(weights > 0, chosen, -1).astype(np.int32), weights)


class Diffusion:
    """Solves ``(I − αW_n) f = (1 − α) g`` (eq. 2.7) on one graph.

    Args:
        adjacency: ``(n, n)`` symmetric, not negative.
        order: of the vertices, for speed (``locality_ordering``); computed if not given.
        alpha: how far the diffusion goes, in (0, 1).
        tolerance, max_iterations: of conjugate gradients.
    """

    def __init__(
        self,
        adjacency: sparse.csr_array,
        *,
        order: np.ndarray | None = None,
        alpha: float = ALPHA,
        tolerance: float = 1e-6,
        max_iterations: int = 20,
        device: str = "cpu",
    ) -> None:
        self.alpha = alpha
        self._order = locality_ordering(adjacency) if order is None else order
        self._matrix = permute(normalize(adjacency), self._order)
        self._solver: dict[str, Any] = {
            "tolerance": tolerance, "max_iterations": max_iterations, "device": device
        }  # fmt: skip

    def __call__(self, seeds: Seeds) -> Solution:
        """``f`` of every query as a column of ``x``, ``(n, q)``."""
        g = seeds.dense(self._order)
        g *= 1 - self.alpha
        found = solve(self._matrix, g, self.alpha, **self._solver)
        scores = np.empty_like(found.x)
        scores[self._order] = found.x
        return replace(found, x=scores)


def diffusion_spread(
    adjacency: sparse.csr_array, order: np.ndarray, device: str = "cpu", n_samples: int = 64
) -> float:
    """Over what part of the graph a diffusion from one vertex spreads, typically.

    The number of vertices that share the scores f evenly would be (Σf)²/Σf², their participation
    ratio; the median over evenly spaced vertices is divided by the number of vertices. Where it
    is a large part of a graph, the diffusion does not stay among images that belong together, and
    ranks worse than similarity alone.

    Returns:
        In (0, 1]; 0 for a graph without edges.
    """
    connected = np.flatnonzero(np.diff(adjacency.indptr))
    if not len(connected):
        return 0.0
    chosen = np.unique(np.linspace(0, len(connected) - 1, min(n_samples, len(connected))).round())
    ids = connected[chosen.astype(np.int64)].astype(np.int32)[:, None]
    found = Diffusion(adjacency, order=order, max_iterations=50, device=device)(
        Seeds(ids, np.ones(ids.shape, dtype=np.float32))
    )
    shares = np.square(found.x.sum(axis=0)) / np.square(found.x).sum(axis=0)
    return float(np.median(shares) / adjacency.shape[0])


def rank_reached(scores: np.ndarray, initial_scores: np.ndarray, top: int) -> np.ndarray:
    """Vertices that the diffusion reached by their score, behind them the rest as it was.

    Args:
        scores: ``(n,)`` of the diffusion; a vertex is reached if its score is positive.
        initial_scores: ``(n,)`` that the initial ranking went by; −inf keeps a row out.
        top: entries wanted.

    Returns:
        Ids, at most ``top``; ties go by the initial score, then by id.
    """
    is_reached = (scores > 0) & (initial_scores > -np.inf)
    reached = np.flatnonzero(is_reached)
    reached = reached[np.lexsort((-initial_scores[reached], -scores[reached]))][:top]
    rest = top_rows(np.where(is_reached, -np.inf, initial_scores), top - len(reached))
    return np.concatenate([reached, rest])
