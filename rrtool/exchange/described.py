"""Descriptors that another program made, each with the name of its image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rrtool.errors import UsageError
from rrtool.exchange.names import places_of, require_names

# How far the length of a descriptor may be from 1: as far as single precision takes it.
_UNIT = 1e-5
_ROWS_AT_A_TIME = 1 << 14


@dataclass(frozen=True)
class Described:
    """Descriptors as they were read.

    Attributes:
        names: of the images, unique.
        vectors: ``(n, d)`` of any real type.
        image_sizes: ``(n, 2)`` int32, width and height of the images in pixels; None: not known.
    """

    names: list[str]
    vectors: np.ndarray
    image_sizes: np.ndarray | None = None

    @staticmethod
    def of(
        names: Sequence[str],
        vectors: np.ndarray,
        where: str,
        *,
        image_sizes: np.ndarray | None = None,
        from_list: str | None = None,
    ) -> "Described":
        """Descriptors and their names, checked.

        Args:
            where: the file, for messages.
            from_list: the list that the names come from, where they are not in the file.

        Raises:
            UsageError: they are no matrix of real numbers, or there are none; there are other
                numbers of names and rows; or a name occurs twice.
        """
        if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
            raise UsageError(
                "no matrix of descriptors", where=where, expected="numbers, a row an image",
                found=f"{vectors.dtype} {vectors.shape}",
            )  # fmt: skip
        if not vectors.size:
            raise UsageError("there are no descriptors in it", where=where, found=vectors.shape)
        if len(names) != len(vectors):
            raise UsageError(
                "there is another number of names than of descriptors", where=from_list or where,
                expected=f"{len(vectors)}, a name for each row", found=len(names),
            )  # fmt: skip
        require_names(names, from_list or where)
        return Described(list(names), vectors, image_sizes)

    def of_names(self, wanted: Sequence[str], where: str, source: str) -> "Described":
        """Those of some images, in their order.

        Args:
            where: the list of these names.
            source: where the descriptors come from.

        Raises:
            UsageError: there is none of one of these images.
        """
        rows = places_of(wanted, self.names, where, source)
        sizes = None if self.image_sizes is None else self.image_sizes[rows]
        return replace(self, names=list(wanted), vectors=self.vectors[rows], image_sizes=sizes)


@dataclass(frozen=True)
class Unit:
    """Descriptors of unit length.

    Attributes:
        vectors: ``(n, d)`` float32, zero where there is a reason.
        reasons: why a row is of no use; empty where it is.
        n_normalised: rows whose length was another.
    """

    vectors: np.ndarray
    reasons: list[str]
    n_normalised: int

    @staticmethod
    def of(vectors: np.ndarray) -> "Unit":
        """Divide by their lengths those that are not of unit length; the others keep every bit.

        Args:
            vectors: ``(n, d)`` of any real type; not changed.
        """
        unit = np.zeros(vectors.shape, dtype=np.float32)
        lengths = np.zeros(len(vectors))
        for start in range(0, len(vectors), _ROWS_AT_A_TIME):
            rows = slice(start, start + _ROWS_AT_A_TIME)
            block = vectors[rows].astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                lengths[rows] = np.linalg.norm(block, axis=1)
            usable = np.isfinite(lengths[rows]) & (lengths[rows] > 0)
            is_off = usable & (np.abs(lengths[rows] - 1) > _UNIT)
            block[is_off] /= lengths[rows][is_off, None]
            block[~usable] = 0
            unit[rows] = block
        is_finite, is_zero = np.isfinite(lengths), lengths == 0
        reasons = [
            "" if finite and not zero else "the descriptor is zero" if zero
            else "the descriptor is not finite"
            for finite, zero in zip(is_finite, is_zero, strict=True)
        ]  # fmt: skip
        n_normalised = (is_finite & ~is_zero & (np.abs(lengths - 1) > _UNIT)).sum()
        return Unit(unit, reasons, int(n_normalised))
