"""``rrtool diffuse --prepare``: solve once per vertex, for queries without a solver."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, OutputFile, Provenance, create, encode_texts, open_artifact
from rrtool.artifacts.compatibility import require_graph_of
from rrtool.core.diffusion import knn
from rrtool.core.diffusion.graph import normalize
from rrtool.core.diffusion.truncated_diffusion import solve_on_subgraphs
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.diffusion.graph_input import read_adjacency, require_iterations
from rrtool.stages.parts import parts_of
from rrtool.stages.retrieval.descriptors import read_usable

_ROWS_PER_PART = 1024


@dataclass(frozen=True)
class PrepareOptions:
    """Options of ``diffuse --prepare``.

    Attributes:
        truncate: size of the sub-graph around each vertex.
        alpha, tolerance, max_iterations: as for ``diffuse``.
    """

    truncate: int = 1000
    alpha: float = 0.99
    tolerance: float = 1e-6
    max_iterations: int = 20

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise UsageError("bad --alpha", expected="between 0 and 1", found=self.alpha)
        if not 0 < self.tolerance < 1:
            raise UsageError("bad --tol", expected="between 0 and 1", found=self.tolerance)
        if self.truncate < 1:
            raise UsageError("bad --truncate", expected="at least 1", found=self.truncate)
        require_iterations(self.max_iterations)

    def solver(self) -> dict[str, Any]:
        return {
            "alpha": self.alpha,
            "tolerance": self.tolerance,
            "max_iterations": self.max_iterations,
        }


def run(
    graph: str,
    database: str,
    output: str | Path,
    options: PrepareOptions,
    *,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """For every vertex, diffuse from it among its nearest vertices and keep the result.

    The solution for a query is the combination of those of its seeds, since the system is
    linear (Yang et al. 2019, "decoupled diffusion").

    Returns:
        The path of the ``offline-diffusion`` artifact.

    Raises:
        RrtoolError: the graph is of other features.
    """
    with open_artifact(graph, "graph") as g, open_artifact(database, "features", "regions") as d:
        require_graph_of(g, d)
        provenance = Provenance(
            "offline-diffusion",
            {"truncate": options.truncate, **options.solver()},
            [g.as_input("graph"), d.as_input("database")],
            d.network,
        )
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            n_parts = _solve_parts(g, d, target, options, progress)
            return target.publish(encode_texts(d.read_texts("names"), "names"), n_parts=n_parts)


def _solve_parts(
    graph: Artifact,
    database: Artifact,
    target: OutputFile,
    options: PrepareOptions,
    progress: Progress,
) -> int:
    vectors, _ = read_usable(database, progress)
    vertices = np.flatnonzero(graph.read("status") == 0).astype(np.int32)
    size = min(options.truncate, len(vertices))
    matrix = normalize(read_adjacency(graph))
    parts = parts_of(len(vectors), _ROWS_PER_PART)
    missing = target.missing_parts(len(parts))
    searcher = knn.Searcher(vectors[vertices], knn.KnnOptions())
    with progress.task("diffuse --prepare", len(vectors), "vertices") as advance:
        advance(len(vectors) - sum(len(parts[number]) for number in missing))
        for number in missing:
            rows = np.arange(parts[number].start, parts[number].stop, dtype=np.int32)
            subgraphs = np.full((len(rows), size), -1, dtype=np.int32)
            is_vertex = np.isin(rows, vertices)
            found = vertices[searcher.search(vectors[rows[is_vertex]], size)[0]]
            subgraphs[is_vertex] = _with_itself(found, rows[is_vertex])
            b = np.where(subgraphs == rows[:, None], 1 - options.alpha, 0)
            solved = solve_on_subgraphs(matrix, subgraphs, b, **options.solver())
            target.write_part(number, _sparse_rows(subgraphs, solved.x) | {
                "n_iterations": solved.n_iterations, "residuals": solved.residuals,
            })  # fmt: skip
            advance(len(rows))
    return len(parts)


def _with_itself(found: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """A vertex with many duplicates may not be among its own nearest: it replaces the last."""
    found = found.copy()
    lacking = ~(found == rows[:, None]).any(axis=1)
    found[lacking, -1] = rows[lacking]
    return found


def _sparse_rows(subgraphs: np.ndarray, x: np.ndarray) -> dict[str, np.ndarray]:
    """The positive entries of each row, ragged, columns ascending."""
    kept = (subgraphs >= 0) & (x > 0)
    order = np.argsort(np.where(kept, subgraphs, np.iinfo(np.int32).max), axis=1, kind="stable")
    subgraphs, x = np.take_along_axis(subgraphs, order, 1), np.take_along_axis(x, order, 1)
    counts = kept.sum(axis=1)
    kept = np.arange(x.shape[1]) < counts[:, None]
    return {
        "columns": subgraphs[kept],
        "values": x[kept],
        "offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    }
