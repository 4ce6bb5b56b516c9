"""Read the adjacency matrix of a graph artifact."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from rrtool.artifacts import Artifact
from rrtool.errors import ArtifactError


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


def damaged_graph(graph: Artifact, found: str) -> ArtifactError:
    """The error for datasets that cannot be a graph."""
    return ArtifactError("damaged graph", where=graph.path, found=found, todo="make it again")
