"""Artifacts that somebody has changed by hand, for the tests of wrong input."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np


def damaged(
    source: Path,
    target: Path,
    datasets: Mapping[str, np.ndarray | None] | None = None,
    **attributes: Mapping[str, object],
) -> Path:
    """A copy with other datasets (None: without one), and other entries in JSON attributes."""
    shutil.copy(source, target)
    with h5py.File(target, "r+") as file:
        for name, values in (datasets or {}).items():
            del file[name]
            if values is not None:
                file[name] = values
        for name, entries in attributes.items():
            content = json.loads(file.attrs[name]) | entries
            kept = {key: value for key, value in content.items() if value is not None}
            file.attrs[name] = json.dumps(kept)
    return target
