"""Parts of artifacts over images on workers, which write them into the folders of the run's parts.

A worker opens what the options name as the run does, once; of each part it is told the images, so
that nobody lists a million of them again. What the run has found out of the collection as a whole,
such as levels or the engine, is told too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import PartsFolder, open_any
from rrtool.cores import Threads
from rrtool.engine.crew import Crew
from rrtool.engine.mapping import map_parts
from rrtool.engine.worker import at_work
from rrtool.images.collection import Collection
from rrtool.progress import Advance, Progress, Silent
from rrtool.stages.activations.input import ActivationInput, Given
from rrtool.stages.activations.making import Making, Started, describe_parts
from rrtool.stages.activations.options import OverImagesOptions
from rrtool.stages.activations.task import Job, Task
from rrtool.stages.update import Kept, Plan
from rrtool.stages.workers import Order, located, require_alike

# Photos by which an engine is compared with torch (``engines.choose_engine``).
_SAMPLE = 16
Opener = Callable[[Any, ExitStack, Progress, Given | None], tuple[ActivationInput, Sequence[Job]]]


@dataclass(frozen=True)
class Run:
    """What is described, by what.

    Attributes:
        engine: what runs the network.
    """

    options: OverImagesOptions
    activations: ActivationInput
    engine: Mapping[str, str]


@dataclass(frozen=True)
class Target:
    """An output that lacks parts.

    Attributes:
        job, place: number of its job, and its own among the outputs of that.
        folder: of its parts.
        is_update: whether the artifact that is there has rows of it.
    """

    job: int
    place: int
    folder: PartsFolder
    is_update: bool


@dataclass(frozen=True)
class ImagesOrder(Order):
    """What a worker is told of a run over images.

    Attributes:
        options: with absolute paths.
        sample: the first images.
        network: what the network must be.
        engine: what must run it.
        facts: of each job that has something to do.
    """

    options: OverImagesOptions
    sample: Collection
    network: Mapping[str, Any]
    engine: Mapping[str, str]
    targets: Sequence[Target]
    facts: Mapping[int, Mapping[str, Any]]


@dataclass(frozen=True)
class PartOrder:
    """What a worker is told of a part.

    Attributes:
        number: of the part.
        first: its first row.
        collection: its images.
        rows: those to work on, counted from ``first``.
        plans: of each target that lacks it, what it keeps of these rows.
    """

    number: int
    first: int
    collection: Collection
    rows: Sequence[int]
    plans: Mapping[int, Plan | None]

    def __str__(self) -> str:
        return f"images {self.first} to {self.first + len(self.collection) - 1}"


def describe_elsewhere(
    run: Run,
    started: Sequence[Started],
    todo: Mapping[int, Sequence[int]],
    parts: Sequence[range],
    crew: Crew,
    advance: Advance,
) -> None:
    """Have workers write the parts that are missing.

    Raises:
        RrtoolError: see ``map_parts``; or a part that was made is not there.
    """
    making = [(job, each) for job in started for each in zip(job.making, job.outputs, strict=True)]
    targets = [
        Target(job.place, each.place, located(output.folder), each.kept is not None)
        for job, (each, (output, _)) in making
    ]
    order = ImagesOrder(
        options=run.options.from_anywhere(device=run.activations.device),
        sample=_located(run.activations.collection, range(_SAMPLE)),
        network=run.activations.network,
        engine=run.engine,
        targets=targets,
        facts={job.place: job.task.facts for job in started},
    )
    orders = _part_orders(
        run.activations.collection, [each for _, (each, _) in making], todo, parts
    )
    for number in map_parts(partial(describe_part, order), orders, crew):
        for target, (_, (each, _)) in zip(targets, making, strict=True):
            if number in each.missing:
                target.folder.require_part(number)
        advance(len(todo[number]))


def _part_orders(
    collection: Collection,
    making: Sequence[Making],
    todo: Mapping[int, Sequence[int]],
    parts: Sequence[range],
) -> Iterator[PartOrder]:
    for number, rows in todo.items():
        part = parts[number]
        plans = {
            place: each.kept.plan.of_rows(part) if each.kept is not None else None
            for place, each in enumerate(making)
            if number in each.missing
        }
        own = [row - part.start for row in rows]
        yield PartOrder(number, part.start, _located(collection, part), own, plans)


def _located(collection: Collection, rows: range) -> Collection:
    """Some rows, with paths that hold wherever a worker is."""
    own = collection.share(slice(rows.start, rows.stop))
    return replace(
        own, paths=[os.path.abspath(path) for path in own.paths], skipped=[], passed_over=[]
    )


def describe_part(order: ImagesOrder, part: PartOrder) -> int:
    """On a worker: write a part of every output that lacks it.

    Raises:
        WorkFailed: it is another network, engine or version here, or the folders are not to be
            seen.
        RrtoolError: what the stage raises.
    """
    for target in order.targets:
        target.folder.require_here()
    with at_work(order.run, lambda: _Bench(order)) as bench:
        bench.describe(part)
    return part.number


class _Bench:
    """What a worker has open for a run."""

    def __init__(self, order: ImagesOrder) -> None:
        order.require_same_versions()
        self._order = order
        stage = import_module(order.options.COMMAND.runs)
        given = Given(order.sample, order.n_threads)
        activations, jobs = stage.opened(order.options, ExitStack(), Silent(), given)
        require_alike("network", order.network, activations.network)
        kinds = [wanted.kind for job in jobs for wanted in job.wanted]
        engine = activations.choose_engine(kinds, Silent(), order.engine)
        require_alike("engine", order.engine, engine)
        self._source = activations.source
        self._tasks: dict[int, Task] = {
            number: jobs[number].prepare(facts) for number, facts in order.facts.items()
        }
        self._kept = {
            place: _kept(target.folder.output)
            for place, target in enumerate(order.targets)
            if target.is_update
        }
        self._threads = Threads(order.n_threads)

    def describe(self, part: PartOrder) -> None:
        by_job: dict[int, list[Making]] = {}
        for place, plan in part.plans.items():
            target = self._order.targets[place]
            if target.folder.has(part.number):  # dask forgets what a worker had done that died
                continue
            kept = None if plan is None else self._kept[place].by(plan)
            making = Making(target.place, target.folder, frozenset({part.number}), kept)
            by_job.setdefault(target.job, []).append(making)
        started = [Started(job, self._tasks[job], making) for job, making in by_job.items()]
        source = self._source.over(part.collection, part.first)
        rows = range(len(part.collection))
        self._threads.adjust()
        describe_parts(
            source, started, {part.number: part.rows}, {part.number: rows}, lambda n: None
        )


def _kept(path: Path) -> Kept:
    """The rows of an artifact, without a plan yet."""
    old: Any = open_any(path)
    nothing = np.zeros(0, np.int64), np.zeros((0, 0), np.uint8)
    return Kept(old, Plan(*nothing, n_renamed=0, n_changed=0, n_new=0, n_gone=0))
