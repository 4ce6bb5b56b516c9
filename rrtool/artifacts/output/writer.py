"""Write an artifact: in parts that survive a kill, joined and published at once at the end."""

import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from rrtool.artifacts.digests import content_digest, datasets_of
from rrtool.artifacts.output.current import NOT_THERE, Standing, standing_of
from rrtool.artifacts.output.joining import Derived, PartSource, join_parts, open_part
from rrtool.artifacts.output.lock import lock_path, output_lock
from rrtool.artifacts.output.parts import (
    PartsFolder,
    claim_parts,
    part_path,
    parts_path,
    remove_parts,
)
from rrtool.artifacts.output.skipped import skipped_list_path
from rrtool.artifacts.output.storage import new_hdf5
from rrtool.artifacts.provenance import Provenance
from rrtool.artifacts.reader import FORMAT_VERSION
from rrtool.artifacts.schema import Column
from rrtool.errors import RrtoolError
from rrtool.files import reclaim, require_place, temporaries, write_failures


class OutputFile:
    """The output of one run, made by ``create``.

    A long stage writes its rows in parts: each a small HDF5 file of its own beside the output,
    complete or absent, so that a kill at any moment costs the unfinished part only.
    ``publish`` joins them. A part holds the datasets of its rows under the names they have in
    the artifact; joining concatenates each along its first axis, and shifts ``offsets``.

    Attributes:
        path: the artifact to be.
        uuid: what it will be known by.
        is_current: the artifact is there already, made with the same options from the same
            inputs: there is nothing to do.
        is_update: the artifact is there and differs in nothing but what an update follows, such
            as its images: rows of it may be kept.
        folder: of its parts.
        kind: of artifact.
        microseconds_a_row: that the work took when it was last done; 0 if nobody knows.
    """

    def __init__(self, path: Path, provenance: Provenance, standing: Standing = NOT_THERE) -> None:
        self.path = path
        self.is_current = standing.is_current
        self.is_update = standing.is_update
        self.kind = provenance.kind
        self.microseconds_a_row = standing.microseconds_a_row
        self._provenance = provenance
        # Parts with rows of one artifact are not continued with those of another.
        key = provenance.resume_key() + (standing.digest if standing.is_update else "")
        self.folder = PartsFolder(path, key)
        self._kept: dict[int, PartSource] = {}
        self.uuid = str(uuid.uuid4())

    def missing_parts(self, n_parts: int) -> list[int]:
        """Which of the parts ``0 … n_parts - 1`` an earlier, interrupted run has not finished.

        One that was damaged since has not been, either.

        Raises:
            UsageError: something that is not ours is in the way.
            WorkFailed: the disk is full or fails.
        """
        with write_failures(self.path):
            claim_parts(self.folder.path, self.folder.key)
        return [
            number
            for number in range(n_parts)
            if number not in self._kept and not self.folder.has(number)
        ]

    def took(self, seconds: float, n_rows: int) -> None:
        """Remember how long the work took, for whoever asks beforehand the next time."""
        if n_rows:
            self.microseconds_a_row = max(1, round(1e6 * seconds / n_rows))

    def keep_part(self, number: int, rows: PartSource) -> None:
        """Take a part from the artifact that is updated, without writing it before ``publish``."""
        self._kept[number] = rows

    def write_part(self, number: int, datasets: Mapping[str, np.ndarray]) -> None:
        """Store one part; it is there whole, or not at all.

        Raises:
            WorkFailed: the disk is full or fails; the finished parts are kept.
        """
        self.folder.write_part(number, datasets)

    def read_part(self, number: int) -> dict[str, np.ndarray] | None:
        """All datasets of one part by name, None if it is not there, or damaged."""
        if not self.folder.has(number):
            return None
        try:
            with open_part(self._part_path(number)) as part:
                return {name: part.read(name) for name in part.datasets}
        except RrtoolError:
            return None

    def read_parts(self, column: Column, n_parts: int) -> Iterator[np.ndarray]:
        """One column of every part, in order."""
        for number in range(n_parts):
            with self._opened(number) as part:
                values = part.read(column.name)
            yield values

    def publish(
        self,
        datasets: Mapping[str, np.ndarray],
        *,
        n_parts: int = 0,
        extra: Mapping[str, Any] | None = None,
        made_with: Mapping[str, str] | None = None,
        compress: frozenset[str] = frozenset(),
        derived: Mapping[str, Derived] | None = None,
    ) -> Path:
        """Join the parts, add ``datasets``, and put the artifact in its place in one step.

        Args:
            datasets: beside those of the parts.
            n_parts: number of parts to join.
            extra: JSON-compatible facts to record beside the provenance.
            made_with: digests of inputs that were not there yet when it was asked for.
            compress: datasets to store LZF-compressed.
            derived: datasets that are made of those of the parts, by name.

        Raises:
            WorkFailed: the disk is full or fails; the finished parts are kept.
        """
        with write_failures(self.path), new_hdf5(self.path) as file:
            parts = [partial(self._opened, number) for number in range(n_parts)]
            join_parts(parts, file, compress, derived or {})
            _add(file, datasets)
            self._describe(file, extra or {}, made_with or {})
        remove_parts(self.folder.path)
        return self.path

    def _describe(
        self, file: h5py.File, extra: Mapping[str, Any], made_with: Mapping[str, str]
    ) -> None:
        file.attrs.update(self._provenance.asked_also_with(made_with).attributes())
        file.attrs["extra"] = json.dumps(dict(extra), sort_keys=True)
        file.attrs["format_version"] = FORMAT_VERSION
        if self.microseconds_a_row:
            file.attrs["microseconds_a_row"] = self.microseconds_a_row
        file.attrs["uuid"] = self.uuid
        file.attrs["created"] = datetime.now(timezone.utc).isoformat(timespec="seconds")
        file.flush()
        file.attrs["digest"] = content_digest(datasets_of(file))
        file.attrs["complete"] = True

    def _opened(self, number: int) -> AbstractContextManager[PartSource]:
        if number in self._kept:
            return nullcontext(self._kept[number])
        return open_part(self._part_path(number))

    def _part_path(self, number: int) -> Path:
        return part_path(self.folder.path, number)


