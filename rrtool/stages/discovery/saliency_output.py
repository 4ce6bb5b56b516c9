"""What ``saliency fs`` and ``saliency os`` write: regions, saliency maps, features."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rrtool.artifacts import Artifact, Features, Regions, offsets_of
from rrtool.core.discovery.region_description import DescribedImage
from rrtool.stages.activations.input import ActivationInput
from rrtool.stages.activations.task import Part, Task
from rrtool.stages.driver import Datasets


def saliency_task(
    activations: ActivationInput,
    kinds: list[type[Artifact]],
    describe: Callable[[list[np.ndarray]], list[DescribedImage]],
    *,
    keep_maps: bool,
) -> Task:
    """Describe all images for regions or saliency, and for features or not.

    Args:
        kinds: of the outputs.
        describe: from ``(b, k, h, w)`` activations at each scale to the images of a batch.
    """
    n_channels, n_scales = activations.n_channels, activations.n_scales

    def describe_batch(maps: list[torch.Tensor]) -> list[DescribedImage]:
        # Networks give channels last, which every step would copy for itself.
        return describe([scale.cpu().contiguous().numpy() for scale in maps])

    def columns(part: Part) -> list[Datasets]:
        values = _regions(part) | (_maps(part, n_scales) if keep_maps else {})
        if kinds[0] is Regions:
            values["descriptors"] = part.joined(lambda found: found.descriptors, (n_channels,))
        features = Features.columns(
            descriptors=part.dense(lambda found: found.descriptor, (n_channels,)),
            n_scales_without_regions=values["n_scales_without_regions"],
        )
        return [kinds[0].columns(**values), features][: len(kinds)]

    return Task(describe_batch, columns, {"n_channels": n_channels})


def _regions(part: Part) -> dict[str, Any]:
    """The regions of the images of a part, ragged over the images."""
    return {
        "region_boxes": part.boxes_in_images(lambda found: found.shares),
        "region_scales": part.joined(lambda found: found.scales, dtype=np.uint8),
        "region_saliencies": part.joined(lambda found: found.saliencies),
        "region_weights": part.joined(lambda found: found.weights),
        "offsets": offsets_of(part.dense(lambda found: len(found.shares), dtype=np.int64)),
        "n_scales_without_regions": part.dense(
            lambda found: found.n_without_regions, dtype=np.uint8
        ),
    }


def _maps(part: Part, n_scales: int) -> dict[str, Any]:
    """The saliency maps of a part: flat, in the order row, scale, y, x."""
    sizes = part.dense(
        lambda found: [each.shape[::-1] for each in found.maps], (n_scales, 2), np.int32
    )
    return {
        "map_sizes": sizes,
        "map_values": part.joined(
            lambda found: np.concatenate([each.ravel() for each in found.maps], dtype=np.float32)
        ),
        "map_offsets": offsets_of(sizes.prod(axis=2)),
    }
