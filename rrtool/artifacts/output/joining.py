"""Parts of an artifact joined into one file."""

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np

from rrtool.artifacts.digests import content_digest
from rrtool.artifacts.verified import VerifiedFile
from rrtool.errors import ArtifactError, RrtoolError, WorkFailed


class PartSource(Protocol):
    """The datasets of a part: of a file, or of rows of another artifact."""

    @property
    def lengths(self) -> Mapping[str, int]: ...
    def read(self, name: str, rows: slice = ..., /) -> np.ndarray: ...


@dataclass(frozen=True)
class Derived:
    """A dataset that is made of one that the parts have, when they are joined.

    Attributes:
        source: name of that one.
        change: from any of its rows to those that are stored.
    """

    source: str
    change: Callable[[np.ndarray], np.ndarray]


# What gives each part, open for the time of a block.
Parts = Sequence[Callable[[], AbstractContextManager[PartSource]]]
SEAL = "seal"  # the attribute
_COPY_ROWS = 1 << 16
_COMPRESSED: dict[str, Any] = {"compression": "lzf", "shuffle": True, "chunks": True}


def join_parts(
    parts: Parts, target: h5py.File, compress: Collection[str], derived: Mapping[str, Derived]
) -> None:
    """Concatenate the datasets of the parts, part by part, block by block.

    Args:
        compress: datasets to store compressed.
        derived: further datasets, by name.

    Raises:
        WorkFailed: a part is damaged.
    """
    lengths: dict[str, int] = {}
    for part in parts:
        with part() as source:
            for name, length in source.lengths.items():
                first = int(_is_offsets(name))  # the 0 that only the first part's offsets keep
                lengths[name] = lengths.get(name, first) + length - first
    sources = {name: Derived(name, _same) for name in lengths} | dict(derived)
    written = dict.fromkeys(sources, 0)
    for part in parts:
        with part() as source:
            own_lengths = source.lengths
            for name, made in sources.items():
                if name not in target:
                    total = lengths[made.source]
                    storage = _COMPRESSED if name in compress and total else {}
                    like = made.change(source.read(made.source, slice(0)))
                    target.create_dataset(name, (total, *like.shape[1:]), like.dtype, **storage)
                start, length = written[name], own_lengths[made.source]
                if _is_offsets(name):
                    _append_offsets(target[name], source.read(name), start)
                    length -= 1
                else:
                    _append(target[name], source, made, slice(start, start + length))
                written[name] += length


def seal_of(datasets: Mapping[str, h5py.Dataset], key: str) -> str:
    """What only a part with these datasets of the run of this key has: see ``is_whole``."""
    return hashlib.blake2b(f"{key} {content_digest(datasets)}".encode(), digest_size=16).hexdigest()


def is_whole(part: Path, key: str) -> bool:
    """Whether a part is, to the last byte, as the run of this key wrote it."""
    try:
        with VerifiedFile(part) as file:
            file.verify()
            with file.damage_told():
                return file.attributes.get(SEAL) == seal_of(file.datasets, key)
    except RrtoolError:
        return False


@contextmanager
def open_part(part: Path) -> Iterator[VerifiedFile]:
    """A part, open for reading.

    Raises:
        WorkFailed: what is read of it is damaged.
    """
    try:
        with VerifiedFile(part) as file:
            file.require_checksums()
            yield file
    except ArtifactError as error:
        what, todo = "a finished part is damaged", "run the same command again: it makes it anew"
        raise WorkFailed(what, where=part, found=error.found, todo=todo) from None


def _is_offsets(name: str) -> bool:
    return name.rpartition("/")[2] == "offsets"


def _same(rows: np.ndarray) -> np.ndarray:
    return rows


def _append_offsets(target: h5py.Dataset, offsets: np.ndarray, start: int) -> None:
    """Shifted by where those before them end."""
    base = int(target[start]) if start else 0
    target[start : start + len(offsets)] = offsets + base


def _append(target: h5py.Dataset, source: PartSource, made: Derived, places: slice) -> None:
    length = places.stop - places.start
    for block in range(0, length, _COPY_ROWS):
        values = made.change(source.read(made.source, slice(block, block + _COPY_ROWS)))
        target[places.start + block : places.start + block + len(values)] = values
