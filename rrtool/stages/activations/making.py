"""Outputs over images while they are made: what each lacks, keeps and stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrtool.artifacts import OutputFile, OverImages
from rrtool.images.content import DIGEST_BYTES
from rrtool.stages.activations.sources import ActivationBatch
from rrtool.stages.activations.task import Job, Part, Task
from rrtool.stages.driver import Datasets, Wanted
from rrtool.stages.over_images import FAILED
from rrtool.stages.update import Kept


@dataclass(frozen=True)
class Making:
    """An output that is being made.

    Attributes:
        place: among those of its task.
        missing: the parts that it lacks.
        kept: the rows of the artifact that it updates.
    """

    place: int
    output: OutputFile
    wanted: Wanted
    missing: Set[int]
    kept: Kept | None

    def computed(self, rows: range) -> Sequence[int]:
        """Those of some rows that are not kept."""
        return rows if self.kept is None else self.kept.computed(rows)

    def write(self, number: int, rows: range, datasets: Datasets) -> None:
        """Store a part that is missing, with the rows that are kept in their places."""
        if number in self.missing:
            whole = datasets if self.kept is None else self.kept.put_into(datasets, rows)
            self.output.write_part(number, whole)


@dataclass(frozen=True)
class Started:
    """A job that has something to do, and those of its outputs that are not current."""

    task: Task
    making: Sequence[Making]

    @staticmethod
    def of(
        job: Job, outputs: Sequence[OutputFile], kept: Mapping[Path, Kept], parts: Sequence[range]
    ) -> Started:
        task, making = job.prepare(), []
        failed = Part(range(1), common_columns(range(1), []), {})
        for place, (output, wanted) in enumerate(zip(outputs, job.wanted, strict=True)):
            if output.is_current:
                continue
            own = kept.get(output.path)
            if own is not None:
                names = {*failed.common, *task.columns(failed)[place]}
                _keep_whole_parts(output, own, parts, names)
            missing = frozenset(output.missing_parts(len(parts)))
            making.append(Making(place, output, wanted, missing, own))
        return Started(task, making)

    def lacks(self, number: int) -> bool:
        return any(number in each.missing for each in self.making)

    def write(self, number: int, part: Part) -> None:
        """Store a part in the outputs that lack it."""
        columns = self.task.columns(part)
        for each in self.making:
            each.write(number, part.rows, {**part.common, **columns[each.place]})


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
