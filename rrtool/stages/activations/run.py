"""A network over a collection, part by part: what all stages on activations share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rrtool.artifacts import OutputFile, OverImages, skipped_list_path, write_skipped_list
from rrtool.artifacts.ragged import decode_texts
from rrtool.errors import WorkFailed
from rrtool.images.collection import Collection
from rrtool.progress import Progress
from rrtool.stages.activations.sources import ActivationBatch, ActivationSource
from rrtool.stages.driver import Datasets, parts_of

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

    def in_image(self, row: int, shares: np.ndarray) -> np.ndarray:
        """Boxes ``(r, 4)`` float32 in pixels of the whole image.

        Args:
            shares: x0, y0, x1, y1 as shares of the width and height of what was described.
        """
        x0, y0, x1, y1 = self.common["boxes"][row - self.rows.start]
        size = np.array([x1 - x0, y1 - y0] * 2, dtype=np.float32)
        return shares * size + np.array([x0, y0] * 2, dtype=np.float32)


def describe_images(
    source: ActivationSource,
    collection: Collection,
    outputs: Sequence[OutputFile],
    work: Callable[[list[torch.Tensor]], Sequence[Any]],
    columns: Callable[[Part], Sequence[Datasets]],
    progress: Progress,
    *,
    label: str,
    facts: Mapping[str, Any],
) -> None:
    """Work on the activations of all images, and publish every output that is not current.

    Activations are let go as soon as they are worked on.

    Args:
        work: from the maps of a batch, one tensor per scale, to one result per image.
        columns: from a part to what each of the outputs stores of it.
        label: of the progress.
        facts: to record with each output.

    Raises:
        WorkFailed: not one image was good.
    """
    parts = parts_of(len(collection))
    todo = [output for output in outputs if not output.is_current]
    missing = sorted({number for output in todo for number in output.missing_parts(len(parts))})
    batches = source.batches([(number, parts[number]) for number in missing])
    n_done = len(collection) - sum(len(parts[number]) for number in missing)
    if n_done:
        progress.message(
            f"continuing an interrupted run: {n_done} of {len(collection)} images are done"
        )
    with progress.task(label, len(collection), "images") as advance:
        advance(n_done)

        def worked() -> Iterator[tuple[ActivationBatch, Sequence[Any]]]:
            for batch in batches:
                results = work(batch.maps) if batch.failure is None else ()
                advance(len(batch.rows))
                yield replace(batch, maps=[]), results

        for number, members in groupby(worked(), key=lambda pair: pair[0].part):
            part = _part(parts[number], list(members))
            for output, content in zip(outputs, columns(part), strict=True):
                if not output.is_current:
                    output.write_part(number, {**part.common, **content})
    for output in todo:
        _publish(output, collection, len(parts), facts)


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
    write_skipped_list(output.path, skipped)
    if failed.all():
        raise WorkFailed(
            f"not one of {len(failed)} images could be used",
            where=output.path,
            found=f"{skipped[0][0]}: {skipped[0][1]}",
            todo=f"see {skipped_list_path(output.path)}",
        )
    counts = {"n_skipped": len(skipped), "n_failed_rows": int(failed.sum())}
    return output.publish(
        OverImages.columns(names=collection.names, file_signatures=collection.signatures),
        n_parts=n_parts,
        extra={**facts, **counts},
        compress=frozenset({"activations"}),
    )
