"""What ``rrtool diffuse`` reads, opened together and checked against each other."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

from rrtool.artifacts import (
    Graph,
    InputRecord,
    OfflineDiffusion,
    Ranking,
    open_artifact,
    require_graph_of,
    require_same_names,
)
from rrtool.errors import ArtifactError, UsageError
from rrtool.stages.diffusion.options import DiffuseOptions
from rrtool.stages.driver import as_inputs
from rrtool.stages.retrieval.descriptors import (
    Described,
    is_regional,
    open_described,
    require_comparable,
)


@dataclass(frozen=True)
class DiffusionInputs:
    """The artifacts that the options name, each under the name of its option."""

    graph: Graph
    queries: Described
    database: Described
    seeds: Ranking | None = None
    offline: OfflineDiffusion | None = None

    def records(self) -> list[InputRecord]:
        """Of all that are given, for the provenance."""
        return as_inputs(**vars(self))


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
        open_artifact(options.seeds, Ranking) if options.seeds else nullcontext() as seeds,
        open_artifact(options.offline, OfflineDiffusion)
        if options.offline
        else nullcontext() as offline,
    ):
        opened = DiffusionInputs(graph, queries, database, seeds, offline)
        require_comparable(queries, database)
        require_graph_of(graph, database)
        if is_regional(queries, database) and (seeds is not None or options.transductive):
            raise UsageError("regional diffusion has neither --seeds nor --transductive")
        if seeds is not None:
            _check_seeds(seeds, opened)
        if offline is not None:
            _check_offline(offline, graph, options.alpha)
        yield opened


def _check_seeds(seeds: Ranking, inputs: DiffusionInputs) -> None:
    if not seeds.is_verified:
        raise ArtifactError(
            "the seeds are no verified ranking", where=seeds.path, expected="a ranking from rerank",
            todo="leave --seeds out to start at the nearest neighbours",
        )  # fmt: skip
    queries, database = inputs.queries, inputs.database
    require_same_names(queries.names, queries.path, seeds.query_names, seeds.path)
    require_same_names(database.names, database.path, seeds.database_names, seeds.path)


def _check_offline(prepared: OfflineDiffusion, graph: Graph, alpha: float) -> None:
    made_from = prepared.input("graph")
    if made_from.digest != graph.digest or prepared.lengths["v"] != graph.lengths["v"]:
        raise ArtifactError(
            "the offline solutions are of another graph", where=prepared.path, expected=graph.path,
            found=made_from.path, todo="make them again with diffuse --prepare",
        )  # fmt: skip
    if prepared.options["alpha"] != alpha:
        raise ArtifactError(
            "the offline solutions were made with another --alpha", where=prepared.path,
            expected=alpha, found=prepared.options["alpha"],
        )  # fmt: skip
