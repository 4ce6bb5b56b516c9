"""Fair timing for the comparisons in this folder: both sides alternate in one process.

Scripts here run as ``python benchmarks/x.py``, which puts this folder on the path:
``from timing import compare, print_machine, report``. What they aim at they tell by ``tell_goal``,
of which ``benchmarks/goals.py`` makes one table.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike


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

    def over(self, other: Timing) -> np.ndarray:
        """How many times as long as the other side, repeat by repeat, which ran one after the
        other."""
        return np.divide(self.seconds, other.seconds)


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


# How lines begin that goals.py reads.
GOAL, MACHINE, STAND_IN = "goal | ", "machine: ", "*** STAND-IN DATA"


def tell_goal(
    what: str,
    found: ArrayLike,
    *,
    least: float | None = None,
    most: float | None = None,
    unit: str = "times",
    valid: bool = True,
) -> None:
    """Prints one row of the table of goals: what is measured, the aim, what was found.

    Args:
        what: the comparison, with the input and the other side's form.
        found: of every repeat, or one figure alone; the median counts.
        least, most: the aim, one of them; ``least=1`` times means faster.
        valid: whether what was found so fast is what was asked for.
    """
    low, median, high = np.percentile(found, [25, 50, 75])
    if least is not None:
        aim = "faster" if (least, unit) == (1, "times") else f"at least {least:g} {unit}"
        holds = median >= least
    else:
        aim, holds = f"at most {most:g} {unit}", median <= most
    spread = f" ({low:.3g} to {high:.3g})" if np.size(found) > 1 else ""
    verdict = "holds" if holds and valid else "**missed**"
    print(f"{GOAL}{what} | {aim} | {median:.3g}{spread} {unit} | {verdict}")


def print_machine(stand_in: str = "") -> None:
    """Prints the processor, the cores this process may use, its bandwidth, and the versions that
    matter; and, loudly, if data stand in for photos that are not here, which ones."""
    if stand_in:
        print(f"{STAND_IN}: {stand_in} ***")
    one, two = (copy_bandwidth(n) / 1e9 for n in (1, 2))
    print(f"{MACHINE}{_processor()}, {_cores()} cores; a copy moves {one:.1f} GB/s by one thread, "
          f"{two:.1f} by two")  # fmt: skip
    libraries = ("numpy", "numba", "scipy", "torch", "faiss-cpu")
    versions = ", ".join(f"{name} {_version(name)}" for name in libraries)
    print(f"python {platform.python_version()}, {versions}")


def copy_bandwidth(n_threads: int, n_bytes: int = 1 << 28) -> float:
    """Bytes a second, read and written, that a plain copy reaches; the median of five."""
    sources = np.array_split(np.ones(n_bytes // 4, np.float32), n_threads)
    targets = [np.zeros_like(source) for source in sources]
    with ThreadPoolExecutor(n_threads) as pool:
        speeds = []
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(np.copyto, targets, sources))
            speeds.append(2 * n_bytes / (time.perf_counter() - start))
    return float(np.median(speeds))


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
