"""Failures of the disk, told in one line."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rrtool.errors import WorkFailed


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
