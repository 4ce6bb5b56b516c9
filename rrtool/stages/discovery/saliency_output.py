"""What ``saliency fs`` and ``saliency os`` write: regions, saliency maps, features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch

from rrtool.artifacts import OutputFile
from rrtool.core.discovery.region_description import DescribedImage
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput
from rrtool.stages.activations.run import publish_rows, run_parts
from rrtool.stages.parts import parts_of

Columns = dict[str, np.ndarray]


def describe_all(
    activations: ActivationInput,
    describe: Callable[[list[np.ndarray]], list[DescribedImage]],
    columns: Callable[
        [range, Mapping[str, np.ndarray], Mapping[int, DescribedImage]], list[Columns]
    ],
    outputs: Sequence[OutputFile],
    progress: Progress,
    label: str,
) -> None:
    """Describe all images, part by part, and publish every output that is not there yet.

    Args:
        describe: from ``(b, k, h, w)`` activations at each scale to the images of a batch.
        columns: what each output stores of a part: from its rows, common columns and images.
        label: of the progress.
    """
    collection = activations.collection
    parts = parts_of(len(collection))
    todo = [target for target in outputs if not target.is_current]
    missing = sorted({number for target in todo for number in target.missing_parts(len(parts))})
    batches = activations.source.batches([(number, parts[number]) for number in missing])

    def work(maps: list[torch.Tensor]) -> list[DescribedImage]:
        # Networks give channels last, which every step would copy for itself.
        return describe([scale.cpu().contiguous().numpy() for scale in maps])

    for number, common, results in run_parts(batches, parts, missing, work, progress, label):
        contents = columns(parts[number], common, results)
        for target, content in zip(outputs, contents, strict=True):
            if not target.is_current:
                target.write_part(number, {**common, **content})
    for target in todo:
        publish_rows(target, collection, len(parts), {"n_channels": activations.n_channels})


def region_columns(
    rows: range,
    common: Mapping[str, np.ndarray],
    results: Mapping[int, DescribedImage],
    n_channels: int,
    *,
    with_descriptors: bool,
) -> dict[str, np.ndarray]:
    """The regions of the images of a part, ragged over the images."""
    counts = np.zeros(len(rows), dtype=np.int64)
    without = np.zeros(len(rows), dtype=np.uint8)
    vectors = [np.zeros((0, n_channels), dtype=np.float32)]
    boxes, scales = [np.zeros((0, 4), dtype=np.float32)], [np.zeros(0, dtype=np.uint8)]
    saliencies, weights = [np.zeros(0, np.float32)], [np.zeros(0, np.float32)]
    for row in sorted(results):
        found, place = results[row], row - rows.start
        counts[place], without[place] = len(found.shares), found.n_without_regions
        x0, y0, x1, y1 = common["boxes"][place]
        size = np.array([x1 - x0, y1 - y0] * 2, dtype=np.float32)
        boxes.append(found.shares * size + np.array([x0, y0] * 2, dtype=np.float32))
        vectors.append(found.descriptors)
        scales.append(found.scales)
        saliencies.append(found.saliencies)
        weights.append(found.weights)
    columns: dict[str, np.ndarray] = {
        "region_boxes": np.concatenate(boxes),
        "region_scales": np.concatenate(scales),
        "region_saliencies": np.concatenate(saliencies),
        "region_weights": np.concatenate(weights),
        "offsets": np.concatenate([[0], np.cumsum(counts)]),
        "n_scales_without_regions": without,
    }
    if with_descriptors:
        columns["descriptors"] = np.concatenate(vectors)
    return columns


def map_columns(
    rows: range, results: Mapping[int, DescribedImage], n_scales: int
) -> dict[str, np.ndarray]:
    """The saliency maps of a part: flat, in the order row, scale, y, x."""
    sizes = np.zeros((len(rows), n_scales, 2), dtype=np.int32)
    flat = [np.zeros(0, dtype=np.float32)]
    for row in sorted(results):
        for scale, saliency_map in enumerate(results[row].maps):
            sizes[row - rows.start, scale] = saliency_map.shape[::-1]
            flat.append(saliency_map.astype(np.float32).ravel())
    counts = sizes.prod(axis=2).ravel()
    return {
        "maps/values": np.concatenate(flat),
        "maps/offsets": np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        "map_sizes": sizes,
    }


def feature_columns(
    rows: range, results: Mapping[int, DescribedImage], n_channels: int
) -> dict[str, np.ndarray]:
    """The descriptors of the images of a part."""
    descriptors = np.zeros((len(rows), n_channels), dtype=np.float32)
    without = np.zeros(len(rows), dtype=np.uint8)
    for row, found in results.items():
        descriptors[row - rows.start] = found.descriptor
        without[row - rows.start] = found.n_without_regions
    return {"descriptors": descriptors, "n_scales_without_regions": without}
