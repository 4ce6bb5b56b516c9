"""Rows of different length: concatenated values, and offsets that say where each row begins.

Texts (file names, reasons) are such rows of bytes; any bytes are allowed.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


def offsets_of(counts: Sequence[int] | np.ndarray) -> np.ndarray:
    """``(n + 1,)`` int64 from the ``n`` lengths, in any shape."""
    offsets = np.zeros(np.size(counts) + 1, dtype=np.int64)
    np.cumsum(np.ravel(counts), out=offsets[1:])
    return offsets


@dataclass(frozen=True, eq=False)
class EncodedTexts(Sequence[str]):
    """Texts as they are stored, each decoded when it is asked for: a million names at once take a
    hundred bytes each, and these ten.

    Attributes:
        data, offsets: see ``encode_texts``.
    """

    data: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row):  # untyped: a Sequence has one overload for ids, one for slices
        if isinstance(row, slice):
            return [self[i] for i in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        start, stop = self.offsets[row : row + 2]
        return os.fsdecode(self.data[start:stop].tobytes())

    def __iter__(self) -> Iterator[str]:
        return iter(decode_texts(self.data, self.offsets))

    def is_same(self, other: Sequence[str]) -> bool:
        """Whether the other ones are stored so, too, and are equal."""
        return (
            isinstance(other, EncodedTexts)
            and np.array_equal(self.offsets, other.offsets)
            and np.array_equal(self.data, other.data)
        )


def encode_texts(texts: Sequence[str], name: str) -> dict[str, np.ndarray]:
    """Datasets ``<name>/bytes (total,) uint8`` and ``<name>/offsets (n + 1,) int64``.

    Surrogate escapes become the bytes they stand for, so every file name of the system fits.
    """
    if isinstance(texts, EncodedTexts):
        return {f"{name}/bytes": texts.data, f"{name}/offsets": texts.offsets}
    encoded = [os.fsencode(text) for text in texts]
    return {
        f"{name}/bytes": np.frombuffer(b"".join(encoded), dtype=np.uint8).copy(),
        f"{name}/offsets": offsets_of([len(text) for text in encoded]),
    }


def decode_texts(data: np.ndarray, offsets: np.ndarray) -> list[str]:
    """The inverse of ``encode_texts``."""
    joined, bounds = data.tobytes(), pairwise(offsets.tolist())
    if joined.isascii():  # decoded at once, a million names take a fifth of the time
        text = joined.decode("ascii")
        return [text[start:stop] for start, stop in bounds]
    return [os.fsdecode(joined[start:stop]) for start, stop in bounds]
