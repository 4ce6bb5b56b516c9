"""What datasets a kind of artifact has: declared once, checked on opening, read and written by it.

    class Features(OverImages):
        KIND = "features"
        descriptors = Column("float32", "n d", "l2-normalised; zero where failed")

``features.descriptors`` reads the whole dataset, ``features.read(Features.descriptors, slice(9))``
some rows of it, and ``Features.columns(descriptors=…)`` is what ``OutputFile.publish`` writes.

A shape is a number or a length for each axis: ``n`` stands for the same number wherever it occurs
in the artifact, ``nS`` for the product of two, ``n+1`` for one more.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any, Protocol, overload

import numpy as np

from rrtool.artifacts.ragged import EncodedTexts, decode_texts, encode_texts
from rrtool.errors import ArtifactError


class Readable(Protocol):
    """What a column needs of an open artifact (``artifacts.reader.Artifact``)."""

    lengths: dict[str, int]

    def __contains__(self, column: Any) -> bool: ...
    def dataset_names(self) -> list[str]: ...
    def layout(self, name: str) -> tuple[np.dtype, tuple[int, ...]]: ...
    def read(self, column: Column) -> np.ndarray: ...
    def read_named(self, name: str) -> np.ndarray: ...
    def damaged(self, found: object, what: str, expected: object) -> ArtifactError: ...


@dataclass(eq=False)
class Column:
    """A dataset.

    Args:
        dtype: of its values; several are separated by spaces.
        shape: see the module.
        meaning: of its values, for the documents.
        name: of the dataset, where it is not that of the attribute.
        optional: whether an artifact may lack it.
        stand_in: another column, whose values are also its own where an artifact lacks it.
        offsets_of: it divides this dataset: starts at 0, never falls, ends at its length.
        ids_of: its values are rows, from −1 (none) up to this length.
        positive: its values are finite and not negative.
    """

    dtype: str
    shape: str
    meaning: str = ""
    _: KW_ONLY
    name: str = ""
    optional: bool = False
    stand_in: str = ""
    offsets_of: str = ""
    ids_of: str = ""
    positive: bool = False

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.name = self.name or attribute

    @overload
    def __get__(self, artifact: None, kind: type) -> Column: ...
    @overload
    def __get__(self, artifact: Readable, kind: type) -> np.ndarray: ...
    def __get__(self, artifact: Readable | None, kind: type) -> Column | np.ndarray:
        return self if artifact is None else artifact.read(self)

    def stored(self, values: Any) -> dict[str, np.ndarray]:
        """The datasets that hold these values.

        Raises:
            ValueError: they are of another type than declared.
        """
        array = np.asarray(values)
        if array.dtype.name not in self.dtype.split():
            declared = self.dtype.replace(" ", " or ")
            raise ValueError(f"{self.name} is {array.dtype}, declared {declared}")
        return {self.name: array}

    def check_layout(self, artifact: Readable, lengths: dict[str, int]) -> None:
        """Presence, type and shape, of the dataset's header alone.

        Raises:
            ArtifactError: they are not as declared.
        """
        if self.optional and self not in artifact:
            return
        dtype, shape = artifact.layout(self.name)
        declared = self.shape.split()
        if dtype.name not in self.dtype.split() or not _fits(shape, declared, lengths):
            raise artifact.damaged(
                f"{dtype.name} ({', '.join(map(str, shape))})",
                f"{self.name} has another type or length than it should",
                f"{self.dtype.replace(' ', ' or ')} {_words(declared, lengths)}",
            )

    def check_values(self, artifact: Readable, values: np.ndarray, *, whole: bool) -> None:
        """Offsets that grow, rows that exist, and numbers that may be summed.

        Raises:
            ArtifactError: they don't, or may not.
        """
        if not values.size or not (self.offsets_of or self.ids_of or self.positive):
            return
        low, high = values.min(), values.max()
        if self.positive:
            good, expected = low >= 0 and high < np.inf, "finite numbers, none below 0"
        elif self.ids_of:
            limit = artifact.lengths.get(self.ids_of, 0)
            good, expected = low >= -1 and high < limit, f"rows below {limit}"
        else:
            limit = artifact.layout(self.offsets_of)[1][0]
            ends = not whole or (values[0] == 0 and values[-1] == limit)
            good = ends and low >= 0 and high <= limit and bool((np.diff(values) >= 0).all())
            expected = f"offsets that grow from 0 to {limit}"
        if not good:
            found = "others" if self.offsets_of else f"{low} to {high}"
            raise artifact.damaged(found, self.name, expected)


class Texts(Column):
    """A column of texts: two datasets, ``<name>/bytes`` and ``<name>/offsets``."""

    def __init__(self, length: str, meaning: str = "", **more: Any) -> None:
        super().__init__("texts", length, meaning, **more)

    @overload  # type: ignore[override]
    def __get__(self, artifact: None, kind: type) -> Texts: ...
    @overload
    def __get__(self, artifact: Readable, kind: type) -> list[str]: ...
    def __get__(self, artifact: Readable | None, kind: type) -> Texts | list[str]:
        if artifact is None:
            return self
        data, offsets = self.columns()
        return decode_texts(artifact.read(data), artifact.read(offsets))

    def encoded(self, artifact: Readable) -> EncodedTexts:
        """The texts, not decoded yet: for those who need few of them, or none."""
        data, offsets = self.columns()
        return EncodedTexts(artifact.read(data), artifact.read(offsets))

    def stored(self, values: Sequence[str]) -> dict[str, np.ndarray]:
        return encode_texts(values, self.name)

    def check_layout(self, artifact: Readable, lengths: dict[str, int]) -> None:
        for column in self.columns():
            column.check_layout(artifact, lengths)

    def columns(self) -> tuple[Column, Column]:
        """The two datasets."""
        data, offsets = f"{self.name}/bytes", f"{self.name}/offsets"
        return (
            Column("uint8", "*", name=data, optional=self.optional),
            Column(
                "int64", f"{self.shape}+1", name=offsets, optional=self.optional, offsets_of=data
            ),
        )


class Group:
    """Datasets under one prefix, by names that the schema does not know.

    Args:
        meaning: of them, for the documents.
        prefix: of their names, where it is not that of the attribute.
    """

    prefix: str

    def __init__(self, meaning: str = "", prefix: str | None = None) -> None:
        self.meaning = meaning
        self._given = prefix

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.prefix = f"{attribute}/" if self._given is None else self._given

    @overload
    def __get__(self, artifact: None, kind: type) -> Group: ...
    @overload
    def __get__(self, artifact: Readable, kind: type) -> dict[str, np.ndarray]: ...
    def __get__(self, artifact: Readable | None, kind: type) -> Group | dict[str, np.ndarray]:
        if artifact is None:
            return self
        names = [name for name in artifact.dataset_names() if name.startswith(self.prefix)]
        return {name.removeprefix(self.prefix): artifact.read_named(name) for name in names}

    def stored(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The datasets that hold these values."""
        return {self.prefix + name: np.asarray(value) for name, value in values.items()}


