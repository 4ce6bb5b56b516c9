"""What a worker has open: for one run at a time, as it works on one part at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

Opened = TypeVar("Opened")


class _State:
    """Of the process: numba and torch have one number of threads, and memory holds one network."""

    lock = Lock()
    run: str = ""
    opened: Any = None


@contextmanager
def at_work(run: str, opener: Callable[[], Opened]) -> Iterator[Opened]:
    """What ``opener`` gives, called once a run.

    Args:
        run: tells runs apart.
    """
    with _State.lock:
        if _State.run != run:
            _State.run, _State.opened = "", None  # its memory is needed
            _State.opened = opener()
            _State.run = run
        yield _State.opened
