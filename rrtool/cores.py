"""As many threads as there are cores that nobody else keeps busy.

Threads that compute a network wait for each other some hundred times an image. If one of them
stands in a queue behind another program, all stand still, and those that wait keep the other cores
from that program: two threads took fifty times as long as one (docs/engines.md).
"""

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass

_STAT = "/proc/stat"
_LEAST_WINDOW_S, _WINDOW_S = 0.1, 1.0
# What small programs take on an idle machine: this much of a core still counts as free.
_IDLE_NOISE = 0.25


@dataclass(frozen=True)
class Sample:
    """What the machine has done so far.

    Attributes:
        time: now, in seconds.
        others: seconds that other processes have computed on the cores of this one.
    """

    time: float
    others: float


class _State:
    first: Sample | None = None


def look() -> None:
    """Begin to watch the machine, for a process of our own: libraries take seconds to import."""
    _State.first = sample()


def sample(path: str = _STAT) -> Sample | None:
    """Read the counters of the system (Linux); None where there are none."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    own_cores = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    try:
        with open(path, encoding="ascii") as file:
            lines = [line.split() for line in file if line.startswith("cpu")]
        # user, nice, system, idle, iowait, irq, softirq, steal; guests are counted in the first.
        ticks = [[int(count) for count in line[1:9]] for line in lines if line[0] in own_cores]
    except (OSError, ValueError):
        return None
    busy = sum(sum(counts) - sum(counts[3:5]) for counts in ticks) / os.sysconf("SC_CLK_TCK")
    return Sample(time.monotonic(), busy - time.process_time())


def n_free(before: Sample, now: Sample, n_cores: int) -> int:
    """Cores that nobody else used between two samples, at least one."""
    used = (now.others - before.others) / (now.time - before.time)
    return min(n_cores, max(1, int(n_cores - used + _IDLE_NOISE)))


def threads_of_a_worker() -> int:
    """Of each of several processes: what ``OMP_NUM_THREADS`` says, else one.

    It depends neither on the cores nor on how many processes there are, for the last bits of what
    torch sums up depend on it.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return max(1, int(first)) if first.isascii() and first.isdigit() else 1


class Threads:
    """The threads of torch and numba, for as long as a network runs; at most what torch takes.

    Args:
        always: as many in any case.
    """

    def __init__(self, always: int | None = None) -> None:
        import torch

        self._always = always
        self._most = torch.get_num_threads()
        self._before: dict[str, int] = {}
        self._last = _State.first or sample()
        self._window = _LEAST_WINDOW_S
        _State.first = None  # whoever comes later looks at what is later

    def adjust(self) -> None:
        """Take as many as there were free cores since the last time, once a second.

        What the user has set stays.
        """
        if self._always is not None:
            self._set(self._always)
            return
        if self._last is None or self._most == 1 or "OMP_NUM_THREADS" in os.environ:
            return
        now = sample()
        if now is None or now.time - self._last.time < self._window:
            return
        self._set(min(self._most, n_free(self._last, now, len(os.sched_getaffinity(0)))))
        self._last, self._window = now, _WINDOW_S

    def restore(self) -> None:
        """As they were."""
        _put(self._before)

    def _set(self, n_threads: int) -> None:
        if "numba" in sys.modules:
            self._before.setdefault("numba", sys.modules["numba"].get_num_threads())
        self._before["torch"] = self._most
        _put({name: min(n_threads, before) for name, before in self._before.items()})
        if self._always is not None:
            _put({"torch": n_threads})


def _put(numbers: Mapping[str, int]) -> None:
    # numba first: where it starts its own threads, it sets torch's number to theirs.
    for name, wanted in sorted(numbers.items()):
        library = sys.modules[name]
        if library.get_num_threads() != wanted:
            library.set_num_threads(wanted)
