"""A network over a collection, part by part: what all stages on activations share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    OutputFile,
    OverImages,
    decode_texts,
    skipped_list_path,
    write_skipped_list,
)
from rrtool.errors import WorkFailed
from rrtool.images.collection import Collection
from rrtool.images.folder import kinds_of
from rrtool.options import Options
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput
from rrtool.stages.activations.sources import ActivationBatch
from rrtool.stages.activations.task import Finish, Job, Part, Task
from rrtool.stages.driver import Datasets, Wanted, make, parts_of

FAILED = 1


@dataclass(frozen=True)
class _Started:
    """A job that has something to do.

    Attributes:
        outputs: of its task, those that are current too.
        missing: by output, the parts that it lacks.
    """

    task: Task
    wanted: Sequence[Wanted]
    outputs: Sequence[OutputFile]
    missing: Sequence[Set[int]]

    @staticmethod
    def of(job: Job, outputs: Sequence[OutputFile], n_parts: int) -> _Started:
        missing = [
            frozenset() if output.is_current else frozenset(output.missing_parts(n_parts))
            for output in outputs
        ]
        return _Started(job.prepare(), job.wanted, outputs, missing)

    def lacks(self, number: int) -> bool:
        return any(number in missing for missing in self.missing)

    def write(self, number: int, part: Part) -> None:
        """Store a part in the outputs that lack it."""
        columns = self.task.columns(part)
        for output, missing, content in zip(self.outputs, self.missing, columns, strict=True):
            if number in missing:
                output.write_part(number, {**part.common, **content})


def describe_images(
    options: Options, activations: ActivationInput, jobs: Sequence[Job], progress: Progress
) -> Path:
    """Work on the activations of all images once, and publish every output that is not current.

    Returns:
        The path of the first output.

    Raises:
        WorkFailed: not one image was good.
    """

    def work(outputs: list[OutputFile]) -> None:
        if not activations.network.get("trained", True):
            progress.message("the network is untrained (seeded random weights)")
        for note in activations.notes:
            progress.message(note)
        engine = activations.choose_engine([each.kind for each in all_wanted], progress)
        remaining, n_parts, started = iter(outputs), len(parts_of(len(collection))), []
        for job in jobs:
            own = [next(remaining) for _ in job.wanted]
            if not all(output.is_current for output in own):
                started.append(_Started.of(job, own, n_parts))
        _describe(activations, started, options.COMMAND.name, progress)
        if any(collection.boxes):
            first = next(output for output in outputs if not output.is_current)
            _tell_cut_boxes(first, collection, n_parts, progress)
        for each in started:
            _publish_all(each, collection, n_parts, engine)

    collection = activations.collection
    all_wanted = [each for job in jobs for each in job.wanted]
    return make(
        options, all_wanted, work, progress,
        inputs=collection.inputs, network=activations.network, device=activations.device,
    )  # fmt: skip


def _describe(
    activations: ActivationInput, jobs: Sequence[_Started], label: str, progress: Progress
) -> None:
    """Write the parts that are missing; activations are let go as soon as they are worked on."""
    n_images = len(activations.collection)
    parts = parts_of(n_images)
    missing = [number for number in range(len(parts)) if any(job.lacks(number) for job in jobs)]
    batches = activations.source.batches([(number, parts[number]) for number in missing])
    n_done = n_images - sum(len(parts[number]) for number in missing)
    if n_done:
        progress.message(f"continuing an interrupted run: {n_done} of {n_images} images are done")
    with progress.task(label, n_images, "images") as advance:
        advance(n_done)

        def worked() -> Iterator[tuple[ActivationBatch, list[Sequence[Any]]]]:
            for batch in batches:
                is_good = batch.failure is None
                results = [
                    job.task.describe(batch.maps) if is_good and job.lacks(batch.part) else ()
                    for job in jobs
                ]
                advance(len(batch.rows))
                yield replace(batch, maps=[]), results

        for number, members in groupby(worked(), key=lambda pair: pair[0].part):
            done = list(members)
            common = _common(parts[number], [batch for batch, _ in done])
            for place, job in enumerate(jobs):
                if job.lacks(number):
                    results = [
                        pair
                        for batch, found in done
                        for pair in zip(batch.rows, found[place], strict=False)
                    ]
                    job.write(number, Part(parts[number], common, dict(results)))


def _common(rows: range, batches: Sequence[ActivationBatch]) -> Datasets:
    """Status, reasons and geometry of the rows."""
    status = np.zeros(len(rows), dtype=np.uint8)
    reasons = [""] * len(rows)
    image_sizes = np.zeros((len(rows), 2), dtype=np.int32)
    boxes = np.zeros((len(rows), 4), dtype=np.float32)
    for batch in batches:
        local = [row - rows.start for row in batch.rows]
        if batch.failure is not None:
            status[local] = FAILED
            reasons[local[0]] = batch.failure
        image_sizes[local] = batch.image_sizes
        boxes[local] = batch.boxes
    return OverImages.columns(status=status, image_sizes=image_sizes, boxes=boxes, reasons=reasons)


def _publish_all(
    job: _Started, collection: Collection, n_parts: int, engine: Mapping[str, str]
) -> None:
    for output, wanted in zip(job.outputs, job.wanted, strict=True):
        if not output.is_current:
            read = partial(output.read_parts, n_parts=n_parts)
            finish = job.task.finish(read) if job.task.finish else Finish({}, {}, {})
            finish = replace(finish, facts={**job.task.facts, **engine, **finish.facts})
            _publish(output, wanted, collection, n_parts, finish)


def _tell_cut_boxes(
    output: OutputFile, collection: Collection, n_parts: int, progress: Progress
) -> None:
    """Say which boxes reach out of their photos by more than a pixel: perhaps of another size."""
    used, sizes = (
        np.concatenate([*output.read_parts(column, n_parts)])
        for column in (OverImages.boxes, OverImages.image_sizes)
    )
    cut = [
        f"{collection.names[row]}: {tuple(box)} in {sizes[row][0]}×{sizes[row][1]} pixels"
        for row, box in enumerate(collection.boxes)
        if box and sizes[row].any() and np.abs(used[row] - box).max() > 1
    ]
    if cut:
        progress.message(f"{len(cut)} boxes reach out of their photos and are cut, e.g. {cut[0]}")


def _publish(
    output: OutputFile,
    wanted: Wanted,
    collection: Collection,
    n_parts: int,
    finish: Finish,
) -> None:
    """Publish an artifact over images, and the list of those that were skipped beside it."""
    failed = np.concatenate([np.zeros(0), *output.read_parts(OverImages.status, n_parts)]) == FAILED
    reasons = [
        reason
        for data, offsets in zip(
            *(output.read_parts(column, n_parts) for column in OverImages.reasons.columns()),
            strict=True,
        )
        for reason in decode_texts(data, offsets)
    ]
    skipped = collection.skipped + [
        (collection.names[row], reasons[row]) for row in np.flatnonzero(failed)
    ]
    write_skipped_list(output.path, skipped + collection.passed_over)
    if failed.all():
        raise WorkFailed(
            f"not one of {len(failed)} images could be used",
            where=output.path,
            found=f"{skipped[0][0]}: {skipped[0][1]}",
            todo=f"see {skipped_list_path(output.path)}",
        )
    counts = {
        "n_skipped": len(skipped),
        "n_failed_rows": int(failed.sum()),
        "passed_over": kinds_of(collection.passed_over),
    }
    rows = OverImages.columns(names=collection.names, file_signatures=collection.signatures)
    output.publish(
        {**rows, **finish.columns},
        n_parts=n_parts,
        extra={**finish.facts, **counts},
        changed=finish.changed,
        made_with=wanted.digests_made(),
        compress=frozenset({"activations", "nonzero/bits"}),
    )
