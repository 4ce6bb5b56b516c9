"""``rrtool index``: photos → a folder of artifacts that is kept up to date."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rrtool
from rrtool.artifacts import Features, Graph, open_artifact
from rrtool.artifacts.output.lock import output_lock
from rrtool.errors import ArtifactError, RrtoolError, UsageError
from rrtool.files import write_failures
from rrtool.progress import Progress
from rrtool.stages.collection.layout import Index, mendable, wanted_index
from rrtool.stages.collection.options import IndexOptions
from rrtool.stages.collection.plan import Work, bears_graph, has_saliency, work_of

_AGAIN = "run the same command again"


@dataclass(frozen=True)
class Indexed:
    """What a run has done.

    Attributes:
        path: the folder of the index.
        work: what was to be done.
        n_skipped: photos that cannot be used.
        features: the path of those of the photos; None where nothing was to be made.
    """

    path: Path
    work: Work
    n_skipped: int = 0
    features: Path | None = None


def run(options: IndexOptions, progress: Progress) -> Indexed:
    """Bring an index up to date, or say what that takes.

    Raises:
        RrtoolError: it was made otherwise, another run is at it, or what a stage raises.
    """
    if options.images == "-":
        raise UsageError(
            "an index is of photos that stay", expected="a folder, or a list in a file",
            found="standard input",
        )  # fmt: skip
    folder = Path(options.output)
    _require_place(folder)
    if options.dry_run:
        index = _index(options)
        with mendable(index, _AGAIN):
            return Indexed(folder, _told(index, options, progress))
    with write_failures(folder):
        folder.mkdir(exist_ok=True)
    try:
        return _indexed(folder, options, progress)
    finally:
        with suppress(OSError):
            folder.rmdir()  # where nothing came into it


def _require_place(folder: Path) -> None:
    if not folder.parent.is_dir():
        raise UsageError(
            "there is no such folder for the index", where=folder.parent, todo="make it first"
        )
    if os.path.lexists(folder) and not folder.is_dir():
        raise UsageError(
            "an index is a folder", where=folder, found="something else", todo="name another"
        )


def _indexed(folder: Path, options: IndexOptions, progress: Progress) -> Indexed:
    with output_lock(folder / Index.FILE):
        index = _index(options)
        with mendable(index, _AGAIN):
            work = _told(index, options, progress)
            if not index.features.exists():
                index = index.kept()
            with _record_gone_with_failure(index):
                rates = _bring_up_to_date(index, work, options, progress)
        if rates != index.rates:
            index.kept(rates=rates)
        with open_artifact(index.features, Features) as features:
            n_skipped = int(features.extra.get("n_skipped", 0))
    return Indexed(folder, work, n_skipped, index.features)


@contextmanager
def _record_gone_with_failure(index: Index) -> Iterator[None]:
    """What a run wanted that has failed before it made anything is not remembered."""
    try:
        yield
    except RrtoolError:
        if not index.is_begun():
            index.record.unlink()
        raise


def _index(options: IndexOptions) -> Index:
    return wanted_index(options.output, options.images, options.remembered())


def _told(index: Index, options: IndexOptions, progress: Progress) -> Work:
    work = work_of(index, options)
    for line in work.lines(index.rates):
        progress.message(line)
    return work


def _bring_up_to_date(
    index: Index, work: Work, options: IndexOptions, progress: Progress
) -> dict[str, float]:
    """Run the stages; returns the rates, with those that were measured now."""
    rates = dict(index.rates)
    for name, stage in _stages(index, options, _WithoutNews(progress)):
        start = time.monotonic()
        stage()
        seconds = time.monotonic() - start
        each = {"photo": work.n_computed, "saliency": work.n_mapped}.get(name, 1)
        if work.n_computed and each:
            rates[name] = round(seconds / each, 4)
    return rates


class _WithoutNews:
    """Progress that leaves out what is up to date: that of an index is said once."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.task = progress.task

    def message(self, text: str) -> None:
        if not text.endswith(" is up to date"):
            self._progress.message(text)


def _stages(
    index: Index, options: IndexOptions, progress: Progress
) -> Iterator[tuple[str, Callable[[], object]]]:
    """What makes the artifacts, in the order of what they need, by the name of its rate."""
    discovers = index.options["discover"]

    def photos() -> None:
        regions = {"fs_regions": index.regions} if discovers else {}
        rrtool.extract(
            index.images, index.features, local=index.local, query_local=index.query_local,
            update=True, progress=progress, **index.network(), **options.running(), **regions,
        )  # fmt: skip

    yield "photo", photos
    # What follows is of these photos alone, and nobody else's.
    common: dict[str, Any] = {"overwrite": True, "progress": progress}
    yield "graph", lambda: _graph(index, **options.working(), **common)
    if discovers:
        yield "objects", lambda: _objects(index, options, common)
        yield "saliency", lambda: _saliency(index, options, progress)


def _graph(index: Index, **more: Any) -> None:
    """The graph, where there are enough photos to make one of."""
    if bears_graph(index):
        _updated_graph(index.features, index.graph, **more)
    elif index.graph.exists():
        with open_artifact(index.graph, Graph):  # nothing else is removed
            pass
        with write_failures(index.graph):
            index.graph.unlink()


def _updated_graph(features: Path, graph: Path, *, overwrite: bool, **more: Any) -> None:
    """A graph, by what serves again of the one that is there, unless that was made otherwise."""
    try:
        rrtool.build_graph(features, graph, update=True, **more)
    except ArtifactError:
        rrtool.build_graph(features, graph, overwrite=overwrite, **more)


def _objects(index: Index, options: IndexOptions, common: dict[str, Any]) -> None:
    """What repeats in the photos."""
    graph, centrality = index.region_graph, index.centrality
    _updated_graph(index.regions, graph, **options.working(), **common)
    rrtool.centrality(graph, centrality, measure="katz", device=options.device, **common)
    rrtool.discover(index.regions, index.objects, graph=graph, centrality=centrality, **common)


def _saliency(index: Index, options: IndexOptions, progress: Progress) -> None:
    """Where each photo shows what repeats in all of them: kept only while that is the same."""
    replacing = {"update" if has_saliency(index) else "overwrite": True}
    rrtool.saliency_os(
        index.images, index.saliency, regions=index.regions, centrality=index.centrality,
        features=index.object_features, progress=progress,
        **index.network(), **options.running(), **replacing,
    )  # fmt: skip
