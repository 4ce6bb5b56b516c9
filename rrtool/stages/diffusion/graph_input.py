"""What the stages on a graph share: its adjacency matrix, and limits of their solvers."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from rrtool.artifacts import Artifact
from rrtool.errors import ArtifactError, UsageError

MAX_ITERATIONS = 1_000_000


def read_adjacency(graph: Artifact) -> csr_array:
    """W ``(n, n)`` of a graph artifact, float32, its rows and columns all the rows.

    Raises:
        ArtifactError: the datasets are no symmetric adjacency of finite weights >= 0.
    """
    indptr, indices, weights = (graph.read(name) for name in ("indptr", "indices", "weights"))
    n = len(graph.read("status"))
    try:
        adjacency = csr_array((weights, indices, indptr), shape=(n, n))
        adjacency.check_format(full_check=True)
    except ValueError as error:
        raise damaged_graph(graph, str(error)) from None
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise damaged_graph(graph, "weights that are negative or not finite")
    columns, rows = (adjacency.sum(axis=axis, dtype=np.float64) for axis in (0, 1))
    if not np.allclose(columns, rows, rtol=1e-4):
        raise damaged_graph(graph, "an adjacency that is not symmetric")
    return adjacency


def require_iterations(found: int) -> None:
    """The range of ``--max-iter``.

    Raises:
        UsageError: it is outside.
    """
    if not 1 <= found <= MAX_ITERATIONS:
        raise UsageError("bad --max-iter", expected=f"1 to {MAX_ITERATIONS}", found=found)


def damaged_graph(graph: Artifact, found: str) -> ArtifactError:
    """The error for datasets that cannot be a graph."""
    return ArtifactError("damaged graph", where=graph.path, found=found, todo="make it again")
