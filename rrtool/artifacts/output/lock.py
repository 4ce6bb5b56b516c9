"""One run at a time per output file."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from rrtool.errors import UsageError, WorkFailed

try:
    import fcntl
except ImportError:  # pragma: no cover - not a POSIX system
    fcntl = None  # type: ignore[assignment]


@contextmanager
def output_lock(output: Path) -> Iterator[None]:
    """Hold the lock of ``output`` for the time of the block.

    The lock is the kernel's (``flock``) on a file beside the output, so a killed run leaves none.

    Raises:
        WorkFailed: another run holds it; the message names that run.
        UsageError: nothing can be written there.
    """
    path = output.with_name(f".{output.name}.lock")
    descriptor = _acquire(path, output)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _acquire(path: Path, output: Path) -> int:
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(
                "cannot write the output here", where=output, found=error.strerror
            ) from None
        if fcntl is None:  # pragma: no cover
            return descriptor
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise WorkFailed(
                "another run is writing this output",
                where=output,
                found=holder or "unknown process",
                todo="wait for it, or choose another -o",
            ) from None
        if _still_there(descriptor, path):
            # The text only helps the message of a second run; the lock holds without it.
            with suppress(OSError):
                os.ftruncate(descriptor, 0)
                holder = f"process {os.getpid()} on {socket.gethostname()}"
                os.pwrite(descriptor, holder.encode(), 0)
            return descriptor
        # The previous holder removed the file between our open and our lock.
        os.close(descriptor)


def _still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
