"""Worker processes of this machine.

Not ``concurrent.futures``: there one process that dies takes the parts of all others with it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from rrtool.cores import threads_of_a_worker
from rrtool.engine.crew import Done, unexpected
from rrtool.errors import RrtoolError, WorkFailed

# Read by the libraries when they are imported.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_END_S = 5.0


@contextmanager
def processes(n: int) -> Iterator[_Processes]:
    """At most ``n`` of them, each started when there is a part for it."""
    crew = _Processes(n)
    try:
        yield crew
    finally:
        crew.end()


class _Processes:
    def __init__(self, n: int) -> None:
        self._n = n
        self._context = multiprocessing.get_context("spawn")  # threads do not survive a fork
        self._idle: list[tuple[Connection, SpawnProcess]] = []
        self._busy: dict[Connection, tuple[SpawnProcess, int, object]] = {}
        self._dead: deque[Done] = deque()

    def size(self) -> int:
        return self._n

    def submit(self, ticket: int, function: Callable[[Any], int], part: object) -> None:
        connection, process = self._idle.pop() if self._idle else self._started()
        try:
            connection.send((function, part))
        except OSError:  # it has just died
            self._dead.append(_death(ticket, part, connection, process))
        else:
            self._busy[connection] = process, ticket, part

    def next_done(self) -> Done:
        if self._dead:
            return self._dead.popleft()
        ready = wait(list(self._busy))
        connection = next(each for each in self._busy if each in ready)
        process, ticket, part = self._busy.pop(connection)
        try:
            result, failure = connection.recv()
        except (EOFError, OSError):
            return _death(ticket, part, connection, process)
        self._idle.append((connection, process))
        return Done(ticket, result, failure)

    def end(self) -> None:
        """Those that are at work are stopped."""
        of_all = [*self._idle, *((each, process) for each, (process, *_) in self._busy.items())]
        for connection, process in of_all:
            process.kill()  # a part is there whole or not at all
            connection.close()
        for _, process in of_all:
            process.join(_END_S)

    def _started(self) -> tuple[Connection, SpawnProcess]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, threads_of_a_worker()), name="rrtool worker", daemon=True
        )
        process.start()
        theirs.close()
        return ours, process


def _death(ticket: int, part: object, connection: Connection, process: SpawnProcess) -> Done:
    connection.close()
    process.join(_END_S)
    process.kill()  # it has closed its end, and should have ended
    process.join()
    code = process.exitcode
    found = f"exit code {code}"
    if code is not None and code < 0:
        found = signal.Signals(-code).name
    what = f"the process that worked on {part} has died"
    return Done(ticket, failure=WorkFailed(what, found=found, todo="see whether memory is enough"))


def _work(connection: Connection, n_threads: int) -> None:
    """In a process of its own: take parts until nobody hands out any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; whoever started this ends it
    os.environ.update(dict.fromkeys(_THREADS, str(n_threads)))
    with suppress(EOFError, OSError):
        while True:
            function, part = connection.recv()  # which imports what it needs
            connection.send(_outcome(function, part))


def _outcome(function: Callable[[Any], int], part: object) -> tuple[int, RrtoolError | None]:
    try:
        return function(part), None
    except RrtoolError as error:
        return -1, error
    except Exception as error:  # noqa: BLE001 - it is raised where it can be told
        return -1, unexpected(error)
