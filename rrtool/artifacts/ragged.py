"""Rows of different length: concatenated values, and offsets that say where each row begins.

Texts (file names, reasons) are such rows of bytes; any bytes are allowed.
"""

import os
from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def offsets_of(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """``(n + 1,)`` int64 from the ``n`` lengths, in any shape."""
    offsets = np.zeros(np.size(counts) + 1, dtype=np.int64)
    np.cumsum(np.ravel(counts), out=offsets[1:])
    return offsets


def encode_texts(texts: Sequence[str], name: str) -> dict[str, np.ndarray]:
    """Datasets ``<name>/bytes (total,) uint8`` and ``<name>/offsets (n + 1,) int64``.

    Surrogate escapes become the bytes they stand for, so every file name of the system fits.
    """
    encoded = [os.fsencode(text) for text in texts]
    return {
        f"{name}/bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8).copy(),
        f"{name}/offsets": offsets_of([len(text) for text in encoded]),
    }


def decode_texts(data: np.ndarray, offsets: np.ndarray) -> list[str]:
    """The inverse of ``encode_texts``."""
    joined = data.tobytes()
    return [os.fsdecode(joined[start:stop]) for start, stop in pairwise(offsets)]
