"""Artifacts that somebody has changed by hand, for the tests of wrong input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from rrtool.artifacts.checksums import add_checksums


@contextmanager
def edited(path: str | Path) -> Iterator[h5py.File]:
    """A file open for changes that its checksums don't tell."""
    with h5py.File(path, "r+") as file:
        yield file
    with open(path, "r+b") as content:
        add_checksums(content)


def damaged(
    source: Path,
    target: Path,
    datasets: Mapping[str, np.ndarray | None] | None = None,
    **attributes: Mapping[str, object],
) -> Path:
    """A copy with other datasets (None: without one), and other entries in JSON attributes."""
    shutil.copy(source, target)
    with edited(target) as file:
        for name, values in (datasets or {}).items():
            del file[name]
            if values is not None:
                file[name] = values
        for name, entries in attributes.items():
            content = json.loads(file.attrs[name]) | entries
            kept = {key: value for key, value in content.items() if value is not None}
            file.attrs[name] = json.dumps(kept)
    return target
