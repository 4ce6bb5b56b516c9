"""Open an artifact, and tell a damaged or foreign file from a good one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from rrtool.artifacts.names import decode_texts
from rrtool.artifacts.provenance import InputRecord
from rrtool.errors import ArtifactError, UsageError

FORMAT_VERSION = 1
_HASH_BLOCK_ROWS = 1 << 16
# What h5py raises on damaged metadata and data.
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)


class Artifact:
    """A complete artifact, open for reading; use it as a context manager.

    Attributes:
        path: as the user wrote it.
        kind: artifact kind.
        uuid: of this very file.
        digest: of all its datasets; equal digests mean equal contents.
        options, network: as in ``Provenance``.
        inputs: the records of its inputs.
    """

    def __init__(self, path: str, file: h5py.File) -> None:
        self.path = path
        self._file = file
        attributes = dict(file.attrs)
        self.kind: str = attributes["kind"]
        self.uuid: str = attributes["uuid"]
        self.digest: str = attributes["digest"]
        self.created: str = attributes["created"]
        self.rrtool_version: str = attributes["rrtool_version"]
        self.device: str = attributes["device"]
        self.command: list[str] = json.loads(attributes["command"])
        self.options: dict[str, Any] = json.loads(attributes["options"])
        self.network: dict[str, Any] = json.loads(attributes["network"])
        self.versions: dict[str, str] = json.loads(attributes["versions"])
        self.extra: dict[str, Any] = json.loads(attributes["extra"])
        self.inputs = [InputRecord(**record) for record in json.loads(attributes["inputs"])]

    def __enter__(self) -> Artifact:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._file

    def identity(self) -> dict[str, Any]:
        """As ``Provenance.identity``."""
        return {
            "kind": self.kind,
            "options": self.options,
            "inputs": {record.role: record.digest for record in self.inputs},
            "network": self.network,
        }

    def dataset_names(self) -> list[str]:
        """All datasets, sorted."""
        try:
            return dataset_names(self._file)
        except _DAMAGE as error:
            raise _damaged(self.path, error) from None

    def shape(self, name: str) -> tuple[int, ...]:
        return self._dataset(name).shape

    def dtype(self, name: str) -> np.dtype:
        return self._dataset(name).dtype

    def read(self, name: str, rows: slice = slice(None)) -> np.ndarray:
        """The rows of a dataset, or all of one without rows (a single number).

        Raises:
            ArtifactError: there is no such dataset, or its bytes are damaged.
        """
        dataset = self._dataset(name)
        try:
            return dataset[rows] if dataset.ndim else np.asarray(dataset[()])
        except _DAMAGE as error:
            raise _damaged(self.path, error) from None

    def read_texts(self, name: str) -> list[str]:
        """A column of texts."""
        return decode_texts(self.read(f"{name}/bytes"), self.read(f"{name}/offsets"))

    def as_input(self, role: str) -> InputRecord:
        """The record of this artifact as an input of a stage."""
        return InputRecord(role, self.path, self.kind, self.uuid, self.digest)

    def computed_digest(self) -> str:
        """The digest of the datasets as they are now (reads everything)."""
        try:
            return content_digest(self._file)
        except _DAMAGE as error:
            raise _damaged(self.path, error) from None

    def _dataset(self, name: str) -> h5py.Dataset:
        try:
            item = self._file.get(name)
        except _DAMAGE as error:
            raise _damaged(self.path, error) from None
        if not isinstance(item, h5py.Dataset):
            raise ArtifactError(
                f"there is no {name} in this {self.kind} artifact",
                where=self.path,
                todo="make it again with this version of rrtool",
            )
        return item


def open_artifact(path: str | Path, *kinds: str) -> Artifact:
    """Open a complete artifact of one of ``kinds`` (of any kind if none is given).

    Raises:
        UsageError: there is no such file, or it can't be read.
        ArtifactError: it is no artifact, damaged, of a newer format, or of another kind.
    """
    path = str(path)
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise UsageError("cannot read the artifact", where=path, found=error.strerror) from None
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise _damaged(path, error) from None
    try:
        return _checked(path, file, kinds)
    except _DAMAGE as error:
        file.close()
        raise _damaged(path, error) from None
    except BaseException:
        file.close()
        raise


def _checked(path: str, file: h5py.File, kinds: tuple[str, ...]) -> Artifact:
    attributes = file.attrs
    if "kind" not in attributes or "format_version" not in attributes:
        raise ArtifactError(
            "an HDF5 file, but not one of rrtool's", where=path, expected=_one_of(kinds)
        )
    try:
        version = int(attributes["format_version"])
    except (ValueError, TypeError):
        raise ArtifactError("damaged artifact: its format_version", where=path) from None
    if version > FORMAT_VERSION:
        raise ArtifactError(
            "written by a newer rrtool",
            where=path,
            expected=f"format {FORMAT_VERSION} or older",
            found=f"format {version}",
            todo="update rrtool",
        )
    if not attributes.get("complete", False):
        raise ArtifactError("the artifact is not complete", where=path, todo="make it again")
    if kinds and attributes["kind"] not in kinds:
        raise ArtifactError(
            "an artifact of another kind",
            where=path,
            expected=_one_of(kinds),
            found=attributes["kind"],
        )
    try:
        return Artifact(path, file)
    except _DAMAGE as error:
        raise ArtifactError(f"damaged artifact: its attributes ({error})", where=path) from None


def _one_of(kinds: tuple[str, ...]) -> str:
    return " or ".join(kinds) or "an artifact"


def _damaged(path: str, error: Exception) -> ArtifactError:
    text = (str(error) or type(error).__name__).splitlines()[0]
    detail = text[text.find("(") + 1 : text.rfind(")")] if "(" in text else text
    return ArtifactError(
        "damaged, cut short, or not an HDF5 file", where=path, found=detail, todo="make it again"
    )


def dataset_names(file: h5py.File) -> list[str]:
    names: list[str] = []
    file.visititems(
        lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
    )
    return sorted(names)


def content_digest(file: h5py.File) -> str:
    """BLAKE2b-128 of the names, types, shapes and bytes of all datasets."""
    digest = hashlib.blake2b(digest_size=16)
    for name in dataset_names(file):
        dataset = file[name]
        digest.update(f"{name}\0{dataset.dtype.str}\0{dataset.shape}\0".encode())
        if dataset.ndim == 0:
            digest.update(np.ascontiguousarray(dataset[()]).tobytes())
            continue
        for start in range(0, dataset.shape[0], _HASH_BLOCK_ROWS):
            digest.update(np.ascontiguousarray(dataset[start : start + _HASH_BLOCK_ROWS]).data)
    return digest.hexdigest()
