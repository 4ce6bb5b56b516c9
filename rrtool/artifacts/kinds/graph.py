"""Graphs of nearest neighbours, and the centrality of their vertices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Graph(Artifact):
    """A graph whose vertices are the rows of features or of regions, from ``build-graph``."""

    KIND = "graph"
    FACTS = {"statistics": dict, "description": dict}
    OPTIONS = {"k": int, "gamma": (int, float), "symmetrize": str}
    names = Texts("n", "of the images")
    status = Column("uint8", "v", "1: failed, zero or not finite; no edges")
    offsets = Column("int64", "n+1", "vertices of each image", offsets_of="status")
    descriptor_digests = Column(
        "uint8", "v 16", "BLAKE2b-128 of each descriptor in float32; zero where there is none",
        optional=True,
    )  # fmt: skip
    neighbor_ids = Column(
        "int32", "v k", "the k nearest vertices, best first; −1 for none", ids_of="v"
    )
    similarities = Column("float32", "v k", "of the neighbours; 0 where there is none")
    n_inliers = Column(
        "int32", "v k", "of a verified graph: inliers of the pair; 0 where there is no neighbour",
        optional=True,
    )  # fmt: skip
    indices = Column("int32", "e", "columns of the symmetric adjacency in CSR, sorted", ids_of="v")
    weights = Column("float32", "e", "of its entries; the diagonal is zero")
    indptr = Column("int64", "v+1", "entries of each row", offsets_of="indices")
    ordering = Column(
        "int32", "v", "order in which neighbours lie close (reverse Cuthill–McKee)", ids_of="v"
    )

    @property
    def adjacency_bytes(self) -> int:
        """What ``adjacency`` takes."""
        return self.n_bytes(Graph.indptr, Graph.indices, Graph.weights)

    def adjacency(self) -> csr_array:
        """W ``(v, v)`` float32, its rows and columns all the rows.

        Raises:
            ArtifactError: the datasets are no symmetric adjacency of finite weights >= 0.
        """
        from scipy.sparse import csr_array  # what takes its time is imported where it is used

        indptr, indices, weights = self.indptr, self.indices, self.weights
        n = self.lengths["v"]
        try:
            adjacency = csr_array((weights, indices, indptr), shape=(n, n))
            adjacency.check_format(full_check=True)
        except ValueError as error:
            raise self.damaged(str(error)) from None
        if not np.isfinite(weights).all() or (weights < 0).any():
            raise self.damaged("weights that are negative or not finite")
        columns, rows = (adjacency.sum(axis=axis, dtype=np.float64) for axis in (0, 1))
        if not np.allclose(columns, rows, rtol=1e-4):
            raise self.damaged("an adjacency that is not symmetric")
        return adjacency

    def statistic(self, name: str) -> float:
        """One of the numbers that ``build-graph`` tells.

        Raises:
            ArtifactError: there is no such number.
        """
        value = self.extra["statistics"].get(name)
        if not isinstance(value, (int, float)):
            raise self.damaged(f"no {name} in its statistics")
        return value

    def locality_order(self) -> np.ndarray:
        """``ordering``, if it is one.

        Raises:
            ArtifactError: it has not every vertex once.
        """
        order = self.ordering
        if not np.array_equal(np.sort(order), np.arange(len(order))):
            raise self.damaged("an ordering that has not every vertex once")
        return order


class Centrality(Artifact):
    """How significant each vertex of a graph is, from ``centrality``."""

    KIND = "centrality"
    FACTS = {"measure": str, "vertices": str}
    names = Texts("n", "of the images")
    centrality = Column("float32", "v", "mean 1 over good vertices; failed ones 0", positive=True)
    status = Column("uint8", "v", "as in the graph")


class GraphShare(Artifact):
    """The neighbours of some vertices of a graph, from ``build-graph --shard``; for ``merge``."""

    KIND = "graph-share"
    FACTS = {"share": dict, "description": dict}
    OPTIONS = {"k": int, "gamma": (int, float), "symmetrize": str}
    names = Texts("n", "of the images")
    status = Column("uint8", "v", "of all vertices, as in the graph")
    offsets = Column("int64", "n+1", "vertices of each image", offsets_of="status")
    descriptor_digests = Column("uint8", "v 16", "of all vertices, as in the graph")
    neighbor_ids = Column("int32", "s k", "as in the graph, of the share's vertices", ids_of="v")
    similarities = Column("float32", "s k", "of the neighbours; 0 where there is none")


def require_lists(artifact: Graph | GraphShare, neighbor_ids: np.ndarray, first: int) -> None:
    """No vertex may be in its own list, or twice in one.

    Args:
        neighbor_ids: ``(n, k)``, of an artifact.
        first: the vertex that the first of them is of.

    Raises:
        ArtifactError: one is.
    """
    own = np.arange(first, first + len(neighbor_ids))[:, None]
    ordered = np.sort(neighbor_ids, axis=1)
    is_twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    if is_twice.any() or (neighbor_ids == own).any():
        raise artifact.damaged("one that lists itself, or another twice", "neighbours of a vertex")
