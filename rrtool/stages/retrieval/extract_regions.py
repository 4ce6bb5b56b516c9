"""``rrtool extract --regions``: images → descriptors of uniformly sampled regions (thesis §2.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rrtool.artifacts import Regions, offsets_of
from rrtool.core.retrieval.pooling import rmac_regions
from rrtool.images.collection import collect
from rrtool.progress import Progress
from rrtool.stages.activations.input import load_network_of, of_network
from rrtool.stages.activations.run import Part, describe_images
from rrtool.stages.driver import Datasets, Wanted, make
from rrtool.stages.retrieval.describer import Describer
from rrtool.stages.retrieval.options import ExtractOptions


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


def run(options: ExtractOptions, progress: Progress) -> Path:
    """Describe the regions of every image, as R-MAC places them at each scale.

    Returns:
        The path of the ``regions`` artifact.

    Raises:
        RrtoolError: see ``extract.run``.
    """
    network = load_network_of(options)
    activations = of_network(
        network, collect(options.images, options.boxes, options.gallery), options
    )
    describer, n_levels = Describer.of(network, options), options.regions or 0
    settings = {
        **activations.options,
        **describer.settings(),
        "boxes": options.boxes is not None,
        "regions": f"uniform, {n_levels} levels",
    }
    activations.mention_untrained(progress)
    return make(
        options,
        Wanted(options.output, Regions, settings),
        lambda outputs: describe_images(
            activations.source, activations.collection, outputs,
            lambda maps: _describe(describer, maps, n_levels),
            lambda part: [_columns(part, describer.dimension)],
            progress, label="extract --regions", facts={"n_channels": network.n_channels},
        ),
        progress,
        inputs=activations.collection.inputs,
        network=activations.network,
        device=activations.device,
    )  # fmt: skip


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


def _columns(part: Part, dimension: int) -> Datasets:
    """Descriptors and boxes of the regions of a part, ragged over the images."""
    counts = np.zeros(len(part.rows), dtype=np.int64)
    vectors = [np.zeros((0, dimension), dtype=np.float32)]
    boxes, scales = [np.zeros((0, 4), dtype=np.float32)], [np.zeros(0, dtype=np.uint8)]
    for row in sorted(part.results):
        found: ImageRegions = part.results[row]
        counts[row - part.rows.start] = len(found.descriptors)
        vectors.append(found.descriptors)
        boxes.append(part.in_image(row, found.shares))
        scales.append(found.scales)
    return Regions.columns(
        descriptors=np.concatenate(vectors),
        region_boxes=np.concatenate(boxes),
        region_scales=np.concatenate(scales),
        offsets=offsets_of(counts),
    )
