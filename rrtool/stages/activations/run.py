"""A network over a collection, part by part: what all stages on activations share."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from rrtool.artifacts import (
    InputRecord,
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
from rrtool.stages.driver import Datasets, Wanted, make, parts_of

FAILED = 1


@dataclass(frozen=True)
class Part:
    """What became of the rows of a part.

    Attributes:
        rows: row ids.
        common: the columns that do not depend on what is computed.
        results: of the good rows, by row id.
    """

    rows: range
    common: Mapping[str, np.ndarray]
    results: Mapping[int, Any]

    def dense(
        self, of: Callable[[Any], ArrayLike], shape: tuple[int, ...] = (), dtype: Any = np.float32
    ) -> np.ndarray:
        """``(rows, *shape)``: what ``of`` takes from each result; zero where an image failed."""
        values = np.zeros((len(self.rows), *shape), dtype)
        for row, result in self.results.items():
            values[row - self.rows.start] = of(result)
        return values

    def joined(
        self, of: Callable[[Any], np.ndarray], shape: tuple[int, ...] = (), dtype: Any = np.float32
    ) -> np.ndarray:
        """``(m, *shape)``: what ``of`` takes from each result, several entries an image."""
        found = [of(self.results[row]) for row in sorted(self.results)]
        return np.concatenate([np.zeros((0, *shape), dtype), *found])

    def boxes_in_images(self, of: Callable[[Any], np.ndarray]) -> np.ndarray:
        """``(m, 4)`` float32 in pixels of the whole images.

        Args:
            of: gives x0, y0, x1, y1 as shares of the width and height of what was described.
        """
        found = [np.zeros((0, 4), np.float32)]
        for row in sorted(self.results):
            corner, end = self.common["boxes"][row - self.rows.start].reshape(2, 2)
            found.append(of(self.results[row]) * np.tile(end - corner, 2) + np.tile(corner, 2))
        return np.concatenate(found)


@dataclass(frozen=True)
class Task:
    """What a stage does with activations.

    Attributes:
        describe: from the maps of a batch, one tensor per scale, to one result per image.
        columns: from a part to what each of the outputs stores of it.
        facts: to record with each output.
    """

    describe: Callable[[list[torch.Tensor]], Sequence[Any]]
    columns: Callable[[Part], Sequence[Datasets]]
    facts: Mapping[str, Any]


def describe_images(
    options: Options,
    activations: ActivationInput,
    wanted: Wanted | Sequence[Wanted],
    prepare: Callable[[], Task],
    progress: Progress,
    *,
    inputs: Sequence[InputRecord] = (),
) -> Path:
    """Work on the activations of all images, and publish every output that is not current.

    Args:
        prepare: called when there is something to do.
        inputs: beside the images.

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
        task = prepare()
        task = replace(task, facts={**task.facts, **engine})
        _describe(activations, outputs, task, options.COMMAND.name, progress)

    all_wanted = [wanted] if isinstance(wanted, Wanted) else wanted
    return make(
        options, all_wanted, work, progress, inputs=[*activations.collection.inputs, *inputs],
        network=activations.network, device=activations.device,
    )  # fmt: skip


def _describe(
    activations: ActivationInput,
    outputs: Sequence[OutputFile],
    task: Task,
    label: str,
    progress: Progress,
) -> None:
    """Write the parts that are missing; activations are let go as soon as they are worked on."""
    collection, todo = activations.collection, [each for each in outputs if not each.is_current]
    parts = parts_of(len(collection))
    missing = sorted({number for output in todo for number in output.missing_parts(len(parts))})
    batches = activations.source.batches([(number, parts[number]) for number in missing])
    n_done = len(collection) - sum(len(parts[number]) for number in missing)
    if n_done:
        progress.message(
            f"continuing an interrupted run: {n_done} of {len(collection)} images are done"
        )
    with progress.task(label, len(collection), "images") as advance:
        advance(n_done)

        def worked() -> Iterator[tuple[ActivationBatch, Sequence[Any]]]:
            for batch in batches:
                results = task.describe(batch.maps) if batch.failure is None else ()
                advance(len(batch.rows))
                yield replace(batch, maps=[]), results

        for number, members in groupby(worked(), key=lambda pair: pair[0].part):
            part = _part(parts[number], list(members))
            for output, content in zip(outputs, task.columns(part), strict=True):
                if not output.is_current:
                    output.write_part(number, {**part.common, **content})
    if any(collection.boxes):
        _tell_cut_boxes(todo[0], collection, len(parts), progress)
    for output in todo:
        _publish(output, collection, len(parts), task.facts)


def _part(rows: range, done: Sequence[tuple[ActivationBatch, Sequence[Any]]]) -> Part:
    """Status, reasons and geometry of the rows, and the results of the good ones."""
    status = np.zeros(len(rows), dtype=np.uint8)
    reasons = [""] * len(rows)
    image_sizes = np.zeros((len(rows), 2), dtype=np.int32)
    boxes = np.zeros((len(rows), 4), dtype=np.float32)
    results: dict[int, Any] = {}
    for batch, found in done:
        local = [row - rows.start for row in batch.rows]
        if batch.failure is not None:
            status[local] = FAILED
            reasons[local[0]] = batch.failure
        image_sizes[local] = batch.image_sizes
        boxes[local] = batch.boxes
        results |= dict(zip(batch.rows, found, strict=False))
    common = OverImages.columns(
        status=status, image_sizes=image_sizes, boxes=boxes, reasons=reasons
    )
    return Part(rows, common, results)


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
    output: OutputFile, collection: Collection, n_parts: int, facts: Mapping[str, Any]
) -> Path:
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
    return output.publish(
        OverImages.columns(names=collection.names, file_signatures=collection.signatures),
        n_parts=n_parts,
        extra={**facts, **counts},
        compress=frozenset({"activations"}),
    )
