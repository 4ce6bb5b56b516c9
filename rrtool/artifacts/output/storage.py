"""The file under an HDF5 file that is being written."""

import io
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import h5py

from rrtool.artifacts.checksums import add_checksums
from rrtool.files import new_file

_Handler = Callable[[int, FrameType | None], object]


class _Storage(io.FileIO):
    """A file that remembers its first failure to write, and takes all further writes silently.

    HDF5 keeps data back until a file is closed. If the disk is full then, h5py only prints the
    error, the file counts as written, and HDF5 crashes when the process ends.

    Attributes:
        failure: the first error, or an interrupt; else None.
    """

    failure: BaseException | None = None

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
def new_hdf5(target: Path) -> Iterator[h5py.File]:
    """A fresh HDF5 file with checksums; it takes the place of ``target`` when the block ends.

    Raises:
        OSError: the disk is full or fails.
    """
    with new_file(target) as descriptor:
        storage = _Storage(descriptor, "w+", closefd=False)
        try:
            with storage, _interrupts_noted(storage):
                with h5py.File(storage, "w", libver=("v110", "v110")) as file:
                    yield file
                add_checksums(storage)
        finally:
            if storage.failure is not None:
                raise storage.failure


@contextmanager
def _interrupts_noted(storage: _Storage) -> Iterator[None]:
    """An interrupt counts as a failure: raised within what HDF5 calls back, it would be lost.

    What a signal means is for the handlers that are there to say; only what they raise is kept.
    Further writes are taken silently, so that the end comes soon.
    """
    previous = {}
    if threading.current_thread() is threading.main_thread():  # the only one that has handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                previous[number] = signal.signal(number, _noting(handler, storage))
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _noting(handler: _Handler, storage: _Storage) -> _Handler:
    def note(number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except KeyboardInterrupt as interrupt:
            storage.failure = storage.failure or interrupt

    return note
