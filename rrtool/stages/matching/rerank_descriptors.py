"""What ``rrtool rerank`` does by descriptors: descriptors and a ranking → ranking."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import (
    Features,
    Graph,
    InputRecord,
    OutputFile,
    Ranking,
    Regions,
    open_artifact,
    require_graph_of,
    require_same_names,
)
from rrtool.artifacts.schema import Column
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.driver import Datasets, as_inputs, fill
from rrtool.stages.matching.options import RerankOptions
from rrtool.stages.retrieval.descriptors import Described, Descriptors, require_comparable

# From the descriptor of a query and the ids of its ranking to ids in their new order, their
# similarities and scores.
Reorder = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class RerankInputs:
    """A ranking, the descriptors of its queries and its database, and perhaps their graph."""

    ranking: Ranking
    queries: Features
    database: Features
    graph: Graph | None

    def records(self) -> list[InputRecord]:
        """Of all that are there, for the provenance."""
        return as_inputs(**vars(self))


@contextmanager
def open_inputs(options: RerankOptions) -> Iterator[RerankInputs]:
    """Open what the options name.

    Raises:
        RrtoolError: the artifacts are about other images, or were not made alike; something else
            than the similarity of descriptors has ordered the ranking.
    """
    with (
        open_artifact(options.ranking, Ranking) as ranking,
        open_artifact(options.queries or "", Features) as queries,
        open_artifact(options.database or "", Features) as database,
        open_artifact(options.graph, Graph) if options.graph else nullcontext() as graph,
    ):
        _require_of(ranking, queries, database)
        if graph is not None:
            require_graph_of(graph, database)
        require_plain(ranking, "global")
        yield RerankInputs(ranking, queries, database, graph)


@dataclass(frozen=True)
class RegionInputs:
    """A ranking, and the regions of its queries and its database."""

    ranking: Ranking
    queries: Regions
    database: Regions

    def records(self) -> list[InputRecord]:
        """See ``RerankInputs``."""
        return as_inputs(**vars(self))


@contextmanager
def open_region_inputs(options: RerankOptions) -> Iterator[RegionInputs]:
    """As ``open_inputs``, of images that have several descriptors.

    Raises:
        RrtoolError: see ``open_inputs``.
    """
    with (
        open_artifact(options.ranking, Ranking) as ranking,
        open_artifact(options.queries or "", Regions) as queries,
        open_artifact(options.database or "", Regions) as database,
    ):
        _require_of(ranking, queries, database)
        require_plain(ranking, "R-Match")
        yield RegionInputs(ranking, queries, database)


def _require_of(ranking: Ranking, queries: Described, database: Described) -> None:
    require_comparable(queries, database)
    require_same_names(ranking.query_names, ranking.path, queries.names, queries.path)
    require_same_names(ranking.database_names, ranking.path, database.names, database.path)


def require_plain(ranking: Ranking, *methods: str) -> None:
    """Nothing else has ordered it.

    Raises:
        UsageError: something has.
    """
    if (method := ranking.extra["description"].get("method")) not in methods:
        raise UsageError(
            "what else has ordered this ranking would be lost",
            where=ranking.path, expected="a plain ranking from search", found=method,
        )  # fmt: skip


def ordering_of(ranking: Ranking) -> Column:
    """What has ordered it: similarities, or the scores of what has re-ordered it since."""
    described = ranking.extra["description"]
    by_descriptors = "reciprocal" in described or "refinement" in described
    return Ranking.scores if by_descriptors else Ranking.similarities


class OrderedRows:
    """Columns of the rankings of some queries; what is not put is an empty ranking.

    Args:
        n_rows: queries.
        n_entries: of each ranking.
        n_boxes: entries, from the first on, that say where they match; None: none does.
    """

    def __init__(self, n_rows: int, n_entries: int, n_boxes: int | None = None) -> None:
        self._ids = np.full((n_rows, n_entries), -1, np.int32)
        self._similarities = np.full((n_rows, n_entries), -np.inf, np.float32)
        self._scores = self._similarities.copy()
        self._boxes = None if n_boxes is None else np.zeros((n_rows, n_boxes, 4), np.float32)

    def put(
        self,
        place: int,
        ids: np.ndarray,
        similarities: np.ndarray,
        scores: np.ndarray,
        boxes: np.ndarray | None = None,
    ) -> None:
        """One ranking, best first: ``(m,)`` each, and ``(≤ n_boxes, 4)``."""
        n = len(ids)
        self._ids[place, :n], self._similarities[place, :n] = ids, similarities
        self._scores[place, :n] = scores
        if self._boxes is not None and boxes is not None:
            self._boxes[place, : len(boxes)] = boxes

    def columns(self) -> Datasets:
        return Ranking.columns(
            ids=self._ids, similarities=self._similarities, scores=self._scores,
            hit_boxes=self._boxes,
        )  # fmt: skip


def write_reordered(
    inputs: RerankInputs,
    queries: Descriptors,
    reorder: Reorder,
    output: OutputFile,
    description: dict[str, Any],
    progress: Progress,
) -> None:
    """Re-order every ranking and publish them; queries without a descriptor have none.

    Args:
        description: what is said of it, and its name in ``method``.
    """
    ranking = inputs.ranking
    n_entries = ranking.lengths["L"]

    def rows_of(rows: range) -> Datasets:
        ordered = OrderedRows(len(rows), n_entries)
        listed = ranking.read(Ranking.ids, slice(rows.start, rows.stop))
        for place, row in enumerate(rows):
            if queries.usable[row]:
                found = reorder(queries.vectors[row], listed[place][listed[place] >= 0])
                ordered.put(place, *found)
        return ordered.columns()

    n_parts = fill(output, len(queries.vectors), rows_of, progress, label="rerank", unit="queries")
    publish_reordered(ranking, output, n_parts, description)


def publish_reordered(
    ranking: Ranking, output: OutputFile, n_parts: int, description: dict[str, Any]
) -> None:
    """Publish the parts of a re-ordered ranking, with the names of the one before.

    Args:
        description: see ``write_reordered``.
    """
    before = ranking.extra["description"]
    method = f"{before.get('method')} + {description['method']}"
    output.publish(
        Ranking.columns(
            query_names=ranking.query_names,
            database_names=ranking.database_names,
            query_boxes=ranking.query_boxes,
        ),
        n_parts=n_parts,
        extra={"description": {**before, **description, "method": method}},
    )
