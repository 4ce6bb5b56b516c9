"""Files: others' are read only where they are regular; ours are written whole, through no link.

A file of ours is written beside its place, under a name that nobody can guess, and renamed when it
is on the disk. The writer holds the kernel's lock on it, so what a killed run left is known by
being held by nobody.
"""

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from rrtool.errors import UsageError, WorkFailed

_NO_LINK = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BLOCK = 1 << 20  # bytes
_KEPT = 50  # characters of a target's name in that of its new file: names have limits
_MARK = r"\.[0-9a-f]{16}\.tmp"  # what the name of a new file ends with
_AGAIN = "run the same command again: finished parts are kept"
# What to say of the failures that have a remedy of their own.
_REASONS: Mapping[int | None, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", f"free some space and {_AGAIN}"),
    errno.EDQUOT: ("your share of the disk is full", f"free some space and {_AGAIN}"),
    errno.EIO: ("the disk fails: input/output error", f"check it and {_AGAIN}"),
    errno.EROFS: ("the file system can only be read", "choose another place"),
    errno.EACCES: ("no permission to write there", "get it, or choose another place"),
    errno.EPERM: ("no permission to write there", "get it, or choose another place"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
}


def open_regular(path: str | Path) -> BinaryIO:
    """Open a file for reading its bytes.

    Raises:
        OSError: it cannot be opened, or is a folder, a pipe, a socket or a device, which may never
            answer or never end.
    """
    _require_regular(os.stat(path).st_mode)  # before it is opened: that alone may wait
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        _require_regular(os.fstat(descriptor).st_mode)
    except OSError:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def read_regular(path: str | Path) -> bytes:
    """All bytes of a file.

    Raises:
        OSError: as ``open_regular``; or it is larger than the memory.
    """
    with open_regular(path) as file:
        try:
            return file.read()
        except (MemoryError, OverflowError):
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG)) from None


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a pipe, a socket or a device, not a file")


def require_place(path: str | Path) -> None:
    """Find out early whether a file can be written somewhere.

    Raises:
        UsageError: it is a folder, a pipe, a socket or a device, there is no folder for it, or its
            name is too long.
    """
    path = Path(path)
    # Where a command is redirected to, these are files; but they name what is open, no place.
    if os.path.abspath(path).startswith(("/dev/std", "/dev/fd/", "/proc/")):
        raise UsageError("the output is no file", where=path, expected="a file name")
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise UsageError(
                "the name is too long", where=path, todo="choose a shorter one"
            ) from None
        mode = None
    except ValueError as error:  # a NUL in it
        raise UsageError("no name of a file", where=path, found=error) from None
    if mode is not None and not stat.S_ISREG(mode):
        found = what_is(mode)
        raise UsageError(f"the output is {found}", where=path, expected="a file name")
    if not os.path.isdir(path.parent):
        raise UsageError(
            "there is no such folder for the output", where=path.parent, todo="make it first"
        )


def is_same_file(first: str | Path, second: str | Path) -> bool:
    """Whether two paths name one file, however they are spelled and whether or not it is there."""
    try:
        return os.path.samefile(first, second)
    except (OSError, ValueError):  # one of them is not there
        return _spelled_out(first) == _spelled_out(second)


def have_same_content(first: str | Path, second: str | Path) -> bool:
    """Whether two files are one, or of the same bytes; not if one of them cannot be read."""
    try:
        if os.path.samefile(first, second):
            return True
        return os.path.getsize(first) == os.path.getsize(second) and (
            read_regular(first) == read_regular(second)
        )
    except (OSError, ValueError):
        return False


def _spelled_out(path: str | Path) -> str:
    folder, name = os.path.split(os.path.abspath(path))
    return os.path.join(os.path.realpath(folder), name)


def what_is(mode: int) -> str:
    """What stands under a name that we need, in words."""
    if stat.S_ISLNK(mode):
        return "a link"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a file" if stat.S_ISREG(mode) else "a pipe, a socket or a device"


def in_the_way(path: Path, found: str) -> UsageError:
    """The error for something that is not ours under a name that we need."""
    what = "something that is not ours is in the way"
    return UsageError(what, where=path, found=found, todo="remove it")


