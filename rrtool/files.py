"""Reading files that others wrote: regular ones only, so that nothing is ever waited for."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


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
        OSError: as ``open_regular``.
    """
    with open_regular(path) as file:
        return file.read()


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "a pipe, a socket or a device, not a file")
