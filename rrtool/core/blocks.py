"""Compiled loops over blocks of their rows, in threads.

Numba can do so itself (``parallel=True``), but takes seconds to compile each such loop, where one
that lets go of the interpreter's lock (``nogil=True``) serves as well.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import numba

T = TypeVar("T")

# How functions that only compiled ones call are compiled: without what a call from Python takes.
INNER: dict[str, Any] = {
    "error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True,
}  # fmt: skip

# Several blocks a thread even out rows of unequal cost.
_BLOCKS_A_THREAD = 16


def in_threads(work: Callable[[int, int], T], n_rows: int, fewest_rows: int = 1) -> list[T]:
    """Run ``work(start, stop)`` for blocks that cover ``0 … n_rows - 1``, as numba has threads.

    Args:
        fewest_rows: that are worth a block of their own.

    Returns:
        What each gave, in order.
    """
    n_threads = numba.get_num_threads()
    n_blocks = min(-(-n_rows // fewest_rows), _BLOCKS_A_THREAD * n_threads)
    bounds = [block * n_rows // max(1, n_blocks) for block in range(n_blocks + 1)]
    results: list[Any] = [None] * n_blocks
    numbers = iter(range(n_blocks))

    def drain() -> None:
        for number in numbers:  # of whichever thread is free
            results[number] = work(bounds[number], bounds[number + 1])

    others = [_pool(n_threads).submit(drain) for _ in range(min(n_threads, n_blocks) - 1)]
    drain()
    for other in others:
        other.result()
    return results


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    """Kept: to begin a thread takes as long as a small map."""
    return ThreadPoolExecutor(n_threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a fork has none of the threads
