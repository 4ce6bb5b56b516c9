"""``rrtool extract --regions``: images → descriptors of uniformly sampled regions (thesis §2.5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rrtool.artifacts import OutputFile, Provenance, create
from rrtool.core.retrieval.pooling import rmac_regions
from rrtool.devices import resolve_device
from rrtool.errors import UsageError
from rrtool.images.collection import collect
from rrtool.progress import Progress
from rrtool.stages.activations.run import publish_rows, run_parts
from rrtool.stages.parts import parts_of
from rrtool.stages.retrieval.extract import Describer, ExtractOptions


@dataclass(frozen=True)
class ImageRegions:
    """The regions of one image.

    Attributes:
        descriptors: ``(r, d)`` float32, l2-normalised.
        shares: ``(r, 4)`` x0, y0, x1, y1 as shares of the width and height of what was described.
        scales: ``(r,)`` uint8, position in ``--scales``.
    """

    descriptors: np.ndarray
    shares: np.ndarray
    scales: np.ndarray


def run(
    images: str,
    output: str | Path,
    options: ExtractOptions,
    n_levels: int,
    *,
    boxes: str | None = None,
    gallery: str | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Describe the regions of every image, as R-MAC places them at each scale.

    Returns:
        The path of the ``regions`` artifact.

    Raises:
        RrtoolError: see ``extract.run``.
    """
    if not 1 <= n_levels <= 10:
        raise UsageError("bad --regions", expected="1 to 10 levels", found=n_levels)
    collection = collect(images, boxes, gallery)
    network = options.inference.load()
    describer = Describer.of(network, options)
    provenance = Provenance(
        "regions",
        {
            **options.inference.identity(),
            **describer.identity(),
            "boxes": boxes is not None,
            "regions": f"uniform, {n_levels} levels",
        },
        collection.inputs,
        network.describe(),
        resolve_device(options.inference.device),
    )
    with create(output, provenance, overwrite=overwrite) as target:
        if target.is_current:
            progress.message(f"{target.path} is up to date")
            return target.path
        if not network.trained:
            progress.message("the network is untrained (seeded random weights)")
        parts = parts_of(len(collection))
        missing = target.missing_parts(len(parts))
        batches = options.inference.source(network, collection).batches(
            [(number, parts[number]) for number in missing]
        )

        def work(maps: list[torch.Tensor]) -> list[ImageRegions]:
            return _describe(describer, maps, n_levels)

        for number, common, results in run_parts(
            batches, parts, missing, work, progress, "extract --regions"
        ):
            write_regions(target, number, parts[number], common, results, describer.dimension)
        return publish_rows(target, collection, len(parts), {"n_channels": network.n_channels})


def _describe(
    describer: Describer, maps: Sequence[torch.Tensor], n_levels: int
) -> list[ImageRegions]:
    """The regions of each image of a batch, scale by scale."""
    descriptors, shares, scales = [], [], []
    for scale, activations in enumerate(maps):
        height, width = activations.shape[-2:]
        if not width:
            continue
        # The whole map is the first region and may be the only one of the first level too.
        for x, y, w, h in dict.fromkeys(rmac_regions(height, width, n_levels)):
            descriptors.append(describer([activations[..., y : y + h, x : x + w]]))
            shares.append([x / width, y / height, (x + w) / width, (y + h) / height])
            scales.append(scale)
    stacked = np.stack(descriptors, axis=1)
    columns = np.array(shares, dtype=np.float32), np.array(scales, dtype=np.uint8)
    return [ImageRegions(vectors, *columns) for vectors in stacked]


def write_regions(
    target: OutputFile,
    number: int,
    rows: range,
    common: Mapping[str, np.ndarray],
    results: Mapping[int, ImageRegions],
    dimension: int,
) -> None:
    """Store a part: descriptors and boxes of the regions, ragged over the images."""
    counts = np.zeros(len(rows), dtype=np.int64)
    vectors = [np.zeros((0, dimension), dtype=np.float32)]
    boxes, scales = [np.zeros((0, 4), dtype=np.float32)], [np.zeros(0, dtype=np.uint8)]
    for row in sorted(results):
        found = results[row]
        counts[row - rows.start] = len(found.descriptors)
        x0, y0, x1, y1 = common["boxes"][row - rows.start]
        size = np.array([x1 - x0, y1 - y0] * 2, dtype=np.float32)
        vectors.append(found.descriptors)
        boxes.append(found.shares * size + np.array([x0, y0] * 2, dtype=np.float32))
        scales.append(found.scales)
    target.write_part(
        number,
        {
            **common,
            "descriptors": np.concatenate(vectors),
            "region_boxes": np.concatenate(boxes),
            "region_scales": np.concatenate(scales),
            "offsets": np.concatenate([[0], np.cumsum(counts)]),
        },
    )
