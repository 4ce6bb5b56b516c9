"""What ``saliency fs`` and ``saliency os`` write: regions, saliency maps, features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Features, InputRecord, OutputFile, Regions, offsets_of
from rrtool.core.discovery.region_description import DescribedImage
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput
from rrtool.stages.activations.run import Part, describe_images
from rrtool.stages.discovery.options import SaliencyFsOptions, SaliencyOsOptions
from rrtool.stages.driver import Datasets, Wanted, make

Describe = Callable[[list[np.ndarray]], list[DescribedImage]]


def describe_collection(
    options: SaliencyFsOptions | SaliencyOsOptions,
    activations: ActivationInput,
    wanted: Sequence[Wanted],
    prepare: Callable[[], Describe],
    progress: Progress,
    *,
    inputs: Sequence[InputRecord] = (),
) -> Path:
    """Describe all images, part by part, and publish every output that is not there yet.

    Args:
        wanted: regions or saliency, and features or not.
        prepare: makes what is needed to describe; it is called when there is something to do. What
            it returns takes ``(b, k, h, w)`` activations at each scale to the images of a batch.
        inputs: beside the images.

    Returns:
        The path of the first output.
    """
    n_channels, n_scales = activations.n_channels, activations.n_scales
    kind, keep_maps = wanted[0].kind, getattr(options, "keep_maps", True)

    def columns(part: Part) -> list[Datasets]:
        maps = _maps(part, n_scales) if keep_maps else {}
        vectors = {"descriptors": _vectors(part, n_channels)} if kind is Regions else {}
        salient = kind.columns(**_regions(part), **vectors, **maps)
        return [salient, _features(part, n_channels)][: len(wanted)]

    def work(outputs: list[OutputFile]) -> None:
        activations.mention_untrained(progress)
        describe = prepare()
        describe_images(
            activations.source, activations.collection, outputs,
            # Networks give channels last, which every step would copy for itself.
            lambda maps: describe([scale.cpu().contiguous().numpy() for scale in maps]),
            columns, progress, label=options.COMMAND.name, facts={"n_channels": n_channels},
        )  # fmt: skip

    return make(
        options,
        wanted,
        work,
        progress,
        inputs=[*activations.collection.inputs, *inputs],
        network=activations.network,
        device=activations.device,
    )


def _of_rows(part: Part) -> list[tuple[int, DescribedImage]]:
    return [(row, part.results[row]) for row in sorted(part.results)]


def _regions(part: Part) -> dict[str, Any]:
    """The regions of the images of a part, ragged over the images."""
    counts = np.zeros(len(part.rows), dtype=np.int64)
    boxes, scales = [np.zeros((0, 4), dtype=np.float32)], [np.zeros(0, dtype=np.uint8)]
    saliencies, weights = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for row, found in _of_rows(part):
        counts[row - part.rows.start] = len(found.shares)
        boxes.append(part.in_image(row, found.shares))
        scales.append(found.scales)
        saliencies.append(found.saliencies)
        weights.append(found.weights)
    return {
        "region_boxes": np.concatenate(boxes),
        "region_scales": np.concatenate(scales),
        "region_saliencies": np.concatenate(saliencies),
        "region_weights": np.concatenate(weights),
        "offsets": offsets_of(counts),
        "n_scales_without_regions": _n_without_regions(part),
    }


def _vectors(part: Part, n_channels: int) -> np.ndarray:
    """The descriptors of the regions of a part, ``(r, k)`` float32."""
    none = np.zeros((0, n_channels), dtype=np.float32)
    return np.concatenate([none, *(found.descriptors for _, found in _of_rows(part))])


def _maps(part: Part, n_scales: int) -> dict[str, Any]:
    """The saliency maps of a part: flat, in the order row, scale, y, x."""
    sizes = np.zeros((len(part.rows), n_scales, 2), dtype=np.int32)
    flat = [np.zeros(0, dtype=np.float32)]
    for row, found in _of_rows(part):
        for scale, saliency_map in enumerate(found.maps):
            sizes[row - part.rows.start, scale] = saliency_map.shape[::-1]
            flat.append(saliency_map.astype(np.float32).ravel())
    return {
        "map_sizes": sizes,
        "map_values": np.concatenate(flat),
        "map_offsets": offsets_of(sizes.prod(axis=2)),
    }


def _features(part: Part, n_channels: int) -> Datasets:
    """The descriptors of the images of a part."""
    descriptors = np.zeros((len(part.rows), n_channels), dtype=np.float32)
    for row, found in part.results.items():
        descriptors[row - part.rows.start] = found.descriptor
    return Features.columns(
        descriptors=descriptors, n_scales_without_regions=_n_without_regions(part)
    )


def _n_without_regions(part: Part) -> np.ndarray:
    without = np.zeros(len(part.rows), dtype=np.uint8)
    for row, found in part.results.items():
        without[row - part.rows.start] = found.n_without_regions
    return without
