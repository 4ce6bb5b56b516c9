"""Local features artifacts of the test's own making: one scale, objects that move in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from rrtool.artifacts import LocalFeaturesFile, Provenance, create, open_artifact
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import MatchingOptions, match
from tests.core.diffusion.test_graph import unit_vectors
from tests.stages.made_features import NETWORK, write_features

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


# Of the photos of things: one without features, one whose descriptor is not finite, two alike.
NO_FEATURES, NOT_FINITE = 3, 11


def write_things(
    folder: Path, names: Sequence[str], n_views: int, noise: float, copies: tuple[int, int]
) -> Path:
    """Things seen so many times each, in clutter, as ``l.h5``; descriptors that know some of them,
    as ``f.h5``."""
    generator = np.random.default_rng(0)
    images, n = [], len(names)
    for row in range(n):
        x, y = generator.uniform(0, 20, 2)
        clutter = made_object(100 + row, n=30, size=30)
        images.append(np.concatenate([seen(made_object(row // n_views), x, y), clutter]))
    images[NO_FEATURES] = NONE
    images[copies[1]] = images[copies[0]]
    write_local(folder / "l.h5", names, images)
    of_things = unit_vectors(-(-n // n_views), 6)[np.arange(n) // n_views]
    vectors = of_things + noise * unit_vectors(n, 6, seed=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[copies[1]] = vectors[copies[0]]
    vectors[NOT_FINITE, 2] = np.nan
    write_features(folder / "f.h5", names, vectors)
    return folder


_features = cache(read_local)


def by_hand(made: Path, first: int, second: int) -> int:
    """Inliers of a pair of what ``write_things`` has made, the earlier one as the query."""
    features = _features(made / "l.h5")
    one, other = min(first, second), max(first, second)
    found = match(features, one, features, np.array([other]), MatchingOptions(one_to_one=True))
    return int(found.n_inliers[0])
