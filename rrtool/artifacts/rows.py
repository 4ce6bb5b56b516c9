"""Rows of an artifact over images, of whichever kind: which datasets they have, and taking some.

A dataset has one entry a row (``n …``), or several, which offsets divide (``n+1``, ``nS+1``); what
is neither, such as a mean, is of the collection as a whole.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rrtool.artifacts.kinds.images import OverImages
from rrtool.artifacts.ragged import offsets_of
from rrtool.artifacts.schema import Column, Texts, columns_of


@dataclass(frozen=True)
class RowLayout:
    """How the datasets of a kind belong to its rows.

    Attributes:
        plain: those with one entry a row.
        divided: those with several, each with the offsets that divide it.
    """

    plain: frozenset[str]
    divided: Mapping[str, str]

    @staticmethod
    def of(kind: type[OverImages]) -> RowLayout:
        columns = list(_columns(kind))
        axes = {column.name: column.shape.split()[0] for column in columns}
        divided: dict[str, str] = {}
        for offsets in columns:
            if offsets.offsets_of:
                axis = axes[offsets.offsets_of]
                alike = [name for name in axes if axes[name] == axis != "*"]
                divided |= dict.fromkeys([offsets.offsets_of, *alike], offsets.name)
        return RowLayout(frozenset(name for name in axes if axes[name] == "n"), divided)

    @property
    def names(self) -> frozenset[str]:
        """All datasets of the rows."""
        return self.plain | self.divided.keys() | frozenset(self.divided.values())


def _columns(kind: type[OverImages]) -> Iterator[Column]:
    """The declared datasets, those of texts too."""
    for column in columns_of(kind):
        yield from column.columns() if isinstance(column, Texts) else (column,)


class RowTable:
    """The rows of an open artifact.

    Args:
        artifact: over images; of its kind are the datasets.
    """

    def __init__(self, artifact: OverImages) -> None:
        self.layout = RowLayout.of(type(artifact))
        self.names = self.layout.names & set(artifact.dataset_names())
        self._artifact = artifact
        self._columns = {column.name: column for column in _columns(type(artifact))}
        self._bounds: dict[str, np.ndarray] = {}
        self._last: tuple[str, np.ndarray, np.ndarray] | None = None

    @property
    def content(self) -> frozenset[str]:
        """The datasets of its rows, but those that the list of images gives."""
        listed = (*OverImages.names.columns(), OverImages.file_signatures)
        return frozenset(self.names - {column.name for column in listed})

    def of_all(self) -> dict[str, np.ndarray]:
        """The datasets that are not of the rows, but of the collection as a whole."""
        others = set(self._artifact.dataset_names()) - self.layout.names
        return {name: self._artifact.read_named(name) for name in sorted(others)}

    def bounds(self, offsets: str) -> np.ndarray:
        """``(n + 1,)``: where the entries of each row begin and end.

        Raises:
            ArtifactError: the offsets are damaged.
        """
        if offsets not in self._bounds:
            found = self._artifact.read(self._columns[offsets])
            self._bounds[offsets] = found[:: self.entries_a_row(offsets)]
        return self._bounds[offsets]

    def entries_a_row(self, offsets: str) -> int:
        """In how many entries offsets divide a row: one, or one a scale."""
        _, (length,) = self._artifact.layout(offsets)
        return (length - 1) // max(1, self._artifact.lengths["n"]) or 1

    def n_entries(self, name: str, rows: np.ndarray) -> int:
        """The length of a dataset of some rows."""
        if name in self.layout.plain:
            return len(rows)
        if name in self.layout.divided:
            bounds = self.bounds(self.layout.divided[name])
            return int((bounds[rows + 1] - bounds[rows]).sum())
        return self.entries_a_row(name) * len(rows) + 1

    def read(self, name: str, rows: np.ndarray) -> np.ndarray:
        """What a dataset has of some rows; of offsets those that divide these alone.

        It is held until another one is asked for, since it is taken block by block.

        Raises:
            ArtifactError: it is damaged.
        """
        if self._last is None or self._last[0] != name or self._last[1] is not rows:
            self._last = name, rows, self._read(name, rows)
        return self._last[2]

    def _read(self, name: str, rows: np.ndarray) -> np.ndarray:
        if name in self.layout.divided:
            bounds = self.bounds(self.layout.divided[name])
            return self._joined(name, [(bounds[a], bounds[b]) for a, b in _runs(rows)])
        if name in self.layout.plain:
            return self._joined(name, _runs(rows))
        step = self.entries_a_row(name)
        ends = [slice(step * a, step * b + 1) for a, b in _runs(rows)]
        counts = [np.diff(self._artifact.read_named(name, each)) for each in ends]
        return offsets_of(np.concatenate([np.zeros(0, np.int64), *counts]))

    def _joined(self, name: str, ends: Sequence[tuple[int, int]]) -> np.ndarray:
        found = [self._artifact.read_named(name, slice(int(a), int(b))) for a, b in ends]
        return np.concatenate(found or [self._artifact.read_named(name, slice(0))])


@dataclass(frozen=True)
class TakenRows:
    """The datasets of some rows of an artifact, in any order: a part of another one.

    Attributes:
        rows: ids in the artifact.
        names: of the datasets that are taken.
        given: other datasets of these rows, in place of the artifact's.
    """

    table: RowTable
    rows: np.ndarray
    names: Collection[str]
    given: Mapping[str, np.ndarray]

    @property
    def lengths(self) -> dict[str, int]:
        """By dataset."""
        taken = {name: self.table.n_entries(name, self.rows) for name in self.names}
        return taken | {name: len(values) for name, values in self.given.items()}

    def read(self, name: str, places: slice = slice(None)) -> np.ndarray:
        """Entries of a dataset.

        Raises:
            ArtifactError: the artifact is damaged.
        """
        if name in self.given:
            return self.given[name][places]
        return self.table.read(name, self.rows)[places]


def put_rows(
    kind: type[OverImages], into: Mapping[str, np.ndarray], places: np.ndarray, rows: TakenRows
) -> dict[str, np.ndarray]:
    """The datasets of a part with rows of another artifact in the place of its own.

    Args:
        into: of the part: all that ``rows`` have.
        places: in the part, of each of the rows.
    """
    layout, n = RowLayout.of(kind), len(into["status"])
    result = {}
    for name, own in into.items():
        if name in layout.plain:
            result[name] = own.copy()
            result[name][places] = rows.read(name)
        elif name not in layout.divided:
            counts = np.diff(own).reshape(n, -1)
            counts[places] = np.diff(rows.read(name)).reshape(len(places), -1)
            result[name] = offsets_of(counts)
        else:
            offsets = layout.divided[name]
            entries = np.split(own, _inner_bounds(into[offsets], n))
            taken = np.split(rows.read(name), _inner_bounds(rows.read(offsets), len(places)))
            for place, each in zip(places, taken, strict=True):
                entries[place] = each
            result[name] = np.concatenate(entries)
    return result


def _inner_bounds(offsets: np.ndarray, n_rows: int) -> np.ndarray:
    """Where the entries of each row but the first begin."""
    return offsets[:: (len(offsets) - 1) // n_rows][1:-1]


def _runs(rows: np.ndarray) -> list[tuple[int, int]]:
    """First and end of each run of rows that follow each other."""
    if not len(rows):
        return []
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, breaks)]
