"""From queries to seeds, from seeds to scores by a solver, from scores to rankings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtool.artifacts import Ranking, Regions
from rrtool.core.diffusion.diffusion import (
    Seeds,
    rank_reached,
    seeds_from_similarities,
    seeds_from_verification,
)
from rrtool.core.diffusion.neighbors import default_seeds
from rrtool.core.retrieval.ranking import top_rows
from rrtool.core.retrieval.regional import (
    cross_match,
    max_by_image,
    max_pooling_weights,
    sum_by_image,
)
from rrtool.errors import OptionError
from rrtool.progress import Progress
from rrtool.stages.diffusion.inputs import DiffusionInputs
from rrtool.stages.diffusion.options import DiffuseOptions
from rrtool.stages.diffusion.solvers import Solver, solver_of
from rrtool.stages.driver import Datasets
from rrtool.stages.retrieval.descriptors import Descriptors, read_descriptors

DEFAULT_VERIFIED = 5


@dataclass(frozen=True)
class Verified:
    """A verified ranking, and its best verified entries.

    Attributes:
        ids: ``(q, m)`` the whole ranking.
        best, similarities, n_inliers, is_copy: ``(q, s)`` of the entries that may become seeds,
            best first; −1 = none.
    """

    ids: np.ndarray
    best: np.ndarray
    similarities: np.ndarray
    n_inliers: np.ndarray
    is_copy: np.ndarray

    @staticmethod
    def of(ranking: Ranking, n_best: int, by: str) -> Verified:
        """The best verified by their inliers, or by the ranking as it is."""
        ids, n_inliers = ranking.ids, ranking.n_inliers
        order = np.broadcast_to(np.arange(ranking.n_verified), n_inliers.shape)
        if by == "inliers":  # of equal ones that of the better rank
            missing = ids[:, : ranking.n_verified] < 0
            order = np.argsort(np.where(missing, 1, -n_inliers), axis=1, kind="stable")
        best, similarities, n_inliers = (
            np.take_along_axis(values, order[:, :n_best], axis=1)
            for values in (ids, ranking.similarities, n_inliers)
        )
        names = np.array([*ranking.database_names, None], dtype=object)
        is_copy = names[best] == np.array(ranking.query_names, dtype=object)[:, None]
        return Verified(ids, best, similarities, n_inliers, is_copy)

    def seeds(self, rows: slice, n_seeds: int) -> Seeds:
        columns = (self.similarities[rows], self.n_inliers[rows], self.is_copy[rows])
        return seeds_from_verification(self.best[rows], *columns, n_seeds)

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
        inputs: DiffusionInputs, options: DiffuseOptions, device: str, progress: Progress
    ) -> Ranker:
        """Load everything.

        Raises:
            RrtoolError: more seeds than images are asked for, or no row is usable.
        """
        d = read_descriptors(inputs.database, progress)
        q = read_descriptors(inputs.queries, progress)
        n_usable, n_images = int(d.usable.sum()), int(d.usable_images.sum())
        n_seeds = options.kq or _default_seeds(inputs)
        if options.kq is not None and n_seeds > n_usable:
            raise OptionError(
                "bad --kq: more than there are images",
                option="kq", expected=f"≤ {n_usable}", found=n_seeds,
            )  # fmt: skip
        is_regional = isinstance(inputs.database, Regions)
        return Ranker(
            queries=q,
            database=d,
            weights=max_pooling_weights(d.vectors, d.offsets) if is_regional else None,
            gamma=inputs.graph.options["gamma"],
            n_seeds=min(n_seeds, n_usable),
            top=min(options.top or n_images, n_images),
            verified=None
            if inputs.seeds is None
            else Verified.of(inputs.seeds, options.verified, options.verified_by),
            solver=solver_of(inputs, d.vectors, q.vectors, options, device),
        )

    @property
    def n_queries(self) -> int:
        """Images, not vectors."""
        return len(self.queries.offsets) - 1

    def rank(self, rows: range) -> Datasets:
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
        return Ranking.columns(
            ids=ids,
            scores=_taken(values, ids),
            similarities=_taken(similarities, ids),
            n_iterations=found.n_iterations.astype(np.int32),
            residuals=found.residuals.astype(np.float64),
        )

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


def _default_seeds(inputs: DiffusionInputs) -> int:
    if inputs.seeds is not None:
        return DEFAULT_VERIFIED
    graph = inputs.graph
    return default_seeds(graph.options["k"], graph.lengths["n"], graph.lengths["v"])


def _taken(values: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Entries of each row, −inf where there is no id; float32."""
    missing = ids < 0
    entries = np.take_along_axis(values, np.where(missing, 0, ids).astype(np.int64), axis=1)
    return np.where(missing, -np.inf, entries).astype(np.float32)
