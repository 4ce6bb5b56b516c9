"""Workers of a dask scheduler.

dask sends functions and parts as pickles, so who can reach the scheduler can run anything on the
workers and here: it is for machines that trust each other (docs/scale.md).
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from typing import Any

from rrtool.engine.crew import Done, first_line, unexpected
from rrtool.engine.options import Workers
from rrtool.errors import RrtoolError, UsageError, WorkFailed
from rrtool.files import read_regular

_CONNECT_S = 5.0
_NO_WORKER_S = 30.0
_LOOK_S, _POLL_S = 1.0, 0.02
_AGAIN = "run the same command again: finished parts are kept"


@contextmanager
def cluster(workers: Workers) -> Iterator[_Cluster]:
    """The workers that a scheduler has, now and later.

    Raises:
        UsageError: the scheduler's file says no address.
        WorkFailed: dask is not installed, or there is no scheduler.
    """
    address = workers.address or _address_in(workers.scheduler_file)
    try:
        from distributed import Client
    except ImportError:
        raise WorkFailed(
            "--workers-on dask needs distributed", todo="pip install 'rrtool[cluster]'"
        ) from None
    with _quiet():
        try:
            client = Client(address, timeout=_CONNECT_S, set_as_default=False, name="rrtool")
        except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
            raise WorkFailed(
                "no dask scheduler answers", where=address, found=first_line(error),
                todo="start one with: dask scheduler",
            ) from None  # fmt: skip
        try:
            yield _Cluster(client, address)
        finally:
            # Parts that are under way end as they would: a rerun finds them.
            with suppress(Exception):  # what is closed may be gone
                client.close(timeout=_LOOK_S)


def _address_in(path: str) -> str:
    """What a scheduler has written with ``--scheduler-file``."""
    try:
        address = json.loads(read_regular(path))["address"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        found = getattr(error, "strerror", None) or "no address of a dask scheduler"
    else:
        if isinstance(address, str):
            return address
        found = "no address of a dask scheduler"
    raise UsageError(
        "cannot read the file of the scheduler", where=path, found=found,
        expected="what dask scheduler --scheduler-file has written, or HOST:PORT",
    )  # fmt: skip


class _Cluster:
    def __init__(self, client: Any, address: str) -> None:
        self._client, self._address = client, address
        self._futures: dict[int, tuple[Any, object]] = {}
        self._numbers = count()
        self._n_workers = 0
        self._seen = time.monotonic()
        self._look()

    def size(self) -> int:
        """Two a worker, so that none waits for the next; one to wait with where there is none."""
        return 2 * self._n_workers or 1

    def submit(self, ticket: int, function: Callable[[Any], int], part: object) -> None:
        # A key of its own, or dask would take the result of a part that was handed out before.
        key = f"rrtool-{self._client.id}-{next(self._numbers)}"
        with self._loss_told():
            future = self._client.submit(
                partial(_told, function), part, key=key, pure=False, retries=0
            )
        self._futures[ticket] = future, part

    def next_done(self) -> Done:
        looked = time.monotonic()
        while True:
            for ticket, (future, part) in self._futures.items():
                if future.status != "pending":
                    del self._futures[ticket]
                    return self._done(ticket, part, future)
            if time.monotonic() - looked > _LOOK_S:
                self._look()
                looked = time.monotonic()
            time.sleep(_POLL_S)

    def _done(self, ticket: int, part: object, future: Any) -> Done:
        if future.status not in ("finished", "error"):
            raise self._lost()
        with self._loss_told():
            error = future.exception(timeout=_CONNECT_S)
            if error is None:
                return Done(ticket, future.result(timeout=_CONNECT_S))
        if type(error).__name__ == "KilledWorker":
            what = f"each worker that took {part} has died"
            failure = WorkFailed(what, where=self._address, todo="see whether memory is enough")
            return Done(ticket, failure=failure)
        is_ours = isinstance(error, RrtoolError)
        return Done(ticket, failure=error if is_ours else unexpected(error))

    def _look(self) -> None:
        """How many workers there are.

        Raises:
            WorkFailed: none for some time, or no scheduler any more.
        """
        with self._loss_told():
            self._n_workers = len(self._client.nthreads())
        now = time.monotonic()
        if self._n_workers:
            self._seen = now
        elif now - self._seen > _NO_WORKER_S:
            raise WorkFailed(
                "the dask scheduler has no workers", where=self._address,
                todo=f"start some with: dask worker {self._address}; then {_AGAIN}",
            )  # fmt: skip

    @contextmanager
    def _loss_told(self) -> Iterator[None]:
        """Whatever dask raises of itself means that it has gone."""
        try:
            yield
        except RrtoolError:
            raise
        except Exception:  # noqa: BLE001 - dask raises many kinds, for this alone
            raise self._lost() from None

    def _lost(self) -> WorkFailed:
        return WorkFailed("the dask scheduler has gone away", where=self._address, todo=_AGAIN)


def _told(function: Callable[[Any], int], part: object) -> int:
    """On a worker: what others raise may be nothing that can be sent."""
    try:
        return function(part)
    except RrtoolError:
        raise
    except Exception as error:  # noqa: BLE001 - it is raised where it can be told
        raise unexpected(error) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without dask's own log on standard error: what matters is raised, in one line."""
    roots = ("distributed", "tornado", "asyncio")
    names = [*roots, *(name for name in logging.root.manager.loggerDict if name.startswith(roots))]
    loggers = [logging.getLogger(name) for name in dict.fromkeys(names)]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was_disabled in zip(loggers, before, strict=True):
            logger.disabled = was_disabled
