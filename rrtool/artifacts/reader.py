"""Open an artifact, and tell a damaged or foreign file from a good one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

import h5py
import numpy as np

from rrtool.artifacts.attributes import Attributes
from rrtool.artifacts.digests import content_digest
from rrtool.artifacts.provenance import InputRecord, identity_of
from rrtool.artifacts.schema import Column, Texts, columns_of, schema_of
from rrtool.artifacts.verified import VerifiedFile
from rrtool.errors import ArtifactError, NewerArtifact, NoArtifact, UsageError
from rrtool.files import require_place, write_durably, write_failures
from rrtool.tables import table_lines

if TYPE_CHECKING:
    from typing_extensions import Self

FORMAT_VERSION = 3
FIRST_WITH_CHECKSUMS, FIRST_WITHOUT_TIMES = 2, 3


class Artifact:
    """A complete artifact, open for reading; use it as a context manager.

    A kind of artifact is a subclass, which declares its datasets (``artifacts.schema``).

    Attributes:
        path: as the user wrote it.
        kind: artifact kind.
        uuid: of this very file.
        digest: of all its datasets but the times of files; equal digests mean equal contents.
        options, network: as in ``Provenance``.
        asked: the options as they were asked for; empty in files of older versions.
        inputs: the records of its inputs.
        extra: facts found on the way.
        microseconds_a_row: that the work took; 0 where it does not say.
        lengths: the lengths that its schema names, such as ``n``.
        attributes: all of the file, to check more of them.
    """

    KIND: ClassVar[str] = ""
    # Entries that ``extra`` and ``options`` of the kind must have, and their types.
    FACTS: ClassVar[Mapping[str, type | tuple[type, ...]]] = {}
    OPTIONS: ClassVar[Mapping[str, type | tuple[type, ...]]] = {}

    def __init__(self, file: VerifiedFile, attributes: Attributes) -> None:
        self.path = file.path
        self._file = file
        self.attributes = attributes
        self.kind: str = attributes.text("kind")
        self.uuid: str = attributes.text("uuid")
        self.digest: str = attributes.text("digest")
        self.created: str = attributes.text("created")
        self.rrtool_version: str = attributes.text("rrtool_version")
        self.device: str = attributes.text("device")
        self.command: list[str] = attributes.json("command", list)
        self.options: dict[str, Any] = attributes.json("options", dict)
        self.network: dict[str, Any] = attributes.json("network", dict)
        self.versions: dict[str, str] = attributes.json("versions", dict)
        self.extra: dict[str, Any] = attributes.json("extra", dict)
        self.inputs = [attributes.record(entry) for entry in attributes.json("inputs", list)]
        self.asked = attributes.json("asked", dict) if "asked" in attributes else {}
        rate = "microseconds_a_row"
        self.microseconds_a_row = attributes.number(rate) if rate in attributes else 0
        attributes.require("extra", self.extra, self.FACTS)
        attributes.require("options", self.options, self.OPTIONS)
        self.lengths: dict[str, int] = {}
        for column in columns_of(type(self)):
            column.check_layout(self, self.lengths)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __contains__(self, column: Column) -> bool:
        stored = column.columns() if isinstance(column, Texts) else (column,)
        return all(each.name in self._file.datasets for each in stored)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path}>"

    def identity(self) -> dict[str, Any]:
        """As ``Provenance.identity``."""
        return identity_of(self.kind, self.options, self.inputs, self.network)

    def input(self, role: str) -> InputRecord:
        """The record of one input.

        Raises:
            ArtifactError: there is none of this role.
        """
        for record in self.inputs:
            if record.role == role:
                return record
        raise ArtifactError(f"the artifact does not say what {role} it is of", where=self.path)

    def provenance(self) -> dict[str, Any]:
        """How it was made, JSON-compatible."""
        return {
            "kind": self.kind,
            "uuid": self.uuid,
            "created": self.created,
            "rrtool": self.rrtool_version,
            "command": " ".join(map(str, self.command)),
            "device": self.device,
            "options": self.options,
            "network": self.network,
            "inputs": [
                {"role": record.role, "kind": record.kind, "path": record.path}
                for record in self.inputs
            ],
            "facts": self.extra,
            "versions": self.versions,
        }

    def dataset_names(self) -> list[str]:
        """All datasets, sorted."""
        return list(self._file.datasets)

    def layout(self, name: str) -> tuple[np.dtype, tuple[int, ...]]:
        """Type and shape of a dataset, from its header."""
        dataset = self._dataset(name)
        return dataset.dtype, dataset.shape

    def n_bytes(self, *columns: Column) -> int:
        """What columns take when they are read, from their headers; of those not there nothing."""
        stored = [self.layout(each.name) for each in columns if each in self]
        return sum(dtype.itemsize * math.prod(shape) for dtype, shape in stored)

    def read(self, column: Column, rows: slice = slice(None)) -> np.ndarray:
        """Rows of a column.

        Raises:
            ArtifactError: there is no such dataset, its bytes are damaged, or its values are not
                as the schema declares them.
        """
        name = column.stand_in if column.stand_in and column not in self else column.name
        values = self.read_named(name, rows)
        column.check_values(self, values, whole=rows == slice(None))
        return values

    def read_named(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        """Rows of a dataset by its name, or all of one without rows (a single number)."""
        self._dataset(name)  # which there has to be
        return self._file.read(name, rows)

    def damaged(self, found: object, what: str = "", expected: object = None) -> ArtifactError:
        """The error for content that its kind cannot have."""
        text = f"damaged {self.kind}: {what}" if what else f"damaged {self.kind}"
        return ArtifactError(
            text, where=self.path, expected=expected, found=found, todo="make it again"
        )

    def shaped(self, values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """A part of a flat column in its shape.

        Raises:
            ArtifactError: it has another number of values.
        """
        if values.size != math.prod(shape):
            expected = f"{math.prod(shape)} values"
            raise self.damaged(values.size, "sizes and values do not fit together", expected)
        return values.reshape(shape)

    @classmethod
    def columns(cls, **values: Any) -> dict[str, np.ndarray]:
        """The datasets in which this kind stores values, by attribute; None is left out.

        Raises:
            ValueError: a value is of another type than declared, or of no column of the kind.
        """
        schema = schema_of(cls)
        datasets: dict[str, np.ndarray] = {}
        for attribute, value in values.items():
            if attribute not in schema:
                raise ValueError(f"{cls.KIND} has no {attribute}")
            if value is not None:
                datasets |= schema[attribute].stored(value)
        return datasets

    def rows(self) -> Iterator[Sequence[object]]:
        """The titles of a table of what the artifact holds, then its lines.

        Raises:
            UsageError: artifacts of this kind make no table.
        """
        raise UsageError(f"a {self.kind} artifact makes no table", where=self.path)

    def to_csv(self, path: str | Path) -> Path:
        """Write ``rows`` as a CSV file.

        Raises:
            UsageError: artifacts of this kind make no table, or there is no place for it.
            WorkFailed: it cannot be written.
        """
        path, rows = Path(path), self.rows()
        titles = next(iter(rows))
        require_place(path)
        with write_failures(path):
            write_durably(path, table_lines(chain([titles], rows)))
        return path

    def as_input(self, role: str) -> InputRecord:
        """The record of this artifact as an input of a stage."""
        return InputRecord(role, self.path, self.kind, self.uuid, self.digest)

    def computed_digest(self) -> str:
        """The digest of the datasets as they are now (reads everything)."""
        with_times = self.attributes.number("format_version") < FIRST_WITHOUT_TIMES
        with self._file.damage_told():
            return content_digest(self._file.datasets, with_times=with_times)

    def _dataset(self, name: str) -> h5py.Dataset:
        if name not in self._file.datasets:
            raise ArtifactError(
                f"there is no {name} in this {self.kind} artifact",
                where=self.path,
                todo="make it again with this version of rrtool",
            )
        return self._file.datasets[name]


A = TypeVar("A", bound=Artifact)


@overload
def open_artifact(path: str | Path) -> Artifact: ...
@overload
def open_artifact(path: str | Path, *kinds: type[A]) -> A: ...
def open_artifact(path: str | Path, *kinds: type[Any]) -> Any:
    """Open a complete artifact of one of ``kinds``, and check its schema.

    Without ``kinds`` it may be of any, and only what all have in common is known of it.

    Raises:
        UsageError: there is no such file, or it can't be read.
        ArtifactError: it is no artifact, damaged, of a newer format, of another kind, or has what
            no artifact has (``artifacts.structure``).
    """
    file = VerifiedFile(path)
    try:
        with file.damage_told():
            return _checked(file, kinds)
    except BaseException:
        file.close()
        raise


def _checked(file: VerifiedFile, kinds: tuple[type[Artifact], ...]) -> Artifact:
    attributes = Attributes(file.path, file.attributes)
    expected = " or ".join(kind.KIND for kind in kinds) or "an artifact"
    if "kind" not in attributes or "format_version" not in attributes:
        raise NoArtifact(
            "an HDF5 file, but not one of rrtool's", where=file.path, expected=expected
        )
    version = attributes.number("format_version")
    if version > FORMAT_VERSION:
        what, known = "written by a newer rrtool", f"format {FORMAT_VERSION} or older"
        found, todo = f"format {version}", "update rrtool"
        raise NewerArtifact(what, where=file.path, expected=known, found=found, todo=todo)
    if version >= FIRST_WITH_CHECKSUMS:
        file.require_checksums()
    if not attributes.is_true("complete"):
        raise ArtifactError("the artifact is not complete", where=file.path, todo="make it again")
    found = attributes.text("kind")
    for kind in kinds or (Artifact,):
        if kind is Artifact or found == kind.KIND:
            return kind(file, attributes)
    raise ArtifactError(
        "an artifact of another kind", where=file.path, expected=expected, found=found
    )
