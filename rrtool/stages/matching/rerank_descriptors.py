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
        ids = np.full((len(rows), n_entries), -1, np.int32)
        similarities = np.full((len(rows), n_entries), -np.inf, np.float32)
        scores = similarities.copy()
        listed = ranking.read(Ranking.ids, slice(rows.start, rows.stop))
        for place, row in enumerate(rows):
            if queries.usable[row]:
                found = reorder(queries.vectors[row], listed[place][listed[place] >= 0])
                n = len(found[0])
                ids[place, :n], similarities[place, :n], scores[place, :n] = found
        return Ranking.columns(ids=ids, similarities=similarities, scores=scores)

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
