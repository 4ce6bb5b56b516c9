"""Threads by what is free: what other processes compute is read from the system's counters."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch

from rrtool import cores
from rrtool.cores import Sample, Threads, n_free, sample

pytestmark = pytest.mark.skipif(cores.sample() is None, reason="no /proc/stat")


def test_sample_counts_what_others_compute_on_our_cores(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2})
    monkeypatch.setattr(time, "process_time", lambda: 1.5)
    tick = os.sysconf("SC_CLK_TCK")
    busy = [f"cpu{i} {tick} 0 {tick} {9 * tick} {5 * tick} 0 0 {tick} 7 7" for i in range(3)]
    path = tmp_path / "stat"
    path.write_text("\n".join([f"cpu {90 * tick} 0 0 0 0 0 0 0 0 0", *busy, "intr 5", ""]))
    assert sample(str(path)).others == pytest.approx(2 * 3 - 1.5)
    path.write_text("cpu0 what\n")
    assert sample(str(path)) is sample(str(tmp_path / "absent")) is None


@pytest.mark.parametrize(
    ("n_cores", "used", "expected"),
    [(2, 0.0, 2), (2, 0.2, 2), (2, 0.5, 1), (2, 1.0, 1), (2, 2.0, 1), (16, 8.1, 8), (16, 0.5, 15),
     (1, 0.0, 1), (2, -0.1, 2)],
)  # fmt: skip
def test_n_free_leaves_others_their_cores(n_cores, used, expected):
    assert n_free(Sample(10.0, 5.0), Sample(12.0, 5.0 + 2 * used), n_cores) == expected


@pytest.fixture
def machine(monkeypatch):
    """A machine of 4 cores, with a clock and others' work that tests set; torch takes 4 threads."""
    state = {"time": 0.0, "others": 0.0}
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    monkeypatch.setattr(cores, "sample", lambda: Sample(state["time"], state["others"]))
    before = torch.get_num_threads()
    torch.set_num_threads(4)

    def passes(seconds: float, used: float) -> None:
        state["time"] += seconds
        state["others"] += used * seconds

    yield passes
    torch.set_num_threads(before)


def test_threads_follow_the_load_and_are_restored(machine):
    threads = Threads()
    machine(0.2, used=3)
    threads.adjust()
    assert torch.get_num_threads() == 1
    machine(0.5, used=0)  # too short to tell
    threads.adjust()
    assert torch.get_num_threads() == 1
    machine(2, used=1)
    threads.adjust()
    assert torch.get_num_threads() == 3
    machine(2, used=0)
    threads.adjust()
    assert torch.get_num_threads() == 4
    machine(2, used=4)
    threads.adjust()
    threads.restore()
    assert torch.get_num_threads() == 4


def test_threads_know_what_was_seen_since_the_start(machine):
    cores.look()
    machine(3, used=2)
    Threads().adjust()
    assert torch.get_num_threads() == 2
    torch.set_num_threads(4)
    Threads().adjust()  # nothing has been seen since
    assert torch.get_num_threads() == 4


def test_threads_of_numba_follow_too(machine):
    import numba

    before = numba.get_num_threads()
    threads = Threads()
    machine(2, used=3.5)
    threads.adjust()
    assert numba.get_num_threads() == torch.get_num_threads() == 1
    threads.restore()
    assert numba.get_num_threads() == before


def test_threads_that_the_user_has_set_stay(machine, monkeypatch):
    torch.set_num_threads(2)
    threads = Threads()
    machine(2, used=0)
    threads.adjust()
    assert torch.get_num_threads() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    machine(2, used=4)
    threads.adjust()
    assert torch.get_num_threads() == 2


def test_threads_of_a_worker_are_those_that_the_run_has(machine, monkeypatch):
    assert cores.threads_of_a_worker() == 1
    for text, n in (("3", 3), ("2,1", 2), ("0", 1), ("many", 1)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert cores.threads_of_a_worker() == n
    torch.set_num_threads(1)  # as dask starts its workers
    threads = Threads(always=3)
    machine(2, used=4)
    threads.adjust()
    assert torch.get_num_threads() == 3
    threads.restore()
    assert torch.get_num_threads() == 1


def test_sample_sees_a_busy_process_and_not_this_one():
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        while (before := _cpu_seconds(busy.pid)) < 0.05:
            time.sleep(0.01)
        first = sample()
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
        seen, theirs = sample().others - first.others, _cpu_seconds(busy.pid) - before
    finally:
        busy.kill()
        busy.wait()
    assert seen >= theirs - 0.15


def _cpu_seconds(pid: int) -> float:
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


_FRESH = """
import numba, torch
from rrtool import cores
cores.look()
cores._State.first = cores.Sample(cores._State.first.time - 10, cores._State.first.others - 1000)
threads = cores.Threads()
threads.adjust()
print(torch.get_num_threads(), numba.get_num_threads())
"""


def test_threads_of_torch_stay_where_numba_starts_its_own():
    environment = {**os.environ, "NUMBA_NUM_THREADS": "2"}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", _FRESH], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split() == ["1", "1"]


_PARALLEL = """
import rrtool, numba, torch
before = torch.get_num_threads()
numba.set_num_threads(numba.get_num_threads())  # starts them
print(before, torch.get_num_threads(), numba.get_num_threads())
"""


def test_numba_takes_the_number_that_the_user_has_set_for_all():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("NUMBA_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", _PARALLEL], capture_output=True, text=True, check=True,
        env=environment,
    )  # fmt: skip
    assert done.stdout.split() == ["1", "1", "1"]
