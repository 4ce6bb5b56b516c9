"""What killed runs have left beside their outputs, and that nobody writes any more."""

import fcntl
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rrtool.artifacts.output.lock import HOLDER, output_lock
from rrtool.artifacts.output.parts import is_of_parts, remove_parts
from rrtool.errors import RrtoolError
from rrtool.files import is_new_file, unlink_if_free

_BESIDE = re.compile(r"\.(.+)\.(lock|parts)", re.DOTALL)
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True)
class Orphan:
    """A file, or a folder of parts, that a killed run has left.

    Attributes:
        path: of it.
        what: it is, in words.
        n_bytes: that it takes.
    """

    path: Path
    what: str
    n_bytes: int


def orphan_at(path: Path) -> Orphan | None:
    """What a path is, if it is ours and nobody writes it."""
    try:
        state = os.lstat(path)
        if state.st_uid != os.geteuid():
            return None
        if stat.S_ISREG(state.st_mode) and state.st_nlink == 1:
            return _file_at(path, state.st_size)
        return _parts_at(path) if stat.S_ISDIR(state.st_mode) else None
    except OSError:  # it has just gone
        return None


def remove_orphan(orphan: Orphan) -> bool:
    """Remove it, if still nobody writes it.

    Returns:
        Whether it is gone.
    """
    with suppress(RrtoolError, OSError):
        if is_new_file(orphan.path.name):
            unlink_if_free(orphan.path)
        else:
            output = _output_of(orphan.path)
            with output_lock(output):  # which removes its file in the end
                if orphan.path.suffix == ".parts":
                    remove_parts(orphan.path)
    return not os.path.lexists(orphan.path)


def _file_at(path: Path, n_bytes: int) -> Orphan | None:
    if is_new_file(path.name):
        return None if _is_held(path) else Orphan(path, "a file that was not finished", n_bytes)
    match = _BESIDE.fullmatch(path.name)
    if match is None or match[2] != "lock" or not _begins_as_lock(path) or _is_held(path):
        return None
    return Orphan(path, f"the lock of {match[1]}", n_bytes)


def _parts_at(path: Path) -> Orphan | None:
    match = _BESIDE.fullmatch(path.name)
    if match is None or match[2] != "parts":
        return None
    entries = list(os.scandir(path))
    if not all(is_of_parts(e.name) and e.is_file(follow_symlinks=False) for e in entries):
        return None
    lock = path.with_name(f".{match[1]}.lock")
    if os.path.lexists(lock) and _is_held(lock):
        return None
    n_parts = sum(entry.name.endswith(".h5") for entry in entries)
    n_bytes = sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    return Orphan(path, f"{n_parts} finished parts of {match[1]}", n_bytes)


def _output_of(path: Path) -> Path:
    match = _BESIDE.fullmatch(path.name)
    return path.with_name(match[1] if match else path.name)


def _begins_as_lock(path: Path) -> bool:
    descriptor = os.open(path, _FLAGS)
    try:
        return os.pread(descriptor, len(HOLDER), 0) == HOLDER
    finally:
        os.close(descriptor)


def _is_held(path: Path) -> bool:
    """Whether somebody has the kernel's lock on a file; also where there are no locks."""
    descriptor = os.open(path, _FLAGS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
