"""From queries to seeds, from seeds to scores by one of the solvers, from scores to rankings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from rrtool.artifacts import Artifact
from rrtool.core.diffusion import (
    Diffusion,
    Seeds,
    rank_reached,
    seeds_from_similarities,
    seeds_from_verification,
    top_rows,
)
from rrtool.core.graph import build_adjacency, join_queries, normalize
from rrtool.core.truncated_diffusion import solve_on_subgraphs
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.graph_input import read_adjacency
from rrtool.stages.search import read_usable

if TYPE_CHECKING:
    from rrtool.stages.diffuse import DiffuseOptions

DEFAULT_NEIGHBORS, DEFAULT_VERIFIED = 10, 5


@dataclass(frozen=True)
class Scores:
    """What a solver found for a block of queries.

    Attributes:
        values: ``(q, n)`` float32, of the database rows.
        n_iterations: ``(q,)``.
        residuals: ``(q,)``.
    """

    values: np.ndarray
    n_iterations: np.ndarray
    residuals: np.ndarray


# From the rows of the queries, their seeds, and the initial scores (q, n) to scores.
Solver = Callable[[range, Seeds, np.ndarray], Scores]


@dataclass(frozen=True)
class Verified:
    """The head of a verified ranking.

    Attributes:
        ids: ``(q, m)`` the whole ranking.
        similarities, n_inliers, is_copy: ``(q, s)`` of its first entries.
    """

    ids: np.ndarray
    similarities: np.ndarray
    n_inliers: np.ndarray
    is_copy: np.ndarray

    @staticmethod
    def of(ranking: Artifact, n_verified: int) -> Verified:
        ids, n_inliers = ranking.read("ids"), ranking.read("n_inliers")
        head = slice(0, min(n_verified, n_inliers.shape[1]))
        names = np.array([*ranking.read_texts("database_names"), None], dtype=object)
        own = np.array(ranking.read_texts("query_names"), dtype=object)
        return Verified(
            ids,
            ranking.read("similarities")[:, head],
            n_inliers[:, head],
            names[ids[:, head]] == own[:, None],
        )

    def seeds(self, rows: slice, n_seeds: int) -> Seeds:
        columns = (self.similarities[rows], self.n_inliers[rows], self.is_copy[rows])
        head = self.ids[rows, : self.n_inliers.shape[1]]
        return seeds_from_verification(head, *columns, n_seeds)

    def raise_listed(self, query: int, scores: np.ndarray) -> None:
        """Put the rows of the ranking, in its order, before all others."""
        listed = self.ids[query][self.ids[query] >= 0]
        scores[listed] = np.arange(len(listed), 0, -1, dtype=np.float64) + 1


@dataclass(frozen=True)
class Ranker:
    """Ranks the database for one block of queries after the other.

    Attributes:
        queries: ``(q, d)`` float32; ``query_usable (q,)``.
        database: ``(n, d)`` float32; ``usable (n,)``.
        gamma: of the graph.
        n_seeds: of each query.
        top: entries of each ranking.
        verified: where the seeds come from; None: from the nearest neighbours.
        solver: the diffusion.
    """

    queries: np.ndarray
    query_usable: np.ndarray
    database: np.ndarray
    usable: np.ndarray
    gamma: float
    n_seeds: int
    top: int
    verified: Verified | None
    solver: Solver

    @staticmethod
    def of(
        graph: Artifact,
        queries: Artifact,
        database: Artifact,
        verified: Artifact | None,
        offline: Artifact | None,
        options: DiffuseOptions,
        device: str,
        progress: Progress,
    ) -> Ranker:
        """Load everything.

        Raises:
            RrtoolError: more seeds than images are asked for, or no row is usable.
        """
        vectors, usable = read_usable(database, progress)
        query_vectors, query_usable = read_usable(queries, progress)
        n_usable = int(usable.sum())
        n_seeds = options.kq or _default_seeds(graph, verified)
        if options.kq is not None and n_seeds > n_usable:
            raise UsageError(
                "bad --kq: more than there are images", expected=f"≤ {n_usable}", found=n_seeds
            )
        return Ranker(
            query_vectors,
            query_usable,
            vectors,
            usable,
            graph.options["gamma"],
            min(n_seeds, n_usable),
            min(options.top or len(vectors), n_usable),
            None if verified is None else Verified.of(verified, options.n_verified),
            _offline(offline)
            if offline is not None
            else _solver(graph, vectors, query_vectors, query_usable, options, device),
        )

    def rank(self, rows: range) -> dict[str, np.ndarray]:
        """The columns of a part of the ranking."""
        block = slice(rows.start, rows.stop)
        similarities = self.queries[block] @ self.database.T
        initial = similarities.astype(np.float64)
        initial[:, ~self.usable] = -np.inf
        seeds = self._seeds(block, initial)
        if self.verified is not None:
            for place, query in enumerate(rows):
                self.verified.raise_listed(query, initial[place])
        found = self.solver(rows, seeds, initial)
        shape = (len(rows), self.top)
        ids = np.full(shape, -1, dtype=np.int32)
        for place in np.flatnonzero(self.query_usable[block]).tolist():
            ids[place] = rank_reached(found.values[place], initial[place], self.top)
        missing = ids < 0
        return {
            "ids": ids,
            "scores": _taken(found.values, ids, missing),
            "similarities": _taken(similarities, ids, missing),
            "n_iterations": found.n_iterations.astype(np.int32),
            "residuals": found.residuals.astype(np.float64),
        }

    def _seeds(self, block: slice, initial: np.ndarray) -> Seeds:
        if self.verified is not None:
            return self.verified.seeds(block, self.n_seeds)
        ids = np.full((len(initial), self.n_seeds), -1, dtype=np.int32)
        for place in np.flatnonzero(self.query_usable[block]).tolist():
            ids[place] = top_rows(initial[place], self.n_seeds)
        return seeds_from_similarities(ids, _taken(initial, ids, ids < 0), self.gamma)


def _default_seeds(graph: Artifact, verified: Artifact | None) -> int:
    """§4.4.1; fewer on graphs of few neighbours, which are those of small collections."""
    if verified is not None:
        return DEFAULT_VERIFIED
    return min(DEFAULT_NEIGHBORS, max(1, graph.options["k"] // 2))


def _taken(values: np.ndarray, ids: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """Entries of each row, −inf where there is no id; float32."""
    entries = np.take_along_axis(values, np.where(missing, 0, ids).astype(np.int64), axis=1)
    return np.where(missing, -np.inf, entries).astype(np.float32)


def _solver(
    graph: Artifact,
    database: np.ndarray,
    queries: np.ndarray,
    query_usable: np.ndarray,
    options: DiffuseOptions,
    device: str,
) -> Solver:
    if options.transductive:
        return _transductive(graph, database, queries, query_usable, options, device)
    if options.truncate is not None:
        return _truncated(graph, options)
    diffusion = _diffusion(graph, options, device)

    def solve(rows: range, seeds: Seeds, initial: np.ndarray) -> Scores:
        found = diffusion(seeds)
        return Scores(found.x.T, found.n_iterations, found.residuals)

    return solve


def _transductive(
    graph: Artifact,
    database: np.ndarray,
    queries: np.ndarray,
    query_usable: np.ndarray,
    options: DiffuseOptions,
    device: str,
) -> Solver:
    """The queries become vertices; each starts at itself."""
    lists = join_queries(
        graph.read("neighbor_ids"),
        graph.read("similarities"),
        np.where((graph.read("status") == 0)[:, None], database, 0),
        np.where(query_usable[:, None], queries, 0),
    )
    adjacency = build_adjacency(*lists, graph.options["gamma"], graph.options["symmetrize"])
    diffusion = Diffusion(adjacency, **_solver_options(options), device=device)
    n = len(database)

    def solve(rows: range, seeds: Seeds, initial: np.ndarray) -> Scores:
        own = n + np.arange(rows.start, rows.stop, dtype=np.int32)[:, None]
        found = diffusion(Seeds(own, np.ones(own.shape, dtype=np.float32)))
        return Scores(found.x[:n].T, found.n_iterations, found.residuals)

    return solve


def _truncated(graph: Artifact, options: DiffuseOptions) -> Solver:
    matrix = normalize(read_adjacency(graph))
    is_vertex = graph.read("status") == 0
    size = min(options.truncate or 0, int(is_vertex.sum()))

    def solve(rows: range, seeds: Seeds, initial: np.ndarray) -> Scores:
        g = seeds.dense(len(is_vertex)).T
        vertices = np.full((len(g), size), -1, dtype=np.int32)
        for place, scores in enumerate(initial):
            # Seeds first: the sub-graph always holds them.
            nearest = top_rows(np.where(g[place] > 0, np.inf, scores)[is_vertex], size)
            vertices[place, : len(nearest)] = np.flatnonzero(is_vertex)[nearest]
        b = (1 - options.alpha) * np.take_along_axis(g, np.maximum(vertices, 0).astype(int), 1)
        found = solve_on_subgraphs(matrix, vertices, b, **_solver_options(options))
        values = np.zeros(g.shape, dtype=np.float32)
        places, columns = np.nonzero(vertices >= 0)
        values[places, vertices[places, columns]] = found.x[places, columns]
        return Scores(values, found.n_iterations, found.residuals)

    return solve


def _offline(prepared: Artifact) -> Solver:
    """The solution of a query is the combination of those of its seeds."""
    n = len(prepared.read("offsets")) - 1
    columns = (prepared.read(name) for name in ("values", "columns", "offsets"))
    solutions = csr_array(tuple(columns), shape=(n, n))
    residuals = prepared.read("residuals")

    def solve(rows: range, seeds: Seeds, initial: np.ndarray) -> Scores:
        places, columns = np.nonzero(seeds.ids >= 0)
        entries = (seeds.weights[places, columns], (places, seeds.ids[places, columns]))
        g = coo_array(entries, shape=(len(seeds.ids), n)).tocsr()
        largest = np.where(seeds.ids >= 0, residuals[seeds.ids], 0).max(axis=1, initial=0)
        return Scores((g @ solutions).toarray(), np.zeros(len(largest), np.int32), largest)

    return solve


def _diffusion(graph: Artifact, options: DiffuseOptions, device: str) -> Diffusion:
    order = graph.read("ordering")
    return Diffusion(read_adjacency(graph), order=order, **_solver_options(options), device=device)


def _solver_options(options: DiffuseOptions) -> dict[str, Any]:
    return {
        "alpha": options.alpha,
        "tolerance": options.tolerance,
        "max_iterations": options.max_iterations,
    }