def _add(file: h5py.File, datasets: Mapping[str, np.ndarray]) -> None:
    for name, values in datasets.items():
        file.create_dataset(name, data=values)


@contextmanager
def create(
    output: str | Path, provenance: Provenance, *, overwrite: bool = False, update: bool = False
) -> Iterator[OutputFile]:
    """Lock ``output`` and find out what is to be done about it.

    An artifact that is there already is left alone if it was made with the same options from the
    same inputs (its time of change is renewed, for make); otherwise it is replaced on
    ``overwrite``, or on ``update`` if it differs in what that follows only, and only when the new
    one is complete. What killed runs have left of it is removed.

    Raises:
        UsageError: nothing can be written there.
        ArtifactError: the artifact there was made with other options or inputs, or a file that is
            no artifact is in the way.
        WorkFailed: another run is writing it.
    """
    path = Path(output)
    require_place(path)
    with output_lock(path):
        reclaim(path, skipped_list_path(path))
        standing = standing_of(path, provenance, overwrite=overwrite, update=update)
        if standing.is_current:
            remove_parts(parts_path(path))
            os.utime(path)
        yield OutputFile(path, provenance, standing)


def foresee(
    output: str | Path, provenance: Provenance, *, overwrite: bool = False, update: bool = False
) -> OutputFile:
    """What ``create`` would give, to look at alone: nothing is locked, removed or renewed.

    Raises:
        RrtoolError: as ``create``, but for what only shows when something is written.
    """
    path = Path(output)
    require_place(path)
    standing = standing_of(path, provenance, overwrite=overwrite, update=update)
    return OutputFile(path, provenance, standing)


def renew(path: Path) -> None:
    """Renew the time of an artifact that is up to date; remove what killed runs have left of it."""
    beside = (path, skipped_list_path(path))
    left = [parts_path(path), lock_path(path), *temporaries(*beside)]
    if any(os.path.lexists(each) for each in left):
        # A run that is writing it now looks after them itself.
        with suppress(RrtoolError), output_lock(path):
            reclaim(*beside)
            remove_parts(parts_path(path))
    os.utime(path)
