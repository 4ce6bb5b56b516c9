"""From queries to seeds, from seeds to scores by one of the solvers, from scores to rankings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from rrtool.artifacts import Artifact
from rrtool.core.diffusion.diffusion import (
    Diffusion,
    Seeds,
    rank_reached,
    seeds_from_similarities,
    seeds_from_verification,
)
from rrtool.core.diffusion.graph import build_adjacency, join_queries, normalize
from rrtool.core.diffusion.truncated_diffusion import solve_on_subgraphs
from rrtool.core.retrieval.ranking import top_rows
from rrtool.core.retrieval.regional import (
    cross_match,
    max_by_image,
    max_pooling_weights,
    sum_by_image,
)
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.diffusion.graph_input import read_adjacency
from rrtool.stages.retrieval.descriptors import Descriptors, read_descriptors

if TYPE_CHECKING:
    from rrtool.stages.diffusion.diffuse import DiffuseOptions

DEFAULT_NEIGHBORS, DEFAULT_VERIFIED = 10, 5


@dataclass(frozen=True)
class Scores:
    """What a solver found for a block of queries.

    Attributes:
        values: ``(q, r)``, of the vertices.
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
        queries, database: their descriptors, one or several an image.
        weights: ``(r,)`` of the regions of the database in the score of their image; None where
            each image is one vertex.
        gamma: of the graph.
        n_seeds: of each vector of a query.
        top: entries of each ranking.
        verified: where the seeds come from; None: from the nearest neighbours.
        solver: the diffusion.
    """

    queries: Descriptors
    database: Descriptors
    weights: np.ndarray | None
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
        d, q = read_descriptors(database, progress), read_descriptors(queries, progress)
        n_usable = int(d.usable.sum())
        n_seeds = options.kq or _default_seeds(graph, verified)
        if options.kq is not None and n_seeds > n_usable:
            raise UsageError(
                "bad --kq: more than there are images", expected=f"≤ {n_usable}", found=n_seeds
            )
        is_regional = len(d.vectors) != len(d.offsets) - 1 or database.kind == "regions"
        n_images = int(d.usable_images.sum())
        return Ranker(
            q,
            d,
            max_pooling_weights(d.vectors, d.offsets) if is_regional else None,
            graph.options["gamma"],
            min(n_seeds, n_usable),
            min(options.top or n_images, n_images),
            None if verified is None else Verified.of(verified, options.n_verified),
            _offline(offline)
            if offline is not None
            else _solver(graph, d.vectors, q, options, device),
        )

    @property
    def n_queries(self) -> int:
        """Images, not vectors."""
        return len(self.queries.offsets) - 1

    def rank(self, rows: range) -> dict[str, np.ndarray]:
        """The columns of a part of the ranking."""
        first, last = self.queries.offsets[[rows.start, rows.stop]]
        offsets = self.queries.offsets[rows.start : rows.stop + 1] - first
        to_vectors = self.queries.vectors[first:last] @ self.database.vectors.T
        to_vectors[:, ~self.database.usable] = -np.inf
        seeds = self._seeds(rows, to_vectors, self.queries.usable[first:last], offsets)
        similarities = self._by_image(to_vectors, offsets)
        initial = similarities.astype(np.float64)
        if self.verified is not None:
            for place, query in enumerate(rows):
                self.verified.raise_listed(query, initial[place])
        found = self.solver(rows, seeds, self._by_query(to_vectors, initial, offsets))
        values = found.values
        if self.weights is not None:
            values = sum_by_image(values * self.weights, self.database.offsets)
        ids = np.full((len(rows), self.top), -1, dtype=np.int32)
        for place in np.flatnonzero(self.queries.usable_images[rows.start : rows.stop]).tolist():
            ids[place] = rank_reached(values[place], initial[place], self.top)
        return {
            "ids": ids,
            "scores": _taken(values, ids),
            "similarities": _taken(similarities, ids),
            "n_iterations": found.n_iterations.astype(np.int32),
            "residuals": found.residuals.astype(np.float64),
        }

    def _by_image(self, to_vectors: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Similarities of queries to images, ``(q, n)``."""
        if self.weights is None and len(to_vectors) == len(offsets) - 1:
            return to_vectors
        return cross_match(to_vectors, offsets, self.database.offsets)

    def _by_query(
        self, to_vectors: np.ndarray, initial: np.ndarray, offsets: np.ndarray
    ) -> np.ndarray:
        """What the truncated diffusion goes by: scores of queries for vertices, ``(q, r)``."""
        if self.weights is None:
            return initial
        return max_by_image(to_vectors.T, offsets).T

    def _seeds(
        self, rows: range, to_vectors: np.ndarray, usable: np.ndarray, offsets: np.ndarray
    ) -> Seeds:
        if self.verified is not None:
            return self.verified.seeds(slice(rows.start, rows.stop), self.n_seeds)
        ids = np.full((len(to_vectors), self.n_seeds), -1, dtype=np.int32)
        for place in np.flatnonzero(usable).tolist():
            ids[place] = top_rows(to_vectors[place], self.n_seeds)
        seeds = seeds_from_similarities(ids, _taken(to_vectors, ids), self.gamma)
        return seeds.joined(offsets)


def _default_seeds(graph: Artifact, verified: Artifact | None) -> int:
    """§4.4.1; fewer on graphs of few neighbours, which are those of small collections."""
    if verified is not None:
        return DEFAULT_VERIFIED
    return min(DEFAULT_NEIGHBORS, max(1, graph.options["k"] // 2))


def _taken(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Entries of each row, −inf where there is no id; float32."""
    missing = ids < 0
    entries = np.take_along_axis(values, np.where(missing, 0, ids).astype(np.int64), axis=1)
    return np.where(missing, -np.inf, entries).astype(np.float32)


def _solver(
    graph: Artifact,
    database: np.ndarray,
    queries: Descriptors,
    options: DiffuseOptions,
    device: str,
) -> Solver:
    if options.transductive:
        return _transductive(graph, database, queries.vectors, options, device)
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
    options: DiffuseOptions,
    device: str,
) -> Solver:
    """The queries become vertices; each starts at itself."""
    lists = join_queries(
        graph.read("neighbor_ids"),
        graph.read("similarities"),
        np.where((graph.read("status") == 0)[:, None], database, 0),
        queries,
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
            # Seeds first, the heaviest before all: the sub-graph holds them if it can.
            ceiling = scores.max(initial=0) + 1
            first = np.where(g[place] > 0, ceiling + g[place], scores)
            nearest = top_rows(first[is_vertex], size)
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
