"""Something happens at the k-th operation on a file: a signal, a full disk, a torn write."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KINDS = ("SIGKILL", "SIGTERM", "SIGINT", "ENOSPC", "EIO", "torn")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
# What rrtool changes files with, and where each takes its path or descriptor from.
_FUNCTIONS = ("open", "write", "pwrite", "fsync", "replace", "unlink", "mkdir", "rmdir",
              "ftruncate", "fchmod", "utime")  # fmt: skip


@dataclass
class Fault:
    """Counts the operations that change files, and strikes at one of them.

    Attributes:
        kind: of ``KINDS``; empty only counts.
        at: number of the operation that it strikes at, from 1.
        log: the operations so far.
    """

    kind: str = ""
    at: int = 0
    log: list[str] = field(default_factory=list)

    def install(self) -> None:
        """Put itself in the way of the functions, for the rest of this process."""
        from rrtool.artifacts.output.storage import _Storage

        for name in _FUNCTIONS:
            setattr(os, name, self._wrapped(name, getattr(os, name)))
        plain: Any = _Storage.__bases__[0].write

        def write(storage: Any, data: Any) -> int:
            return self._strike("hdf5 write", plain, storage, data)

        # What HDF5 writes goes through the class below ours, whose errors ours remembers.
        below = type("Below", (_Storage.__bases__[0],), {"write": write})
        _Storage.__bases__ = (below,)

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **more: Any) -> Any:
            if name == "open" and not (args[1] if len(args) > 1 else 0) & _WRITING:
                return real(*args, **more)  # only reads
            return self._strike(name, real, *args, **more)

        return wrapped

    def _strike(self, name: str, real: Callable[..., Any], *args: Any, **more: Any) -> Any:
        self.log.append(name)
        if len(self.log) != self.at or not self.kind:
            return real(*args, **more)
        if self.kind in ("ENOSPC", "EIO"):
            number = getattr(errno, self.kind)
            raise OSError(number, os.strerror(number))
        if self.kind == "torn" and name.endswith("write"):
            data = memoryview(args[1]).cast("B")
            real(args[0], data[: len(data) // 2], *args[2:])
        number = getattr(signal, self.kind, signal.SIGKILL)
        os.kill(os.getpid(), number)
        return real(*args, **more)
