"""What ``extract`` and ``detect-local`` share: a network over a collection, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rrtool.artifacts import OutputFile, decode_texts, encode_texts, write_failures
from rrtool.devices import resolve_device
from rrtool.errors import UsageError, WorkFailed, printable
from rrtool.images.collection import Collection
from rrtool.images.decode import DEFAULT_MAX_PIXELS
from rrtool.networks import Network, load_network
from rrtool.progress import Progress
from rrtool.stages.activations.sources import ActivationBatch, NetworkSource

GOOD, FAILED = 0, 1
DEFAULT_SCALES = (1.0, 0.7071, 0.5)
MAX_WORKERS, MAX_BATCH_SIZE, MAX_SEED = 1024, 4096, 2**63 - 1


@dataclass(frozen=True)
class NetworkOptions:
    """How images go through the network (METHODS §1).

    Attributes:
        network, weights, upsample, seed: see ``load_network``.
        scales: factors of the image size.
        max_size: the longer side is shrunk to at most this many pixels, never enlarged.
        max_pixels: larger files are refused before they are decoded.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:<i>``.
        workers: decoding threads, 0 = as many as cores.
        batch_size: images of one size that go through together, 0 = by device.
    """

    network: str
    weights: str
    upsample: bool = False
    scales: tuple[float, ...] = DEFAULT_SCALES
    max_size: int = 1024
    max_pixels: int = DEFAULT_MAX_PIXELS
    seed: int = 0
    device: str = "auto"
    workers: int = 0
    batch_size: int = 0

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 4 for scale in self.scales):
            raise UsageError("bad --scales", expected="factors in (0, 4]", found=self.scales)
        if len(set(self.scales)) < len(self.scales):
            raise UsageError("bad --scales: one occurs twice", found=self.scales)
        for name in ("max_size", "max_pixels"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"bad --{name.replace('_', '-')}",
                    expected="at least 1",
                    found=getattr(self, name),
                )
        limits = {"workers": MAX_WORKERS, "batch_size": MAX_BATCH_SIZE, "seed": MAX_SEED}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(
                    f"bad --{name.replace('_', '-')}",
                    expected=f"0 to {most}",
                    found=getattr(self, name),
                )

    def load(self) -> Network:
        """The network, on its device."""
        return load_network(
            self.network,
            self.weights,
            upsample=self.upsample,
            seed=self.seed,
            device=resolve_device(self.device),
        )

    def identity(self) -> dict[str, Any]:
        """The part of these options that an artifact's content depends on."""
        return {
            "max_size": self.max_size,
            "max_pixels": self.max_pixels,
            "scales": list(self.scales),
        }

    def source(self, network: Network, collection: Collection) -> NetworkSource:
        """The activations of a collection."""
        return NetworkSource(
            network,
            collection.paths,
            collection.boxes,
            self.scales,
            self.max_size,
            self.max_pixels,
            resolve_device(self.device),
            self.workers,
            self.batch_size,
        )


def _row_datasets(rows: range, batches: Sequence[ActivationBatch]) -> dict[str, np.ndarray]:
    """The per-row columns that do not depend on what is computed: status, reasons, geometry."""
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
    return {
        "status": status,
        "image_sizes": image_sizes,
        "boxes": boxes,
        **encode_texts(reasons, "reasons"),
    }


def run_parts(
    batches: Iterator[ActivationBatch],
    parts: Sequence[range],
    missing: Sequence[int],
    work: Callable[[list[torch.Tensor]], Sequence[Any]],
    progress: Progress,
    description: str,
) -> Iterator[tuple[int, dict[str, np.ndarray], dict[int, Any]]]:
    """Work through the missing parts; activations are let go as soon as they are worked on.

    Args:
        work: from the maps of a batch, one tensor per scale, to one result per image.

    Yields:
        Part number, its common columns, and the results of its good rows by row id.
    """
    total = sum(len(rows) for rows in parts)
    n_done = total - sum(len(parts[number]) for number in missing)
    if n_done:
        progress.message(f"continuing an interrupted run: {n_done} of {total} images are done")

    with progress.task(description, total, "images") as advance:
        advance(n_done)

        def worked() -> Iterator[tuple[ActivationBatch, Sequence[Any]]]:
            for batch in batches:
                results = work(batch.maps) if batch.failure is None else ()
                advance(len(batch.rows))
                yield replace(batch, maps=[]), results

        for number, members in groupby(worked(), key=lambda pair: pair[0].part):
            done = list(members)
            common = _row_datasets(parts[number], [batch for batch, _ in done])
            results = {
                row: result
                for batch, found in done
                for row, result in zip(batch.rows, found, strict=False)
            }
            yield number, common, results


def publish_rows(
    output: OutputFile,
    collection: Collection,
    n_parts: int,
    extra: Mapping[str, Any],
) -> Path:
    """Publish an artifact over images, and the list of those that were skipped beside it.

    Raises:
        WorkFailed: not one image was good.
    """
    failed = np.concatenate([np.zeros(0), *output.read_parts("status", n_parts)]) == FAILED
    reasons = [
        reason
        for data, offsets in zip(
            output.read_parts("reasons/bytes", n_parts),
            output.read_parts("reasons/offsets", n_parts),
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
        collection.datasets(),
        n_parts=n_parts,
        extra={**extra, **counts},
        compress=frozenset({"activations"}),
    )


def write_skipped_list(output: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """``<output stem>.skipped.tsv`` beside the output: name and reason; none if nothing was."""
    path = skipped_list_path(output)
    if not skipped:
        path.unlink(missing_ok=True)
        return
    lines = ["name\treason", *(f"{printable(name)}\t{printable(why)}" for name, why in skipped)]
    temporary = path.with_name(f".{path.name}.tmp")
    with write_failures(output):
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
        temporary.replace(path)


def skipped_list_path(output: Path) -> Path:
    return output.with_name(output.stem + ".skipped.tsv")
