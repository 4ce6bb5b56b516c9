"""Files as the programs write them that the formats are of, each by its format's own library."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
from pyarrow import parquet

# In the order in which hloc's file has them.
NAMES = ["a.jpg", "b/1.jpg", "b/ü 2.jpg", "c,d.jpg", "e.jpg"]


def unit_vectors(n: int = len(NAMES), d: int = 6, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def write_names(path: Path, names: Sequence[str]) -> Path:
    path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return path


def write_npz(path: Path, vectors: np.ndarray, names: Sequence[str] = NAMES) -> Path:
    np.savez_compressed(path, paths=np.array(names), feats=vectors, labels=np.arange(len(names)))
    return path


def write_parquet(path: Path, vectors: np.ndarray, names: Sequence[str] = NAMES) -> Path:
    columns = {"file": pa.array(names), "label": pa.array(range(len(names))),
               "embedding": pa.array(vectors.tolist(), pa.list_(pa.float32()))}  # fmt: skip
    parquet.write_table(pa.table(columns), path)
    return path


def write_hloc(path: Path, vectors: np.ndarray, names: Sequence[str] = NAMES) -> Path:
    """As hloc/extract_features.py does."""
    for row, name in enumerate(names):
        with h5py.File(str(path), "a", libver="latest") as file:
            group = file.create_group(name)
            group.create_dataset("global_descriptor", data=vectors[row])
            group.create_dataset("image_size", data=np.array([100 + row, 50]))
    return path


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content, indent=4), encoding="utf-8")
    return path
