"""The file under an HDF5 file that is being written."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py


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
    """A fresh HDF5 file, complete when the block ends; removed again if anything fails.

    Raises:
        OSError: the disk is full or fails.
    """
    try:
        with _Storage(path, "w+") as storage:
            with h5py.File(storage, "w", libver=("v110", "v110")) as file:
                yield file
            if storage.failure is not None:
                raise storage.failure
    except BaseException:
        path.unlink(missing_ok=True)
        raise
