"""From lists of neighbours to the graph: what its vertices are, its edges, and what it can bear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from rrtool.artifacts import Graph, GraphShare, OutputFile
from rrtool.core.diffusion.diffusion import diffusion_spread
from rrtool.core.diffusion.graph import (
    GraphStatistics,
    build_adjacency,
    graph_statistics,
    locality_ordering,
)
from rrtool.core.diffusion.neighbors import is_too_many
from rrtool.progress import Progress
from rrtool.stages.retrieval.descriptors import Described, Descriptors


@dataclass(frozen=True)
class Vertices:
    """The vertices of a graph.

    Attributes:
        names: of the images.
        offsets: ``(n + 1,)`` int64, the vertices of each image.
        status: ``(v,)`` uint8, 1 for those without edges.
        descriptor_digests: ``(v, 16)`` uint8.
        description: how they were described; what a ranking on this graph has to carry.
    """

    names: list[str]
    offsets: np.ndarray
    status: np.ndarray
    descriptor_digests: np.ndarray
    description: dict[str, Any]

    @staticmethod
    def of(source: Described, found: Descriptors, vertices: np.ndarray) -> Vertices:
        """Of descriptors, of which those in ``vertices`` can be used."""
        status = np.ones(len(found.vectors), dtype=np.uint8)
        status[vertices] = 0
        description = {**source.options, "network": source.network}
        return Vertices(source.names, found.offsets, status, found.digests, description)

    @staticmethod
    def of_share(share: GraphShare) -> Vertices:
        """As ``of``, of the graph that a share is of."""
        return Vertices(
            share.names, share.offsets, share.status, share.descriptor_digests,
            share.extra["description"],
        )  # fmt: skip

    def columns(self) -> dict[str, Any]:
        """By the attributes of ``Graph`` and ``GraphShare``."""
        columns = ("names", "offsets", "status", "descriptor_digests")
        return {name: getattr(self, name) for name in columns}


@dataclass(frozen=True)
class Lists:
    """The lists of neighbours of all vertices, as ``Graph`` has them.

    Attributes:
        neighbor_ids, similarities: ``(v, k)``.
        n_parts: of the output that hold just these; 0 where none do.
        n_inliers: ``(v, k)`` int32, where they were verified.
        facts: of the verification, for the record.
    """

    neighbor_ids: np.ndarray
    similarities: np.ndarray
    n_parts: int = 0
    n_inliers: np.ndarray | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of_parts(output: OutputFile, n_parts: int) -> Lists:
        """Those in the parts of an output."""
        ids, similarities = (
            np.concatenate(list(output.read_parts(column, n_parts)))
            for column in (Graph.neighbor_ids, Graph.similarities)
        )
        return Lists(ids, similarities, n_parts)

    def columns(self) -> dict[str, np.ndarray]:
        """Those that no part holds."""
        if self.n_parts:
            return {}
        verified = {} if self.n_inliers is None else {"n_inliers": self.n_inliers}
        lists = {"neighbor_ids": self.neighbor_ids, "similarities": self.similarities}
        return {**lists, **verified}


def publish_graph(
    output: OutputFile,
    vertices: Vertices,
    lists: Lists,
    made: Mapping[str, Any],
    device: str,
    progress: Progress,
) -> None:
    """Make the graph of lists of neighbours, and publish it.

    Args:
        made: ``k``, ``gamma``, ``symmetrize``, and ``method`` with its ``recall``.
    """
    neighbor_ids, similarities = lists.neighbor_ids, lists.similarities
    adjacency = build_adjacency(neighbor_ids, similarities, made["gamma"], made["symmetrize"])
    statistics = graph_statistics(adjacency, neighbor_ids)
    ordering = locality_ordering(adjacency)
    spread = diffusion_spread(adjacency, ordering, device)
    _tell(statistics, spread, made["recall"], made["method"], progress)
    if not statistics.n_edges:
        is_verified = lists.n_inliers is not None
        which = "mutual neighbours match" if is_verified else "descriptors are mutual neighbours"
        progress.message(f"the graph has no edges: no two {which}")
    n_images, n_vertices = len(vertices.names), len(vertices.status)
    if is_too_many(made["k"], n_images, n_vertices):
        progress.message(
            f"k = {made['k']} neighbours are many for {n_images} images: those that do "
            "not belong together are joined"
        )
    output.publish(
        Graph.columns(
            indptr=adjacency.indptr.astype(np.int64),
            indices=adjacency.indices.astype(np.int32),
            weights=adjacency.data,
            ordering=ordering,
            **vertices.columns(),
            **lists.columns(),
        ),
        n_parts=lists.n_parts,
        extra={
            "statistics": asdict(statistics) | {"diffusion_spread": spread},
            "recall": made["recall"],
            "description": vertices.description,
            **lists.facts,
        },
    )


def _tell(
    statistics: GraphStatistics, spread: float, recall: float, method: str, progress: Progress
) -> None:
    progress.message(
        f"{statistics.n_vertices} vertices, {statistics.n_edges} edges, mean degree "
        f"{statistics.mean_degree:.1f}, {statistics.n_components} components "
        f"(largest {statistics.largest_component}), {statistics.n_isolated} isolated, "
        f"{100 * statistics.mutual_fraction:.0f} % of neighbours mutual, "
        f"a diffusion spreads over {100 * spread:.1f} % of them"
    )
    if method != "exact":
        progress.message(f"recall of --method {method}: {recall:.4f} on a sample")
