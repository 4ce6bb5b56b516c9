"""A function over parts, by whoever works on them, with retries.

A part must be idempotent: what a worker has done that died is done again. Functions and parts cross
to other processes, so they are what can be pickled, and small; results are numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import count, islice
from typing import TypeVar

from rrtool.engine.crew import Crew
from rrtool.engine.options import Workers

Part = TypeVar("Part")
RETRIES = 2


def map_parts(
    function: Callable[[Part], int],
    parts: Iterable[Part],
    crew: Crew | None = None,
    retries: int = RETRIES,
) -> Iterator[int]:
    """``function`` of every part, in the order in which they are done.

    Args:
        crew: who works; by default this process, on one after the other.
        retries: how often a part is handed out again when its worker fails or dies.

    Raises:
        RrtoolError: a part failed once more than that; or there are no workers (any more).
    """
    if crew is None:
        yield from map(function, parts)
        return
    # No more parts are handed out than the workers have hands for: of millions of photos even the
    # list is long.
    waiting, tickets = iter(parts), count()
    under_way: dict[int, tuple[Part, int]] = {}
    while True:
        for part in islice(waiting, max(0, crew.size() - len(under_way))):
            ticket = next(tickets)
            under_way[ticket] = part, retries
            crew.submit(ticket, function, part)
        if not under_way:
            return
        done = crew.next_done()
        part, left = under_way.pop(done.ticket)
        if done.failure is None:
            yield done.result
        elif left:
            under_way[done.ticket] = part, left - 1
            crew.submit(done.ticket, function, part)
        else:
            raise done.failure


def open_crew(workers: Workers | None) -> AbstractContextManager[Crew | None]:
    """Workers that take parts until the block ends; None where this process works alone.

    Raises:
        RrtoolError: they are not there.
    """
    if workers is None:
        return nullcontext()
    if workers.n_local:
        from rrtool.engine.processes import processes

        return processes(workers.n_local)
    from rrtool.engine.cluster import cluster

    return cluster(workers)
