"""Fair timing for the comparisons in this folder: both sides alternate in one process.

Scripts here run as ``python benchmarks/x.py``, which puts this folder on the path:
``from timing import compare, print_machine, report``.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Wall-clock seconds of one side.

    Attributes:
        name: the side's name.
        seconds: one entry a repeat, in the order in which they ran.
    """

    name: str
    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def iqr(self) -> float:
        """Spread: the distance between the first and the third quartile."""
        low, high = np.percentile(self.seconds, [25, 75])
        return float(high - low)


def compare(name_to_callable: dict[str, Callable[[], object]], repeats: int) -> dict[str, Timing]:
    """Times every callable ``repeats`` times, alternating, after one warm-up call of each.

    Alternating spreads a change of the machine's load over all sides; the warm-up keeps
    compilation and first-touch page faults out. The results are printed as they are returned:
    ratios are to the first side.
    """
    for call in name_to_callable.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in name_to_callable}
    for _ in range(repeats):
        for name, call in name_to_callable.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    timings = {name: Timing(name, tuple(values)) for name, values in seconds.items()}
    report(timings)
    return timings


def report(timings: dict[str, Timing]) -> None:
    """Prints median, interquartile range and the ratio to the first side, one line a side."""
    if not timings:
        return
    width = max(map(len, timings))
    first = next(iter(timings.values()))
    for timing in timings.values():
        print(
            f"{timing.name:<{width}}  median {1e3 * timing.median:10.3f} ms"
            f"  IQR {1e3 * timing.iqr:8.3f} ms  n={len(timing.seconds)}"
            f"  {timing.median / first.median:8.2f}x"
        )


def print_machine() -> None:
    """Prints the processor, the cores this process may use, and the versions that matter."""
    print(f"machine: {_processor()}, {_cores()} cores")
    libraries = ("numpy", "numba", "scipy", "torch")
    versions = ", ".join(f"{name} {_version(name)}" for name in libraries)
    print(f"python {platform.python_version()}, {versions}")


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _version(distribution: str) -> str:
    # Asking the metadata instead of importing: torch alone would add seconds to every benchmark.
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "absent"
