"""Parts of an artifact joined into one file."""

from pathlib import Path
from typing import Any

import h5py

from rrtool.artifacts.digests import dataset_names

_COPY_ROWS = 1 << 16
_COMPRESSED: dict[str, Any] = {"compression": "lzf", "shuffle": True, "chunks": True}


def join_parts(parts: list[Path], target: h5py.File, compress: frozenset[str]) -> None:
    """Concatenate the datasets of the parts, part by part, block by block."""
    lengths: dict[str, int] = {}
    for part in parts:
        with h5py.File(part, "r", locking=False) as source:
            for name in dataset_names(source):
                first = int(_is_offsets(name))  # the 0 that only the first part's offsets keep
                lengths[name] = lengths.get(name, first) + len(source[name]) - first
    written = dict.fromkeys(lengths, 0)
    for part in parts:
        with h5py.File(part, "r", locking=False) as source:
            for name in lengths:
                if name not in target:
                    storage = _COMPRESSED if name in compress and lengths[name] else {}
                    shape = (lengths[name], *source[name].shape[1:])
                    target.create_dataset(name, shape, source[name].dtype, **storage)
                _append(target[name], source[name], name, written)


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
