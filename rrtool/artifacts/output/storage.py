"""The file under an HDF5 file that is being written, and failures of the disk in one line."""

import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from rrtool.artifacts.checksums import add_checksums
from rrtool.errors import WorkFailed


class _Storage(io.FileIO):
    """A file that remembers its first failure to write, and takes all further writes silently.

    HDF5 keeps data back until a file is closed. If the disk is full then, h5py only prints the
    error, the file counts as written, and HDF5 crashes when the process ends.

    Attributes:
        failure: the first error, or None.
    """

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        remaining = memoryview(data).cast("B")
        n_bytes = len(remaining)
        try:
            while self.failure is None and len(remaining):
                remaining = remaining[super().write(remaining) :]
        except OSError as error:
            self.failure = error
        return n_bytes

    def readinto(self, buffer: Any) -> int:
        """Zeros where nothing could be written."""
        view = memoryview(buffer).cast("B")
        n_read = 0
        while n_read < len(view):
            n_more = super().readinto(view[n_read:])
            if not n_more:
                view[n_read:] = bytes(len(view) - n_read)
                break
            n_read += n_more
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """A fresh HDF5 file and its checksums, complete when the block ends; removed if anything fails.

    Raises:
        OSError: the disk is full or fails.
    """
    try:
        with _Storage(path, "w+") as storage:
            with h5py.File(storage, "w", libver=("v110", "v110")) as file:
                yield file
            add_checksums(storage)
            if storage.failure is not None:
                raise storage.failure
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def write_failures(path: Path) -> Iterator[None]:
    """Errors of writing in the block become ``WorkFailed``."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # What h5py raises by itself is either of the two.
        text = str(error)
        full = "No space left" in text or getattr(error, "errno", None) == errno.ENOSPC
        raise WorkFailed(
            "the disk is full" if full else "cannot write the output",
            where=path,
            found=None if full else (text or type(error).__name__).splitlines()[0],
            todo="free some space and run the same command again: finished parts are kept",
        ) from None
