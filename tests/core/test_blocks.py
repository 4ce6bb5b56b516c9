"""Blocks of rows in threads: every row once, in order, errors told."""

import threading
from itertools import chain

import numba
import pytest

from rrtool.core.blocks import in_threads


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize(("n_rows", "fewest"), [(0, 1), (1, 1), (7, 3), (33, 1), (1000, 1)])
def test_in_threads_covers_every_row_once_and_in_order(n_rows, fewest, n_threads):
    before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads, before))
    try:
        blocks = in_threads(lambda start, stop: list(range(start, stop)), n_rows, fewest)
    finally:
        numba.set_num_threads(before)
    assert list(chain.from_iterable(blocks)) == list(range(n_rows))
    assert all(len(block) >= min(fewest, n_rows) // 2 for block in blocks)


def test_in_threads_runs_them_in_as_many_threads_as_numba():
    n_threads = numba.get_num_threads()
    meeting = threading.Barrier(n_threads)

    def meet(start: int, stop: int) -> None:
        if start < n_threads:  # of blocks of one row the first ones are waited for
            meeting.wait(timeout=20)

    in_threads(meet, 4 * n_threads)


@pytest.mark.parametrize("bad_row", [0, 99])
def test_in_threads_gives_on_what_a_block_raises(bad_row):
    def work(start: int, stop: int) -> None:
        if start <= bad_row < stop:
            raise ValueError("row")

    with pytest.raises(ValueError, match="row"):
        in_threads(work, 100)
