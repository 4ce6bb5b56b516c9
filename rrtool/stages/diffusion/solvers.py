"""The solvers of ``rrtool diffuse``: from seeds of queries to scores of vertices."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array

from rrtool.artifacts import Graph, OfflineDiffusion
from rrtool.core.diffusion.diffusion import Diffusion, Seeds
from rrtool.core.diffusion.graph import build_adjacency, join_queries, normalize
from rrtool.core.diffusion.truncated_diffusion import solve_on_subgraphs
from rrtool.core.retrieval.ranking import top_rows
from rrtool.stages.diffusion.inputs import DiffusionInputs
from rrtool.stages.diffusion.options import DiffuseOptions


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


def solver_of(
    inputs: DiffusionInputs,
    database: np.ndarray,
    queries: np.ndarray,
    options: DiffuseOptions,
    device: str,
) -> Solver:
    """The solver that the options ask for.

    Args:
        database, queries: their vectors.

    Raises:
        ArtifactError: the graph or the offline solutions are damaged.
    """
    if inputs.offline is not None:
        return _offline(inputs.offline)
    if options.transductive:
        return _transductive(inputs.graph, database, queries, options, device)
    if options.truncate is not None:
        return _truncated(inputs.graph, options.truncate, options)
    return _whole(inputs.graph, options, device)


def _whole(graph: Graph, options: DiffuseOptions, device: str) -> Solver:
    diffusion = Diffusion(
        graph.adjacency(), order=graph.locality_order(), **options.solver(), device=device
    )

    def solve(rows: range, seeds: Seeds, initial: np.ndarray) -> Scores:
        found = diffusion(seeds)
        return Scores(found.x.T, found.n_iterations, found.residuals)

    return solve


def _transductive(
    graph: Graph,
    database: np.ndarray,
    queries: np.ndarray,
    options: DiffuseOptions,
    device: str,
) -> Solver:
    """The queries become vertices; each starts at itself."""
    lists = join_queries(
        graph.neighbor_ids,
        graph.similarities,
        np.where((graph.status == 0)[:, None], database, 0),
        queries,
    )
    try:
        adjacency = build_adjacency(*lists, graph.options["gamma"], graph.options["symmetrize"])
    except ValueError as error:
        raise graph.damaged(error) from None
    diffusion = Diffusion(adjacency, **options.solver(), device=device)
    n = len(database)

    def solve(rows: range, seeds: Seeds, initial: np.ndarray) -> Scores:
        own = n + np.arange(rows.start, rows.stop, dtype=np.int32)[:, None]
        found = diffusion(Seeds(own, np.ones(own.shape, dtype=np.float32)))
        return Scores(found.x[:n].T, found.n_iterations, found.residuals)

    return solve


def _truncated(graph: Graph, truncate: int, options: DiffuseOptions) -> Solver:
    matrix = normalize(graph.adjacency())
    is_vertex = graph.status == 0
    size = min(truncate, int(is_vertex.sum()))

    def solve(rows: range, seeds: Seeds, initial: np.ndarray) -> Scores:
        g = seeds.dense(np.arange(len(is_vertex))).T
        vertices = np.full((len(g), size), -1, dtype=np.int32)
        for place, scores in enumerate(initial):
            # Seeds first, the heaviest before all: the sub-graph holds them if it can.
            ceiling = scores.max(initial=0) + 1
            first = np.where(g[place] > 0, ceiling + g[place], scores)
            nearest = top_rows(first[is_vertex], size)
            vertices[place, : len(nearest)] = np.flatnonzero(is_vertex)[nearest]
        b = (1 - options.alpha) * np.take_along_axis(g, np.maximum(vertices, 0).astype(int), 1)
        x, n_iterations, residuals = solve_on_subgraphs(matrix, vertices, b, **options.solver())
        values = np.zeros(g.shape, dtype=np.float32)
        places, columns = np.nonzero(vertices >= 0)
        values[places, vertices[places, columns]] = x[places, columns]
        return Scores(values, n_iterations, residuals)

    return solve


def _offline(prepared: OfflineDiffusion) -> Solver:
    """The solution of a query is the combination of those of its seeds."""
    solutions, residuals = prepared.solutions(), prepared.residuals
    n = len(residuals)

    def solve(rows: range, seeds: Seeds, initial: np.ndarray) -> Scores:
        places, columns = np.nonzero(seeds.ids >= 0)
        entries = (seeds.weights[places, columns], (places, seeds.ids[places, columns]))
        g = coo_array(entries, shape=(len(seeds.ids), n)).tocsr()
        largest = np.where(seeds.ids >= 0, residuals[seeds.ids], 0).max(axis=1, initial=0)
        return Scores((g @ solutions).toarray(), np.zeros(len(largest), np.int32), largest)

    return solve