def schema_of(kind: type) -> dict[str, Column | Group]:
    """The declared datasets of a kind by attribute, those of its bases first."""
    found: dict[str, Column | Group] = {}
    for base in reversed(kind.__mro__):
        found |= {k: v for k, v in vars(base).items() if isinstance(v, (Column, Group))}
    return found


def columns_of(kind: type) -> Iterator[Column]:
    """The declared columns of a kind."""
    return (entry for entry in schema_of(kind).values() if isinstance(entry, Column))


def _fits(shape: Sequence[int], declared: Sequence[str], lengths: dict[str, int]) -> bool:
    """Whether a shape is as declared; lengths that are met for the first time are remembered."""
    if len(shape) != len(declared):
        return False
    return all(_fits_axis(n, axis, lengths) for n, axis in zip(shape, declared, strict=True))


def _fits_axis(n: int, axis: str, lengths: dict[str, int]) -> bool:
    if axis == "*":
        return True
    if axis.isdigit():
        return n == int(axis)
    letters, _, more = axis.partition("+")
    n -= int(more or 0)
    unknown = [letter for letter in letters if letter not in lengths]
    known = math.prod(lengths[letter] for letter in letters if letter in lengths)
    if not unknown:
        return n == known
    if not known:  # nothing, however long the unknown is
        return n == 0
    if n < 0 or len(unknown) > 1 or n % known:
        return False
    lengths[unknown[0]] = n // known
    return True


def _words(declared: Sequence[str], lengths: Mapping[str, int]) -> str:
    """A declared shape with the numbers that are known."""
    axes = []
    for axis in declared:
        letters, _, more = axis.partition("+")
        known = re.fullmatch("[A-Za-z]+", letters) and all(x in lengths for x in letters)
        n = math.prod(lengths[x] for x in letters) if known else 0
        axes.append(f"{n + int(more or 0)}" if known else axis)
    return f"({', '.join(axes)})"
