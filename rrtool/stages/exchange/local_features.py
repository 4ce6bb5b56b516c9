"""Local features as keypoints of hloc."""

from collections.abc import Iterator, Mapping

import numpy as np

from rrtool.artifacts import LocalFeaturesFile
from rrtool.reports.drawing import ellipses_in_pixels


def local_groups(local: LocalFeaturesFile) -> Iterator[tuple[str, Mapping[str, np.ndarray]]]:
    """Keypoints, scores and size of each image, in the order that matches count them in."""
    columns = zip(local.names, local.map_sizes, local.boxes, local.image_sizes, strict=True)
    for row, (name, map_sizes, box, size) in enumerate(columns):
        features = local.of(row)
        keypoints = np.zeros((len(features.means), 2), dtype=np.float32)
        for scale, map_size in enumerate(map_sizes.tolist()):
            at = features.scales == scale
            ellipses = ellipses_in_pixels(
                features.means[at], features.covariances[at], map_size, box.tolist()
            )
            keypoints[at] = ellipses.means
        yield (
            name,
            {
                "keypoints": keypoints,
                "scores": features.strengths.astype(np.float32),
                "image_size": size.astype(np.int64),
            },
        )
