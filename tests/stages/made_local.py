"""Local features artifacts of the test's own making: one scale, objects that move in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rrtool.artifacts import LocalFeaturesFile, Provenance, create, open_artifact
from rrtool.core.matching.local_features import LocalFeatures
from tests.stages.made_features import NETWORK

SIZE, CELLS = (640, 480), (40, 30)  # of every image, and of its map
# One image's ``(m, 4)``: x and y in cells, strength and channel.
Points = np.ndarray
NONE = np.zeros((0, 4))


def made_object(seed: int, n: int = 25, n_channels: int = 12, size: float = 12) -> Points:
    """Features of something, within a square of so many cells."""
    generator = np.random.default_rng(seed)
    places, strengths = generator.uniform(0, size, (n, 2)), generator.uniform(1, 9, n)
    return np.column_stack([places, strengths, generator.integers(0, n_channels, n)])


def seen(points: Points, x: float, y: float) -> Points:
    """The same elsewhere in the image, in cells."""
    return points + np.array([x, y, 0, 0])


def write_local(
    path: Path, names: Sequence[str], images: Sequence[Points], *, failed: Sequence[int] = ()
) -> Path:
    """Round features, sorted as the kind has them."""
    n = len(names)
    rows = [each[np.lexsort((-each[:, 2], each[:, 3]))] for each in images]
    points = np.concatenate(rows)
    status = np.zeros(n, np.uint8)
    status[list(failed)] = 1
    provenance = Provenance("local-features", {"role": "database"}, [], NETWORK)
    with create(path, provenance, overwrite=True) as target:
        return target.publish(
            LocalFeaturesFile.columns(
                names=names,
                reasons=["broken" if failed else "" for failed in status],
                status=status,
                image_sizes=np.tile(np.int32(SIZE), (n, 1)),
                boxes=np.tile(np.float32((0, 0, *SIZE)), (n, 1)),
                file_signatures=np.zeros((n, 2), np.int64),
                map_sizes=np.tile(np.int32(CELLS), (n, 1, 1)),
                means=points[:, :2].astype(np.float32),
                covariances=np.tile(np.float32([1, 0, 1]), (len(points), 1)),
                strengths=points[:, 2].astype(np.float16),
                channels=points[:, 3].astype(np.uint16),
                offsets=np.concatenate([[0], np.cumsum([len(each) for each in rows])]),
            ),
            extra={"n_scales": 1, "level_scale": 1.0, "delta": 1},
        )


def read_local(path: Path) -> LocalFeatures:
    """All of them, as the matching takes them."""
    with open_artifact(path, LocalFeaturesFile) as artifact:
        return LocalFeatures(
            artifact.means, artifact.covariances, artifact.strengths.astype(np.float32),
            artifact.channels.astype(np.int32), artifact.offsets, artifact.n_scales,
        )  # fmt: skip
