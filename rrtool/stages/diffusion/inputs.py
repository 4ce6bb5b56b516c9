"""What ``rrtool diffuse`` reads, opened together and checked against each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from rrtool.artifacts import (
    Graph,
    InputRecord,
    OfflineDiffusion,
    Ranking,
    Regions,
    open_artifact,
    require_graph_of,
    require_same_names,
)
from rrtool.errors import ArtifactError, UsageError
from rrtool.stages.diffusion.options import DiffuseOptions
from rrtool.stages.retrieval.descriptors import Described, open_described, require_comparable


@dataclass(frozen=True)
class DiffusionInputs:
    """The artifacts that the options name, each under the name of its option."""

    graph: Graph
    queries: Described
    database: Described
    seeds: Ranking | None = None
    offline: OfflineDiffusion | None = None

    @property
    def is_regional(self) -> bool:
        """Whether an image may have several descriptors."""
        return isinstance(self.queries, Regions) or isinstance(self.database, Regions)

    def records(self) -> list[InputRecord]:
        """Of all that are given, for the provenance."""
        given = (
            ("graph", self.graph), ("queries", self.queries), ("database", self.database),
            ("seeds", self.seeds), ("offline", self.offline),
        )  # fmt: skip
        return [artifact.as_input(role) for role, artifact in given if artifact is not None]


@contextmanager
def open_inputs(options: DiffuseOptions) -> Iterator[DiffusionInputs]:
    """Open what the options name.

    Raises:
        RrtoolError: a file is missing, damaged or of another kind; they are not all about the
            same database, described alike; or regions are to be diffused in a way that is only
            defined for images.
    """
    with (
        open_artifact(options.graph, Graph) as graph,
        open_described(options.queries or "") as queries,
        open_described(options.database) as database,
        ExitStack() as stack,
    ):
        seeds = options.seeds and stack.enter_context(open_artifact(options.seeds, Ranking))
        offline = options.offline and stack.enter_context(
            open_artifact(options.offline, OfflineDiffusion)
        )
        opened = DiffusionInputs(graph, queries, database, seeds or None, offline or None)
        require_comparable(opened.queries, opened.database)
        require_graph_of(opened.graph, opened.database)
        if opened.is_regional and (opened.seeds is not None or options.transductive):
            raise UsageError("regional diffusion has neither --seeds nor --transductive")
        if opened.seeds is not None:
            _check_seeds(opened.seeds, opened)
        if opened.offline is not None:
            _check_offline(opened.offline, opened.graph, options.alpha)
        yield opened


def _check_seeds(seeds: Ranking, inputs: DiffusionInputs) -> None:
    if not seeds.is_verified:
        raise ArtifactError(
            "the seeds are no verified ranking",
            where=seeds.path,
            expected="a ranking from rerank",
            todo="leave --seeds out to start at the nearest neighbours",
        )
    for names, features in (
        (seeds.query_names, inputs.queries),
        (seeds.database_names, inputs.database),
    ):
        require_same_names(features.names, features.path, names, seeds.path)


def _check_offline(prepared: OfflineDiffusion, graph: Graph, alpha: float) -> None:
    made_from = prepared.input("graph")
    if made_from.digest != graph.digest or prepared.lengths["v"] != graph.lengths["v"]:
        raise ArtifactError(
            "the offline solutions are of another graph",
            where=prepared.path,
            expected=graph.path,
            found=made_from.path,
            todo="make them again with diffuse --prepare",
        )
    if prepared.options["alpha"] != alpha:
        raise ArtifactError(
            "the offline solutions were made with another --alpha",
            where=prepared.path,
            expected=alpha,
            found=prepared.options["alpha"],
        )
