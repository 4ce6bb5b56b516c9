"""Parts of an artifact joined into one file."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rrtool.artifacts.digests import content_digest
from rrtool.artifacts.verified import VerifiedFile
from rrtool.errors import ArtifactError, RrtoolError, WorkFailed

Change = Callable[[np.ndarray], np.ndarray]
Changes = Mapping[str, Change]
SEAL = "seal"  # the attribute
_COPY_ROWS = 1 << 16
_COMPRESSED: dict[str, Any] = {"compression": "lzf", "shuffle": True, "chunks": True}


def join_parts(
    parts: list[Path], target: h5py.File, compress: frozenset[str], changed: Changes
) -> None:
    """Concatenate the datasets of the parts, part by part, block by block.

    Args:
        compress: datasets to store compressed.
        changed: by dataset, from its rows as they are in the parts to those that are stored.

    Raises:
        WorkFailed: a part is damaged.
    """
    lengths: dict[str, int] = {}
    for part in parts:
        with open_part(part) as source:
            for name, dataset in source.datasets.items():
                first = int(_is_offsets(name))  # the 0 that only the first part's offsets keep
                lengths[name] = lengths.get(name, first) + len(dataset) - first
    written = dict.fromkeys(lengths, 0)
    for part in parts:
        with open_part(part) as source:
            for name in lengths:
                if name not in target:
                    storage = _COMPRESSED if name in compress and lengths[name] else {}
                    like = changed.get(name, _same)(source.read(name, slice(0)))
                    target.create_dataset(
                        name, (lengths[name], *like.shape[1:]), like.dtype, **storage
                    )
                _append(target[name], source, name, written, changed.get(name, _same))


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


def _append(
    target: h5py.Dataset, source: VerifiedFile, name: str, written: dict[str, int], change: Change
) -> None:
    start, length = written[name], len(source.datasets[name])
    if _is_offsets(name):
        base = int(target[start]) if start else 0
        target[start : start + length] = source.read(name) + base
        written[name] += length - 1
        return
    for block in range(0, length, _COPY_ROWS):
        values = change(source.read(name, slice(block, block + _COPY_ROWS)))
        target[start + block : start + block + len(values)] = values
    written[name] += length
