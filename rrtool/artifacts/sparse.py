"""Arrays that are mostly zero: which of their values are not, one bit each, and those values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sparse:
    """A flat float32 array, without loss.

    Attributes:
        bits: ``(ceil(n / 8),)`` uint8, which values are not zero, the first in the highest bit.
        values: ``(m,)`` float32, those that are not; −0 is one of them.
        size: n.
    """

    bits: np.ndarray
    values: np.ndarray
    size: int

    @staticmethod
    def of(flat: np.ndarray) -> Sparse:
        """From ``(n,)`` float32, contiguous."""
        present = flat.view(np.int32) != 0
        return Sparse(np.packbits(present), flat[present], flat.size)

    @property
    def nbytes(self) -> int:
        return self.bits.nbytes + self.values.nbytes

    def dense(self) -> np.ndarray:
        """``(n,)`` float32.

        Raises:
            ValueError: bits and values do not fit together.
        """
        if len(self.bits) != -(-self.size // 8):
            raise ValueError(f"{len(self.bits)} bytes of bits for {self.size} values")
        present = np.unpackbits(self.bits, count=self.size).view(bool)
        if np.count_nonzero(present) != len(self.values):
            raise ValueError(f"{np.count_nonzero(present)} bits are set, of {len(self.values)}")
        flat = np.zeros(self.size, np.float32)
        flat[present] = self.values
        return flat


def to_half(values: np.ndarray) -> tuple[np.ndarray, float]:
    """Round values to float16, in a unit that fits them.

    The unit is the power of two that brings the largest between 2^14 and 2^15, so that none
    overflows, however large, and scaling itself rounds nothing. Values down to 2^-28 of the
    largest keep a relative error of 2^-11; smaller ones an absolute error of 2^-39 of it.

    Args:
        values: ``(m,)`` float32, finite.

    Returns:
        ``(m,)`` float16, and the unit: they times it are the values.
    """
    exponent = math.frexp(float(np.abs(values).max(initial=0)))[1]
    unit = math.ldexp(1.0, max(exponent - 15, -126))  # not below the normal numbers of float32
    return (values / np.float32(unit)).astype(np.float16), unit
