"""Parts of an artifact joined into one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py

from rrtool.artifacts.content import dataset_names

_COPY_ROWS = 1 << 16


def join_parts(parts: list[Path], target: h5py.File, compress: frozenset[str]) -> None:
    """Concatenate the datasets of the parts, part by part, block by block."""
    lengths: dict[str, int] = {}
    for part in parts:
        with h5py.File(part, "r", locking=False) as source:
            for name in dataset_names(source):
                is_offsets = name.rpartition("/")[2] == "offsets"
                lengths[name] = lengths.get(name, int(is_offsets)) + len(source[name]) - is_offsets
    written = dict.fromkeys(lengths, 0)
    for part in parts:
        with h5py.File(part, "r", locking=False) as source:
            for name in lengths:
                _create_like(target, name, source[name], lengths[name], name in compress)
                _append(target[name], source[name], name, written)


def _create_like(
    target: h5py.File, name: str, source: h5py.Dataset, length: int, compress: bool
) -> None:
    if name in target:
        return
    shape = (length, *source.shape[1:])
    storage: dict[str, Any] = {}
    if compress and length:
        storage = {"compression": "lzf", "shuffle": True, "chunks": True}
    target.create_dataset(name, shape, source.dtype, **storage)


def _append(target: h5py.Dataset, source: h5py.Dataset, name: str, written: dict[str, int]) -> None:
    start = written[name]
    if name.rpartition("/")[2] == "offsets":
        base = int(target[start]) if start else 0
        target[start : start + len(source)] = source[()] + base
        written[name] += len(source) - 1
        return
    for block in range(0, len(source), _COPY_ROWS):
        values = source[block : block + _COPY_ROWS]
        target[start + block : start + block + len(values)] = values
    written[name] += len(source)
