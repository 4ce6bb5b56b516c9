"""Parts of an artifact joined into one file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from rrtool.artifacts.verified import VerifiedFile
from rrtool.errors import ArtifactError, RrtoolError, WorkFailed

_COPY_ROWS = 1 << 16
_COMPRESSED: dict[str, Any] = {"compression": "lzf", "shuffle": True, "chunks": True}


def join_parts(parts: list[Path], target: h5py.File, compress: frozenset[str]) -> None:
    """Concatenate the datasets of the parts, part by part, block by block.

    Raises:
        WorkFailed: a part is damaged.
    """
    lengths: dict[str, int] = {}
    for part in parts:
        with open_part(part) as source:
            for name, dataset in source.items():
                first = int(_is_offsets(name))  # the 0 that only the first part's offsets keep
                lengths[name] = lengths.get(name, first) + len(dataset) - first
    written = dict.fromkeys(lengths, 0)
    for part in parts:
        with open_part(part) as source:
            for name in lengths:
                if name not in target:
                    storage = _COMPRESSED if name in compress and lengths[name] else {}
                    shape = (lengths[name], *source[name].shape[1:])
                    target.create_dataset(name, shape, source[name].dtype, **storage)
                _append(target[name], source[name], name, written)


def is_whole(part: Path) -> bool:
    """Whether all bytes of a part are as they were written."""
    try:
        with VerifiedFile(part) as file:
            file.verify()
    except RrtoolError:
        return False
    return True


@contextmanager
def open_part(part: Path) -> Iterator[dict[str, h5py.Dataset]]:
    """The datasets of a part by name.

    Raises:
        WorkFailed: what is read of it is damaged.
    """
    try:
        with VerifiedFile(part) as file, file.damage_told():
            file.require_checksums()
            yield file.datasets
    except ArtifactError as error:
        what, todo = "a finished part is damaged", "run the same command again: it makes it anew"
        raise WorkFailed(what, where=part, found=error.found, todo=todo) from None


def _is_offsets(name: str) -> bool:
    return name.rpartition("/")[2] == "offsets"


def _append(target: h5py.Dataset, source: h5py.Dataset, name: str, written: dict[str, int]) -> None:
    start = written[name]
    if _is_offsets(name):
        base = int(target[start]) if start else 0
        target[start : start + len(source)] = source[()] + base
        written[name] += len(source) - 1
        return
    for block in range(0, len(source), _COPY_ROWS):
        values = source[block : block + _COPY_ROWS]
        target[start + block : start + block + len(values)] = values
    written[name] += len(source)
