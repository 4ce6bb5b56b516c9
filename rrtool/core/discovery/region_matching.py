"""Local features of regions: each region as an image of its own (thesis §6.3.1).

A region of EGM is often a part of a thing, a cap or a label, in which few features lie. So what is
around it counts too, as far as the region is wide and high.
"""

from __future__ import annotations

import numpy as np

from rrtool.core.matching.local_features import LocalFeatures

MARGIN = 1.0  # of the region's width and height, on each side


def features_of_regions(
    features: LocalFeatures,
    images: np.ndarray,
    boxes: np.ndarray,
    cells_a_pixel: np.ndarray,
    margin: float = MARGIN,
) -> LocalFeatures:
    """The features whose centres lie in each region or around it.

    Args:
        features: of the images; positions in cells of their scale's map.
        images: ``(r,)`` the image of each region.
        boxes: ``(r, 4)`` x0, y0, x1, y1 in pixels, from the corner of the top left one.
        cells_a_pixel: ``(n, S, 2)`` by which pixels of an image become cells of its maps.
        margin: how far around, see ``MARGIN``.

    Returns:
        Local features of which every "image" is a region.
    """
    n_scales = features.n_scales
    counts = np.diff(features.offsets)
    groups = np.repeat(np.arange(len(counts)), counts)
    with np.errstate(divide="ignore", invalid="ignore"):  # of images without a map nothing is in
        positions = (features.means + 0.5) / cells_a_pixel.reshape(-1, 2)[groups]
    around = margin * np.tile(boxes[:, 2:] - boxes[:, :2], 2) * [-1, -1, 1, 1]
    wide = boxes + around
    rows, sizes = [np.zeros(0, dtype=np.int64)], np.zeros((len(boxes), n_scales), dtype=np.int64)
    for region, (image, box) in enumerate(zip(images.tolist(), wide, strict=True)):
        start, stop = features.offsets[[image * n_scales, (image + 1) * n_scales]].tolist()
        own = positions[start:stop]
        inside = start + np.flatnonzero(((own >= box[:2]) & (own <= box[2:])).all(axis=1))
        rows.append(inside)
        sizes[region] = np.bincount(groups[inside] - image * n_scales, minlength=n_scales)
    taken = np.concatenate(rows)
    return LocalFeatures(
        features.means[taken], features.covariances[taken], features.strengths[taken],
        features.channels[taken], np.concatenate([[0], np.cumsum(sizes)]), n_scales,
    )  # fmt: skip
