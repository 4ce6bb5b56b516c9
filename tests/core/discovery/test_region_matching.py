"""Local features of regions against a plain loop."""

from __future__ import annotations

import numpy as np

from rrtool.core.discovery.region_matching import features_of_regions
from rrtool.core.matching.local_features import LocalFeatures


def test_regions_have_the_features_that_lie_in_them_and_around() -> None:
    generator = np.random.default_rng(0)
    counts = np.array([9, 4, 0, 7, 0, 0])  # three images at two scales
    n = counts.sum()
    features = LocalFeatures(
        generator.uniform(0, 20, (n, 2)).astype(np.float32), np.ones((n, 3), np.float32),
        np.arange(n, dtype=np.float32), np.zeros(n, np.int32),
        np.concatenate([[0], np.cumsum(counts)]), 2,
    )  # fmt: skip
    cells = np.array([[[0.1, 0.1], [0.05, 0.06]]] * 3)
    images = np.array([0, 0, 1, 2])
    boxes = np.array([[10, 20, 60, 90], [0, 0, 200, 200], [50, 50, 90, 90], [0, 0, 9, 9]], float)
    found = features_of_regions(features, images, boxes, cells, margin=0.5)
    assert found.n_images == 4
    for region, (image, box) in enumerate(zip(images, boxes, strict=True)):
        x0, y0, x1, y1 = box
        width, height = x1 - x0, y1 - y0
        for scale in range(2):
            group = 2 * image + scale
            expected = []
            for row in range(features.offsets[group], features.offsets[group + 1]):
                x, y = (features.means[row] + 0.5) / cells[0, scale]
                if abs(x - (x0 + x1) / 2) <= width and abs(y - (y0 + y1) / 2) <= height:
                    expected.append(row)
            own = slice(*found.offsets[2 * region + scale : 2 * region + scale + 2])
            assert found.strengths[own].tolist() == expected
    assert len(found.strengths) > 0


def test_no_regions_and_images_without_a_map_have_no_features() -> None:
    features = LocalFeatures(
        np.ones((3, 2), np.float32), np.ones((3, 3), np.float32), np.ones(3, np.float32),
        np.zeros(3, np.int32), np.array([0, 3]), 1,
    )  # fmt: skip
    nothing = features_of_regions(
        features, np.zeros(0, np.int64), np.zeros((0, 4)), np.ones((1, 1, 2))
    )
    assert (nothing.n_images, nothing.n_features) == (0, 0)
    box = np.array([[0, 0, 50, 50.0]])
    flat = features_of_regions(features, np.zeros(1, np.int64), box, np.zeros((1, 1, 2)))
    assert flat.n_features == 0