def numbered(path: Path) -> Iterator[Path]:
    """Names for a file whose own name may be taken: ``a.csv``, ``a-2.csv``, ``a-3.csv`` …"""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


@contextmanager
def new_file(target: Path) -> Iterator[int]:
    """A descriptor to write a file that takes the place of ``target`` when the block ends.

    It is on the disk before it has its name; if the block fails there is none. Its mode is that of
    the file it replaces. Where ``target`` is a link, the link is replaced, not what it leads to.

    Raises:
        OSError: it cannot be written.
    """
    mode = _mode_of(target)
    temporary, descriptor = _open_temporary(target, 0o666 if mode is None else mode)
    try:
        try:
            if mode is not None:
                with suppress(PermissionError):  # a file system without modes
                    os.fchmod(descriptor, mode)
            yield descriptor
            os.fsync(descriptor)
            os.replace(temporary, target)
        finally:
            os.close(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(target.parent)


def write_durably(target: Path, pieces: Iterable[str | bytes]) -> None:
    """Write a file as ``new_file``; surrogate escapes become the bytes that they stand for.

    Raises:
        OSError: it cannot be written.
    """
    reclaim(target)
    with new_file(target) as descriptor:
        for block in _blocks(pieces):
            view = memoryview(block)
            while view:
                view = view[os.write(descriptor, view) :]


def _blocks(pieces: Iterable[str | bytes]) -> Iterator[bytes]:
    """Small pieces together."""
    block = bytearray()
    for piece in pieces:
        block += piece.encode("utf-8", "surrogateescape") if isinstance(piece, str) else piece
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    yield bytes(block)


def reclaim(*targets: Path) -> None:
    """Remove the new files that killed runs left half written; those still being written stay."""
    for path in temporaries(*targets):
        with suppress(OSError):
            unlink_if_free(path)


def unlink_if_free(path: Path) -> None:
    """Remove a new file that nobody writes.

    Raises:
        OSError: somebody does, or it cannot be removed.
    """
    descriptor = os.open(path, os.O_RDONLY | _NO_LINK)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # its writer holds it
        os.unlink(path)
    finally:
        os.close(descriptor)


def is_new_file(name: str) -> bool:
    """Whether a name is one that ``new_file`` gives."""
    return re.fullmatch(rf"\..+{_MARK}", name, re.DOTALL) is not None


def temporaries(*targets: Path) -> list[Path]:
    """The new files that are being written, or were left, for these targets."""
    found = []
    for folder in {target.parent for target in targets}:
        stems = "|".join(re.escape(_stem(path)) for path in targets if path.parent == folder)
        ours = re.compile(rf"({stems})\.[0-9a-f]{{16}}\.tmp", re.DOTALL)
        with suppress(OSError):
            found += [folder / name for name in os.listdir(folder) if ours.fullmatch(name)]
    return found


def _stem(target: Path) -> str:
    return f".{target.name[:_KEPT]}"


def _open_temporary(target: Path, mode: int) -> tuple[Path, int]:
    """A new file under a name that nobody can guess, held until it is closed."""
    while True:
        temporary = target.with_name(f"{_stem(target)}.{secrets.token_hex(8)}.tmp")
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | _NO_LINK
        descriptor = os.open(temporary, flags, mode)
        with suppress(OSError):  # a file system without locks: it is never reclaimed there
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return temporary, descriptor
        os.close(descriptor)  # reclaimed before we held it


def _mode_of(path: Path) -> int | None:
    try:
        return stat.S_IMODE(os.stat(path).st_mode) & 0o777
    except OSError:
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def write_failures(path: Path) -> Iterator[None]:
    """Errors of writing in the block become ``WorkFailed``."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # What h5py raises by itself is either of the two.
        text = str(error)
        number = errno.ENOSPC if "No space left" in text else getattr(error, "errno", None)
        if number in _REASONS:
            what, todo = _REASONS[number]
            raise WorkFailed(what, where=path, todo=todo) from None
        found = (text or type(error).__name__).splitlines()[0]
        what = "cannot write the output"
        raise WorkFailed(what, where=path, found=found, todo=_AGAIN) from None
