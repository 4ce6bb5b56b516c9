"""``rrtool diffuse --prepare``: solve once per vertex, for queries without a solver."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from rrtool.artifacts import (
    Graph,
    OfflineDiffusion,
    OutputFile,
    offsets_of,
    open_artifact,
    require_graph_of,
)
from rrtool.core.diffusion import knn
from rrtool.core.diffusion.graph import normalize
from rrtool.core.diffusion.truncated_diffusion import solve_on_subgraphs
from rrtool.progress import Progress
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.diffusion.options import DiffuseOptions
from rrtool.stages.driver import Datasets, as_inputs, fill, make
from rrtool.stages.retrieval.descriptors import open_described, read_usable

_ROWS_PER_PART = 1024


def run(options: DiffuseOptions, progress: Progress) -> Path:
    """For every vertex, diffuse from it among its nearest vertices and keep the result.

    The solution for a query is the combination of those of its seeds, since the system is
    linear (Yang et al. 2019, "decoupled diffusion").

    Raises:
        RrtoolError: the graph is of other features.
    """
    with (
        open_artifact(options.graph, Graph) as graph,
        open_described(options.database) as database,
    ):
        require_graph_of(graph, database)

        def work(outputs: list[OutputFile]) -> None:
            vectors, _ = read_usable(database, progress)
            n_parts = fill(
                outputs[0], len(vectors), _solver(graph, vectors, options), progress,
                label="diffuse --prepare", unit="vertices", rows_per_part=_ROWS_PER_PART,
            )  # fmt: skip
            outputs[0].publish(OfflineDiffusion.columns(names=database.names), n_parts=n_parts)

        def amount(outputs: Sequence[OutputFile]) -> Amount:
            n, d = database.lengths["n"], database.lengths["d"]
            memory = 2 * graph.adjacency_bytes + 8 * n * d
            return Amount(n, "vertices", memory, parts_of(n, _ROWS_PER_PART))

        return make(
            options, OfflineDiffusion, work, progress, amount=amount,
            inputs=as_inputs(graph=graph, database=database), network=database.network,
        )  # fmt: skip


def _solver(
    graph: Graph, vectors: np.ndarray, options: DiffuseOptions
) -> Callable[[range], Datasets]:
    """From vertices to their solutions."""
    vertices = np.flatnonzero(graph.status == 0).astype(np.int32)
    size = min(options.size_prepared, len(vertices))
    matrix = normalize(graph.adjacency())
    searcher = knn.Searcher(vectors[vertices], knn.KnnOptions())

    def solve(part: range) -> Datasets:
        rows = np.arange(part.start, part.stop, dtype=np.int32)
        subgraphs = np.full((len(rows), size), -1, dtype=np.int32)
        is_vertex = np.isin(rows, vertices)
        found = vertices[searcher.search(vectors[rows[is_vertex]], size)[0]]
        subgraphs[is_vertex] = _with_itself(found, rows[is_vertex])
        b = np.where(subgraphs == rows[:, None], 1 - options.alpha, 0)
        x, n_iterations, residuals = solve_on_subgraphs(matrix, subgraphs, b, **options.solver())
        columns, values, offsets = _sparse_rows(subgraphs, x)
        return OfflineDiffusion.columns(
            columns_=columns,
            values=values,
            offsets=offsets,
            n_iterations=n_iterations,
            residuals=residuals,
        )

    return solve


def _with_itself(found: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A vertex with many duplicates may not be among its own nearest: it replaces the last."""
    found = found.copy()
    lacking = ~(found == rows[:, None]).any(axis=1)
    found[lacking, -1] = rows[lacking]
    return found


def _sparse_rows(subgraphs: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The positive entries of each row, ragged: columns, ascending in each row, values, offsets."""
    kept = (subgraphs >= 0) & (x > 0)
    order = np.argsort(np.where(kept, subgraphs, np.iinfo(np.int32).max), axis=1, kind="stable")
    subgraphs, x = np.take_along_axis(subgraphs, order, 1), np.take_along_axis(x, order, 1)
    counts = kept.sum(axis=1)
    kept = np.arange(x.shape[1]) < counts[:, None]
    return subgraphs[kept], x[kept], offsets_of(counts)
