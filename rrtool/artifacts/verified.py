"""An HDF5 file that others may have made, damaged or tampered with, open for reading."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np

from rrtool.artifacts.heaps import VerifiedHeaps
from rrtool.artifacts.structure import plain_attributes, plain_datasets
from rrtool.errors import ArtifactError, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self


class VerifiedFile:
    """The datasets and root attributes of a file; use it as a context manager.

    Whatever is read of it has been compared with the file's checksums before, if it has any.

    Attributes:
        datasets: by name, sorted.
        attributes: texts and numbers of the root; of another, its type.
        has_checksums: whether there are any.

    Raises:
        UsageError: it can't be read.
        ArtifactError: it is no HDF5 file, damaged, or not of plain datasets of its own.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        try:
            self._bytes = VerifiedHeaps(path)
        except OSError as error:
            raise UsageError("cannot read the artifact", where=path, found=error.strerror) from None
        self.has_checksums = self._bytes.has_checksums
        try:
            with self.damage_told():
                self._file = h5py.File(self._bytes, "r")
                self.datasets = plain_datasets(self.path, self._file, self._bytes.length)
                self.attributes = plain_attributes(self._file)
                self._bytes.reads_data = True
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if hasattr(self, "_file"):
            self._file.close()
        self._bytes.close()

    @property
    def lengths(self) -> dict[str, int]:
        """By dataset that has rows."""
        return {name: len(dataset) for name, dataset in self.datasets.items() if dataset.ndim}

    def read(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        """Rows of a dataset, or all of one without rows (a single number).

        Raises:
            ArtifactError: its bytes are damaged.
        """
        dataset = self.datasets[name]
        with self.damage_told():
            return dataset[rows] if dataset.ndim else np.asarray(dataset[()])

    def verify(self) -> None:
        """Read every byte once.

        Raises:
            ArtifactError: something is not what was written, or there are no checksums to tell.
        """
        self.require_checksums()
        with self.damage_told():
            self._bytes.verify()

    def require_checksums(self) -> None:
        """Without them, a file that was written with them has been changed.

        Raises:
            ArtifactError: there are none.
        """
        if not self.has_checksums:
            raise ArtifactError(
                "its checksums are gone",
                where=self.path,
                expected="the file as rrtool wrote it",
                found="one that was cut short, or changed by another program",
                todo="make it again with --overwrite",
            )

    @contextmanager
    def damage_told(self) -> Iterator[None]:
        """What h5py raises on damaged metadata and data becomes an ``ArtifactError``."""
        try:
            yield
        except (OSError, RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
            text = (str(error) or type(error).__name__).splitlines()[0]
            raise ArtifactError(
                "damaged, cut short, or not an HDF5 file",
                where=self.path,
                found=text[text.find("(") + 1 : text.rfind(")")] if "(" in text else text,
                todo="make it again",
            ) from None
