"""One run at a time per output file."""

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rrtool.errors import UsageError, WorkFailed
from rrtool.files import in_the_way, what_is

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
HOLDER = b"process "  # what the text in a lock begins with


def lock_path(output: Path) -> Path:
    return output.with_name(f".{output.name}.lock")


@contextmanager
def output_lock(output: Path) -> Iterator[None]:
    """Hold the lock of ``output`` for the time of the block.

    The lock is the kernel's (``flock``) on a file beside the output, so a killed run leaves none.

    Raises:
        WorkFailed: another run holds it; the message names that run.
        UsageError: nothing can be written there, or something that is no lock has its name.
    """
    path = lock_path(output)
    descriptor = _acquire(path, output)
    try:
        yield
    finally:
        with suppress(OSError):  # the next run takes what is left of it
            if _still_there(descriptor, path):
                os.unlink(path)
        os.close(descriptor)


def _acquire(path: Path, output: Path) -> int:
    while True:
        descriptor = _open(path, output)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise WorkFailed(
                "another run is writing this output",
                where=output,
                found=holder or "unknown process",
                todo="wait for it, or choose another -o",
            ) from None
        except OSError as error:  # a file system without locks
            os.close(descriptor)
            raise _cannot_write(output, error) from None
        if _still_there(descriptor, path):
            # The text only helps the message of a second run; the lock holds without it.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                holder = f"process {os.getpid()} on {socket.gethostname()}"
                os.pwrite(descriptor, holder.encode(), 0)
            return descriptor
        # The previous holder removed the file between our open and our lock.
        os.close(descriptor)


def _open(path: Path, output: Path) -> int:
    """A descriptor of the lock's file; whatever else has its name is left as it is."""
    try:
        descriptor = os.open(path, _FLAGS, 0o644)
    except OSError as error:
        if os.path.lexists(path) and not stat.S_ISREG(mode := os.lstat(path).st_mode):
            raise in_the_way(path, what_is(mode)) from None
        raise _cannot_write(output, error) from None
    state = os.fstat(descriptor)
    is_lock = stat.S_ISREG(state.st_mode) and state.st_nlink <= 1
    if not is_lock or os.pread(descriptor, len(HOLDER), 0) not in (b"", HOLDER):
        os.close(descriptor)
        raise in_the_way(path, what_is(state.st_mode))
    return descriptor


def _cannot_write(output: Path, error: OSError) -> UsageError:
    return UsageError("cannot write the output here", where=output, found=error.strerror)


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False
