"""What ``saliency fs`` and ``saliency os`` write: regions, saliency maps, features."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rrtool.core.region_description import DescribedImage


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
    saliencies = [np.zeros(0, dtype=np.float32)]
    for row in sorted(results):
        found, place = results[row], row - rows.start
        counts[place], without[place] = len(found.shares), found.n_without_regions
        x0, y0, x1, y1 = common["boxes"][place]
        size = np.array([x1 - x0, y1 - y0] * 2, dtype=np.float32)
        boxes.append(found.shares * size + np.array([x0, y0] * 2, dtype=np.float32))
        vectors.append(found.descriptors)
        scales.append(found.scales)
        saliencies.append(found.saliencies)
    columns: dict[str, np.ndarray] = {
        "region_boxes": np.concatenate(boxes),
        "region_scales": np.concatenate(scales),
        "region_saliencies": np.concatenate(saliencies),
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
