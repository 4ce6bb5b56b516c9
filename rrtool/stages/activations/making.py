"""Outputs over images while they are made: what each lacks, keeps and stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rrtool.artifacts import OutputFile, OverImages
from rrtool.images.content import DIGEST_BYTES
from rrtool.progress import Advance
from rrtool.stages.activations.sources import ActivationBatch, ActivationSource
from rrtool.stages.activations.task import Job, Part, Task
from rrtool.stages.driver import Datasets, Wanted
from rrtool.stages.over_images import FAILED
from rrtool.stages.update import Kept


class PartWriter(Protocol):
    """What takes the parts of an output: the run's own, or a worker's."""

    def write_part(self, number: int, datasets: Mapping[str, np.ndarray]) -> None: ...


@dataclass(frozen=True)
class Making:
    """An output that is being made.

    Attributes:
        place: among those of its task.
        missing: the parts that it lacks.
        kept: the rows of the artifact that it updates.
    """

    place: int
    output: PartWriter
    missing: Set[int]
    kept: Kept | None

    def computed(self, rows: range) -> Sequence[int]:
        """Those of some rows that are not kept."""
        return computed(self.kept, rows)

    def write(self, number: int, rows: range, datasets: Datasets) -> None:
        """Store a part that is missing, with the rows that are kept in their places."""
        if number in self.missing:
            whole = datasets if self.kept is None else self.kept.put_into(datasets, rows)
            self.output.write_part(number, whole)


@dataclass(frozen=True)
class Started:
    """A job that has something to do, and those of its outputs that are not current.

    Attributes:
        place: among the jobs.
        outputs: where this run publishes them, and what is wanted of each; none at a worker.
    """

    place: int
    task: Task
    making: Sequence[Making]
    outputs: Sequence[tuple[OutputFile, Wanted]] = ()

    @staticmethod
    def of(
        number: int,
        job: Job,
        outputs: Sequence[OutputFile],
        kept: Mapping[Path, Kept],
        parts: Sequence[range],
    ) -> Started:
        task, making, own_outputs = job.prepare(None), [], []
        failed = Part(range(1), common_columns(range(1), []), {})
        for place, (output, wanted) in enumerate(zip(outputs, job.wanted, strict=True)):
            if output.is_current:
                continue
            own = kept.get(output.path)
            if own is not None:
                names = {*failed.common, *task.columns(failed)[place]}
                _keep_whole_parts(output, own, parts, names)
            missing = frozenset(output.missing_parts(len(parts)))
            making.append(Making(place, output, missing, own))
            own_outputs.append((output, wanted))
        return Started(number, task, making, own_outputs)

    def lacks(self, number: int) -> bool:
        return any(number in each.missing for each in self.making)

    def write(self, number: int, part: Part) -> None:
        """Store a part in the outputs that lack it."""
        columns = self.task.columns(part)
        for each in self.making:
            each.write(number, part.rows, {**part.common, **columns[each.place]})


def computed(kept: Kept | None, rows: range) -> Sequence[int]:
    """Those of some rows that are not kept."""
    return rows if kept is None else kept.computed(rows)


def _keep_whole_parts(
    output: OutputFile, kept: Kept, parts: Sequence[range], names: Set[str]
) -> None:
    for number, rows in enumerate(parts):
        if not kept.computed(rows):
            _, taken = kept.taken(rows, names)
            output.keep_part(number, taken)


def to_compute(jobs: Sequence[Started], parts: Sequence[range]) -> tuple[int, dict[int, list[int]]]:
    """How many rows are not kept by all outputs, and those of them that wait, by part."""
    making = [each for job in jobs for each in job.making]
    n_rows, waiting = 0, {}
    for number, rows in enumerate(parts):
        n_rows += len({row for each in making for row in each.computed(rows)})
        lacking = [each.computed(rows) for each in making if number in each.missing]
        if lacking:
            waiting[number] = sorted({row for own in lacking for row in own})
    return n_rows, waiting


def describe_parts(
    source: ActivationSource,
    jobs: Sequence[Started],
    todo: Mapping[int, Sequence[int]],
    parts: Mapping[int, range] | Sequence[range],
    advance: Advance,
) -> None:
    """Write the parts that are missing; activations are let go as soon as they are worked on.

    Args:
        todo: the rows to work on, by the number of their part.
        parts: all rows of a part, by its number.
    """

    def worked() -> Iterator[tuple[ActivationBatch, list[Sequence[Any]]]]:
        for batch in source.batches(list(todo.items())):
            is_good = batch.failure is None
            results = [
                job.task.describe(batch.maps) if is_good and job.lacks(batch.part) else ()
                for job in jobs
            ]
            advance(len(batch.rows))
            yield replace(batch, maps=[]), results

    for number, members in groupby(worked(), key=lambda pair: pair[0].part):
        done = list(members)
        common = common_columns(parts[number], [batch for batch, _ in done])
        for place, job in enumerate(jobs):
            if job.lacks(number):
                results = [
                    pair
                    for batch, found in done
                    for pair in zip(batch.rows, found[place], strict=False)
                ]
                job.write(number, Part(parts[number], common, dict(results)))


def common_columns(rows: range, batches: Sequence[ActivationBatch]) -> Datasets:
    """Status, reasons, geometry and digests of the rows."""
    status = np.zeros(len(rows), dtype=np.uint8)
    reasons = [""] * len(rows)
    image_sizes = np.zeros((len(rows), 2), dtype=np.int32)
    boxes = np.zeros((len(rows), 4), dtype=np.float32)
    digests = np.zeros((len(rows), DIGEST_BYTES), dtype=np.uint8)
    for batch in batches:
        local = [row - rows.start for row in batch.rows]
        if batch.failure is not None:
            status[local] = FAILED
            reasons[local[0]] = batch.failure
        image_sizes[local] = batch.image_sizes
        boxes[local] = batch.boxes
        if batch.digests is not None:
            digests[local] = batch.digests
    return OverImages.columns(
        status=status, image_sizes=image_sizes, boxes=boxes, reasons=reasons, file_digests=digests
    )
