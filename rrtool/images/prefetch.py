"""Work ahead: map a function over items in threads and hand the results out in order."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
_BACK = 5  # of niceness: a third of the time where both want it


def prefetch(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, ahead: int
) -> Iterator[Result]:
    """Yield ``function(item)`` for every item, in order, with up to ``ahead`` under way.

    Threads serve here: Pillow decodes and resizes without holding the interpreter's lock, so
    they run beside the network, and no pixels are copied between processes. The threads step back
    behind those that compute: one of these that is held up holds up all the others.
    """
    remaining = iter(items)
    with ThreadPoolExecutor(max(1, workers), "prefetch", _step_back) as pool:
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


def default_workers(device: str = "cpu") -> int:
    """Threads that keep up with a network: on a CPU a third of the cores, which it needs itself.

    Of the time of SqueezeNet on the cores, decoding a photo of 1024 pixels takes a fortieth, one of
    a phone a third.
    """
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    n_cores = available or 1
    return min(16, n_cores if device != "cpu" else -(-n_cores // 3))


def _step_back() -> None:
    """Of one thread alone, where the system knows its priority (Linux)."""
    if sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _BACK)
