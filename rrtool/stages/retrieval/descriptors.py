"""Descriptors of features (one a row) and of regions (several an image), read and compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
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
from rrtool.artifacts.digests import digests_of_rows
from rrtool.core.retrieval.ranking import ROWS_PER_BLOCK
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

    @cached_property
    def is_vertex(self) -> np.ndarray:
        """``(r,)`` bool, the vectors that are usable and not zero."""
        return self.usable & self.vectors.any(axis=1)

    @property
    def vertices(self) -> np.ndarray:
        """``(m,)`` int32, where they are."""
        return np.flatnonzero(self.is_vertex).astype(np.int32)

    @cached_property
    def digests(self) -> np.ndarray:
        """BLAKE2b-128 of each vector, ``(r, 16)`` uint8; zero for those that are no vertices."""
        return digests_of_rows(self.vectors, self.is_vertex)

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
    offsets = offsets_of_images(artifact)
    states = _clean(vectors, np.repeat(good, np.diff(offsets)))
    _tell(artifact, states, offsets, progress)
    return Descriptors(vectors, states[0], offsets)


def read_blocks(features: Features, progress: Progress) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Vectors and which of them are usable as by ``read_usable``, some rows at a time.

    Raises:
        ArtifactError: not one vector is usable, which shows at the end.
    """
    for block in read_image_blocks(features, progress):
        yield block.vectors, block.usable


def read_image_blocks(artifact: Described, progress: Progress) -> Iterator[Descriptors]:
    """The descriptors of some images at a time, at most ``ROWS_PER_BLOCK`` vectors or one image.

    Raises:
        ArtifactError: not one vector is usable, which shows at the end.
    """
    good, states = artifact.status == 0, [np.zeros((3, 0), dtype=bool)]
    offsets = offsets_of_images(artifact)
    first, column = 0, type(artifact).descriptors
    while first < len(good):
        last = int(np.searchsorted(offsets, offsets[first] + ROWS_PER_BLOCK, side="right")) - 1
        last = max(last, first + 1)
        rows = slice(int(offsets[first]), int(offsets[last]))
        vectors = artifact.read(column, rows).astype(np.float32, copy=False)
        own = offsets[first : last + 1] - rows.start
        states.append(_clean(vectors, np.repeat(good[first:last], np.diff(own))))
        yield Descriptors(vectors, states[-1][0], own)
        first = last
    _tell(artifact, np.concatenate(states, axis=1), offsets, progress)


def offsets_of_images(artifact: Described) -> np.ndarray:
    """``(n + 1,)`` int64, the vectors of each image."""
    if isinstance(artifact, Regions):
        return artifact.offsets.astype(np.int64)
    return np.arange(artifact.lengths["n"] + 1, dtype=np.int64)


def _clean(vectors: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Make vectors that are not usable zero, in place.

    Returns:
        ``(3, r)`` bool: those usable; those good, but not finite; those usable, but zero.
    """
    broken, zero = np.zeros((2, len(good)), dtype=bool)
    with np.errstate(all="ignore"):
        squares = np.einsum("ij,ij->i", vectors, vectors)
    # Where the sum is a number and not 0, so are all; only the others need a look at each value.
    odd = np.flatnonzero(good & ~((squares > 0) & (squares < np.inf)))
    broken[odd] = ~np.isfinite(vectors[odd]).all(axis=1)
    zero[odd] = ~vectors[odd].any(axis=1)
    usable = good & ~broken
    vectors[~usable] = 0
    return np.stack([usable, broken, zero])


def _tell(artifact: Described, states: np.ndarray, offsets: np.ndarray, progress: Progress) -> None:
    """Say how many vectors are left out or zero; see ``_clean``."""
    usable, broken, zero = states
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


def read_usable(features: Described, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and which of them are usable; see ``read_descriptors``."""
    found = read_descriptors(features, progress)
    return found.vectors, found.usable
