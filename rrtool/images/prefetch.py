"""Work ahead: map a function over items in threads and hand the results out in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in order, with up to ``ahead`` under way.

    Threads serve here: Pillow decodes and resizes without holding the interpreter's lock, so
    they run beside the network, and no pixels are copied between processes.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(max(1, workers), thread_name_prefix="prefetch") as pool:
        under_way: deque[Future[Result]] = deque(
            pool.submit(function, item) for item in islice(remaining, max(1, ahead))
        )
        try:
            while under_way:
                result = under_way.popleft().result()
                under_way.extend(pool.submit(function, item) for item in islice(remaining, 1))
                yield result
        finally:
            for future in under_way:
                future.cancel()


def default_workers() -> int:
    """Threads that keep up with the network: the cores this process may use, at most 16."""
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(16, available or 1)
