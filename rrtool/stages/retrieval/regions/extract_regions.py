"""``rrtool extract --regions``: images → descriptors of uniformly sampled regions (thesis §2.5)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rrtool.artifacts import Regions, offsets_of
from rrtool.core.retrieval.pooling import rmac_regions
from rrtool.stages.activations.task import Part, Task
from rrtool.stages.driver import Datasets
from rrtool.stages.retrieval.describer import Describer


@dataclass(frozen=True)
class ImageRegions:
    """The regions of one image.

    Attributes:
        descriptors: ``(r, d)`` float32, l2-normalised.
        shares: ``(r, 4)`` x0, y0, x1, y1 as shares of the width and height of what was described.
        scales: ``(r,)`` uint8, position in ``--scales``; zero where regions are zoomed.
    """

    descriptors: np.ndarray
    shares: np.ndarray
    scales: np.ndarray


def task(describer: Describer, n_levels: int, facts: Mapping[str, Any]) -> Task:
    """Describe the regions of every image, as R-MAC places them at each scale."""
    return Task(
        lambda maps: _describe(describer, maps, n_levels),
        lambda part: [_columns(part, describer.dimension)],
        facts,
    )


def zoomed_task(describer: Describer, facts: Mapping[str, Any]) -> Task:
    """Describe the regions that the source shows one by one, see ``activations.zoom``."""
    return Task(
        lambda maps: _describe_zoomed(describer, maps),
        lambda part: [_columns(part, describer.dimension)],
        facts,
    )


def _describe_zoomed(describer: Describer, maps: Sequence[torch.Tensor]) -> list[ImageRegions]:
    """Each map is of one region; the last holds where they are."""
    *regions, places = maps
    stacked = np.stack([describer([region]) for region in regions], axis=1)
    shares = places[:, :, 0].permute(0, 2, 1).cpu().numpy()
    scales = np.zeros(len(regions), np.uint8)
    return [ImageRegions(*own, scales) for own in zip(stacked, shares, strict=True)]


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
    counts = part.dense(lambda found: len(found.descriptors), dtype=np.int64)
    return Regions.columns(
        descriptors=part.joined(lambda found: found.descriptors, (dimension,)),
        region_boxes=part.boxes_in_images(lambda found: found.shares),
        region_scales=part.joined(lambda found: found.scales, dtype=np.uint8),
        offsets=offsets_of(counts),
    )
