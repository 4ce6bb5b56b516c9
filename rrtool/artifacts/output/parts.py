"""The folder of the parts of an output: it must be found again, so it is ours beyond doubt."""

import os
import re
import stat
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrtool.artifacts.digests import datasets_of
from rrtool.artifacts.output.joining import SEAL, is_whole, seal_of
from rrtool.artifacts.output.storage import new_hdf5
from rrtool.errors import WorkFailed
from rrtool.files import in_the_way, open_regular, what_is, write_durably, write_failures

_KEY = "key"
_OURS = re.compile(r"key|\d{7}\.h5|\.(key|\d{7}\.h5)\.[0-9a-f]{16}\.tmp")
# A shared file system may show late what another machine has written.
_PATIENCE_S = 10.0
_SHARED = "let all workers see it under this path, on a file system that they share"


@dataclass(frozen=True)
class PartsFolder:
    """The parts of an output, for whichever process writes some of them.

    Attributes:
        output: what the parts are of.
        key: what they must agree in.
    """

    output: Path
    key: str

    @property
    def path(self) -> Path:
        return parts_path(self.output)

    def require_here(self) -> None:
        """Whether a worker sees the folder of the run that it works for.

        Raises:
            WorkFailed: there is none, or that of another run.
        """
        if not _has_key(self.path, self.key):
            raise WorkFailed("a worker does not see this folder", where=self.path, todo=_SHARED)

    def has(self, number: int) -> bool:
        """Whether a part is there whole."""
        return is_whole(part_path(self.path, number), self.key)

    def finished(self, n_parts: int) -> list[int]:
        """Which parts are there whole, to look at alone: nothing is removed."""
        if not belongs(self.path, self.key):
            return []
        return [number for number in range(n_parts) if self.has(number)]

    def require_part(self, number: int) -> None:
        """Wait a little for a part that a worker has written.

        Raises:
            WorkFailed: it is not there, or not whole.
        """
        path, end = part_path(self.path, number), time.monotonic() + _PATIENCE_S
        while not self.has(number):
            if os.path.exists(path) or time.monotonic() > end:
                what = "a worker says that it has written this part, and it is not there"
                raise WorkFailed(what, where=path, todo=_SHARED)
            time.sleep(0.2)
            os.listdir(self.path)  # which lets NFS look again

    def write_part(self, number: int, datasets: Mapping[str, np.ndarray]) -> None:
        """Store one part; it is there whole, or not at all.

        Raises:
            WorkFailed: the disk is full or fails; the finished parts are kept.
        """
        with write_failures(self.output), new_hdf5(part_path(self.path, number)) as file:
            for name, values in datasets.items():
                file.create_dataset(name, data=values)
            file.attrs[SEAL] = seal_of(datasets_of(file), self.key)


def parts_path(output: Path) -> Path:
    return output.with_name(f".{output.name}.parts")


def part_path(parts: Path, number: int) -> Path:
    return parts / f"{number:07d}.h5"


def claim_parts(parts: Path, key: str) -> None:
    """Have a folder whose parts belong to ``key``; the lock of the output is held.

    Parts of another key, or in a folder that is not ours alone, are removed: they would not fit
    together with ours, or may be anybody's.

    Raises:
        UsageError: something that we did not make is in the way.
        OSError: the disk is full or fails.
    """
    if os.path.lexists(parts) and not belongs(parts, key):
        mode = os.lstat(parts).st_mode
        if not stat.S_ISDIR(mode):
            raise in_the_way(parts, what_is(mode))
        try:
            _remove(parts)
        except PermissionError:
            raise in_the_way(parts, "a folder of somebody else") from None
        except OSError:
            found = [name for name in os.listdir(parts) if not is_of_parts(name)]
            if found:
                raise in_the_way(parts, f"a folder with {found[0]}") from None
            raise
    if os.path.lexists(parts):
        for name in os.listdir(parts):
            if name.endswith(".tmp"):  # of a killed run: ours would hold the lock
                os.unlink(parts / name)
    else:
        os.mkdir(parts, 0o700)  # nobody else puts anything there
        write_durably(parts / _KEY, [key])


def is_of_parts(name: str) -> bool:
    """Whether a file of this name in a folder of parts is ours."""
    return _OURS.fullmatch(name) is not None


def remove_parts(parts: Path) -> None:
    """Remove the folder once its parts are in their artifact; what is not ours stays."""
    with suppress(OSError):
        if stat.S_ISDIR(os.lstat(parts).st_mode):
            _remove(parts)


def _remove(parts: Path) -> None:
    """The key goes last: parts without it are nobody's, and would be taken for the next one's."""
    for name in sorted(os.listdir(parts), key=lambda name: name == _KEY):
        if is_of_parts(name):
            os.unlink(parts / name)
    os.rmdir(parts)


def belongs(parts: Path, key: str) -> bool:
    """Whether it is a real folder of ours, with nothing but files of ours in it, of this key."""
    try:
        state = os.lstat(parts)
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.geteuid():
            return False
        entries = list(os.scandir(parts))
        if not all(is_of_parts(e.name) and e.is_file(follow_symlinks=False) for e in entries):
            return False
    except OSError:
        return False
    return _has_key(parts, key)


def _has_key(parts: Path, key: str) -> bool:
    try:
        with open_regular(parts / _KEY) as file:  # which may be of any size
            return file.read(len(key) + 1) == key.encode()
    except OSError:
        return False
