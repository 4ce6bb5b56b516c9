"""Rows of different length: concatenated values, and offsets that say where each row begins."""

from collections.abc import Sequence

import numpy as np


def offsets_of(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """``(n + 1,)`` int64 from the ``n`` lengths, in any shape."""
    offsets = np.zeros(np.size(counts) + 1, dtype=np.int64)
    np.cumsum(np.ravel(counts), out=offsets[1:])
    return offsets
