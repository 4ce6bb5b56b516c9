"""Write an artifact: in parts that survive a kill, joined and published at once at the end."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rrtool.artifacts.digests import content_digest
from rrtool.artifacts.output.current import is_current
from rrtool.artifacts.output.joining import is_whole, join_parts, open_part
from rrtool.artifacts.output.lock import output_lock
from rrtool.artifacts.output.storage import new_hdf5, write_failures
from rrtool.artifacts.provenance import Provenance
from rrtool.artifacts.reader import FORMAT_VERSION
from rrtool.artifacts.schema import Column
from rrtool.errors import UsageError
from rrtool.files import read_regular


class OutputFile:
    """The output of one run, made by ``create``.

    A long stage writes its rows in parts: each a small HDF5 file of its own beside the output,
    complete or absent, so that a kill at any moment costs the unfinished part only.
    ``publish`` joins them. A part holds the datasets of its rows under the names they have in
    the artifact; joining concatenates each along its first axis, and shifts ``offsets``.

    Attributes:
        path: the artifact to be.
        is_current: the artifact is there already, made with the same options from the same
            inputs: there is nothing to do.
    """

    def __init__(self, path: Path, provenance: Provenance, is_current: bool) -> None:
        self.path = path
        self.is_current = is_current
        self._provenance = provenance
        self._parts = path.with_name(f".{path.name}.parts")

    def missing_parts(self, n_parts: int) -> list[int]:
        """Which of the parts ``0 … n_parts - 1`` an earlier, interrupted run has not finished.

        One that was damaged since has not been, either.
        """
        key = self._provenance.resume_key()
        key_path = self._parts / "key"
        if not key_path.is_file() or read_regular(key_path) != key.encode():
            # Parts of other options, inputs or versions would not fit together with ours.
            shutil.rmtree(self._parts, ignore_errors=True)
            with write_failures(self.path):
                self._parts.mkdir()
                temporary = key_path.with_suffix(".tmp")
                temporary.write_text(key)
                _move_durably(temporary, key_path)
        return [number for number in range(n_parts) if not is_whole(self._part_path(number))]

    def write_part(self, number: int, datasets: Mapping[str, np.ndarray]) -> None:
        """Store one part; it is there whole, or not at all.

        Raises:
            WorkFailed: the disk is full or fails; the finished parts are kept.
        """
        target = self._part_path(number)
        temporary = target.with_suffix(".tmp")
        with write_failures(self.path):
            with new_hdf5(temporary) as file:
                _add(file, datasets)
            _move_durably(temporary, target)

    def read_part(self, number: int) -> dict[str, np.ndarray] | None:
        """All datasets of one part by name, None if it is not there, or damaged."""
        if not is_whole(self._part_path(number)):
            return None
        with open_part(self._part_path(number)) as part:
            return {name: part.read(name) for name in part.datasets}

    def read_parts(self, column: Column, n_parts: int) -> Iterator[np.ndarray]:
        """One column of every part, in order."""
        for number in range(n_parts):
            with open_part(self._part_path(number)) as part:
                values = part.read(column.name)
            yield values

    def publish(
        self,
        datasets: Mapping[str, np.ndarray],
        *,
        n_parts: int = 0,
        extra: Mapping[str, Any] | None = None,
        compress: frozenset[str] = frozenset(),
    ) -> Path:
        """Join the parts, add ``datasets``, and put the artifact in its place in one step.

        Args:
            datasets: beside those of the parts.
            n_parts: number of parts to join.
            extra: JSON-compatible facts to record beside the provenance.
            compress: datasets to store LZF-compressed.

        Raises:
            WorkFailed: the disk is full or fails; the finished parts are kept.
        """
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        with write_failures(self.path):
            with new_hdf5(temporary) as file:
                parts = [self._part_path(number) for number in range(n_parts)]
                join_parts(parts, file, compress)
                _add(file, datasets)
                self._describe(file, extra or {})
            _move_durably(temporary, self.path)
        shutil.rmtree(self._parts, ignore_errors=True)
        return self.path

    def _describe(self, file: h5py.File, extra: Mapping[str, Any]) -> None:
        file.attrs.update(self._provenance.attributes())
        file.attrs["extra"] = json.dumps(dict(extra), sort_keys=True)
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["uuid"] = str(uuid.uuid4())
        file.attrs["created"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        file.flush()
        file.attrs["digest"] = content_digest(_datasets(file))
        file.attrs["complete"] = True

    def _part_path(self, number: int) -> Path:
        return self._parts / f"{number:07d}.h5"


def _add(file: h5py.File, datasets: Mapping[str, np.ndarray]) -> None:
    for name, values in datasets.items():
        file.create_dataset(name, data=values)


def _datasets(file: h5py.File) -> dict[str, h5py.Dataset]:
    found: dict[str, h5py.Dataset] = {}
    file.visititems(
        lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None
    )
    return found


@contextmanager
def create(
    output: str | Path, provenance: Provenance, *, overwrite: bool = False
) -> Iterator[OutputFile]:
    """Lock ``output`` and find out what is to be done about it.

    An artifact that is there already is left alone if it was made with the same options from the
    same inputs (its time of change is renewed, for make); otherwise it is replaced on
    ``overwrite`` only, and only when the new one is complete.

    Raises:
        UsageError: nothing can be written there, or it is one of the inputs.
        ArtifactError: the artifact there was made with other options or inputs, or a file that is
            no artifact is in the way.
        WorkFailed: another run is writing it.
    """
    path = Path(output)
    _check_place(path, provenance)
    with output_lock(path):
        current = os.path.exists(path) and is_current(path, provenance, overwrite)
        if current:
            os.utime(path)
        yield OutputFile(path, provenance, current)


def _check_place(path: Path, provenance: Provenance) -> None:
    # os.path, unlike Path, answers no where the name is too long or leads in a circle.
    if os.path.isdir(path):
        raise UsageError("the output is a folder", where=path, expected="a file name")
    if not os.path.isdir(path.parent):
        raise UsageError(
            "there is no such folder for the output", where=path.parent, todo="make it first"
        )
    require_no_input(path, {r.role: r.path for r in provenance.inputs if r.uuid})


def require_no_input(output: Path, inputs: Mapping[str, str | None]) -> None:
    """Not even ``--overwrite`` may put the output in the place of an artifact that it is made of.

    Args:
        inputs: paths by role.

    Raises:
        UsageError: the output is one of them.
    """
    if not os.path.exists(output):
        return
    for role, path in inputs.items():
        if path is not None and os.path.exists(path) and os.path.samefile(output, path):
            raise UsageError(
                "the output is one of the inputs",
                where=output,
                found=role,
                todo="choose another -o",
            )


def _move_durably(temporary: Path, target: Path) -> None:
    _sync(temporary)
    os.replace(temporary, target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
