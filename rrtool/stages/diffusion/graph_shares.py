"""Shares of a graph, joined (``rrtool merge``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from rrtool.artifacts import GraphShare, OutputFile
from rrtool.artifacts.kinds.graph import require_lists
from rrtool.progress import Progress
from rrtool.stages.diffusion.finish_graph import Lists, Vertices, publish_graph


class _Lists:
    """The lists of a share: a part of the graph."""

    def __init__(self, share: GraphShare, first: int) -> None:
        self._columns = GraphShare.columns(
            neighbor_ids=share.neighbor_ids, similarities=share.similarities
        )
        require_lists(share, self._columns["neighbor_ids"], first)

    @property
    def lengths(self) -> Mapping[str, int]:
        return {name: len(values) for name, values in self._columns.items()}

    def read(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        return self._columns[name][rows]


def join_graph(shares: Sequence[GraphShare], output: OutputFile, progress: Progress) -> None:
    """Publish the graph whose lists of neighbours these shares have, in the order of their rows.

    Raises:
        ArtifactError: one is damaged.
    """
    first = 0
    for number, share in enumerate(shares):
        lists = _Lists(share, first)
        output.keep_part(number, lists)
        first += lists.lengths["neighbor_ids"]
    made = {**shares[0].options, "recall": 1.0}
    joined = Lists.of_parts(output, len(shares))
    publish_graph(output, Vertices.of_share(shares[0]), joined, made, "cpu", progress)
