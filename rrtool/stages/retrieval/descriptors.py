"""Descriptors of features (one a row) and of regions (several an image), read and compared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import (
    Artifact,
    Features,
    Regions,
    open_artifact,
    require_equal,
    require_same_network,
)
from rrtool.errors import ArtifactError
from rrtool.progress import Progress

Described = Features | Regions
# Options that must agree before descriptors are compared, and that a score depends on.
DESCRIPTION = ("max_size", "scales", "pool", "gem_exponent", "whitening")


@dataclass(frozen=True)
class Descriptors:
    """Descriptors of a list of images.

    Attributes:
        vectors: ``(r, d)`` float32; those that are not usable are zero.
        usable: ``(r,)`` bool.
        offsets: ``(n + 1,)`` int64, the vectors of each image; one each for features.
    """

    vectors: np.ndarray
    usable: np.ndarray
    offsets: np.ndarray

    @property
    def vertices(self) -> np.ndarray:
        """``(m,)`` int32, the vectors that are usable and not zero."""
        return np.flatnonzero(self.usable & self.vectors.any(axis=1)).astype(np.int32)

    @property
    def usable_images(self) -> np.ndarray:
        """``(n,)`` bool, images with at least one usable vector."""
        totals = np.concatenate([[0], np.cumsum(self.usable)])
        return totals[self.offsets[1:]] > totals[self.offsets[:-1]]


def open_described(path: str) -> Described:
    """Open features or regions; see ``open_artifact``."""
    opened: Described = open_artifact(path, Features, Regions)  # type: ignore[assignment]
    return opened


def is_regional(queries: Described, database: Described) -> bool:
    """Whether one of them has several descriptors an image."""
    return isinstance(queries, Regions) or isinstance(database, Regions)


def require_comparable(first: Described, second: Described) -> None:
    """Descriptors are comparable if they were made alike.

    Raises:
        ArtifactError: naming the first difference.
    """
    require_same_network(first, second)
    require_same_options({key: first.options.get(key) for key in DESCRIPTION}, first, second)
    require_equal("dimension", first, first.lengths["d"], second, second.lengths["d"])
    if first.extra.get("centred_on") != second.extra.get("centred_on"):
        raise ArtifactError(
            "the descriptors were whitened about different means", where=first.path,
            expected=f"the mean of {second.path}",
            todo=f"make these again by extract with --center {second.path}",
        )  # fmt: skip


def require_same_options(values: Mapping[str, Any], first: Artifact, second: Artifact) -> None:
    """The second was made with the options that count of the first.

    Raises:
        ArtifactError: naming the first difference.
    """
    for key, value in values.items():
        typed = f"--{key.replace('_', '-')}"
        require_equal(typed, first, value, second, second.options.get(key))


def read_descriptors(artifact: Described, progress: Progress) -> Descriptors:
    """Of a ``features`` or a ``regions`` artifact.

    Raises:
        ArtifactError: not one vector is usable.
    """
    vectors = artifact.descriptors.astype(np.float32, copy=False)
    good = artifact.status == 0
    offsets = artifact.offsets if isinstance(artifact, Regions) else np.arange(len(good) + 1)
    usable = np.repeat(good, np.diff(offsets))
    broken = usable & ~np.isfinite(vectors).all(axis=1)
    usable = usable & ~broken
    zero = usable & ~vectors.any(axis=1)
    for found, what in (
        (broken, "are not finite and are left out"),
        (zero, "are zero and similar to nothing"),
    ):
        if found.any():
            row = int(np.searchsorted(offsets, np.argmax(found), side="right")) - 1
            progress.message(
                f"{artifact.path}: {found.sum()} descriptors {what}, e.g. {artifact.names[row]}"
            )
    if not usable.any():
        raise ArtifactError("no row is usable", where=artifact.path)
    if not usable.all():
        vectors = np.where(usable[:, None], vectors, np.float32(0))
    return Descriptors(vectors, usable, offsets.astype(np.int64))


def read_usable(features: Described, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and which of them are usable; see ``read_descriptors``."""
    found = read_descriptors(features, progress)
    return found.vectors, found.usable
