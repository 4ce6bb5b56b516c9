"""Throughput of extract by workers, against one process.

python benchmarks/cluster.py [--images FOLDER] [--count 185] [--repeats 1] [--engine torch]

Sides take turns: one process with OMP_NUM_THREADS=1, one with as many threads as it likes, one and
two workers by ``local:N``, and by a dask scheduler whose workers have come for this benchmark and
load the network with their first part. Each is a command of its own, its start included. Features
are compared with those of the first side. Wall clock, photos a second, and seconds of the processor
of the command and its workers, which say more where the machine is busy.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timing import Timing, print_machine, report

from rrtool.artifacts import open_artifact
from rrtool.images.listing import list_images

SHARED = Path(os.environ.get("RRTOOL_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
FREE = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", default=str(SHARED / "retrieval" / "scenes" / "images"))
    parser.add_argument("--count", type=int, help="of photos; by default all")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--engine", default="auto")
    arguments = parser.parse_args()
    paths = list_images(arguments.images).paths[: arguments.count]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed = folder / "list.txt"
        listed.write_bytes(b"\n".join(os.fsencode(os.path.abspath(path)) for path in paths))
        print_machine()
        command = ["extract", str(listed), "--engine", arguments.engine, "--device", "cpu"]
        seconds: dict[str, list[float]] = {}
        for _ in range(arguments.repeats):
            before = processor_seconds()
            for side, took in sides(folder, command):
                seconds.setdefault(side, []).append(took)
                now = processor_seconds()
                print(
                    f"{side}: {took:.1f} s, {len(paths) / took:.2f} photos/s, processor "
                    f"{now - before:.1f} s, load {os.getloadavg()[0]:.1f}",
                    flush=True,
                )
                before = now
        report({side: Timing(side, tuple(values)) for side, values in seconds.items()})


def sides(folder: Path, command: list[str]) -> Iterator[tuple[str, float]]:
    """Every side once: its name and seconds."""
    yield "one process, one thread", run(folder, command, ONE_THREAD)
    yield "one process", run(folder, command, FREE, is_same=False)
    for n in (1, 2):
        local = [*command, "--workers-on", f"local:{n}"]
        yield f"local:{n}", run(folder, local, ONE_THREAD)
        with cluster(folder, n) as scheduler_file:
            on_dask = [*command, "--workers-on", f"dask:{scheduler_file}"]
            took = run(folder, on_dask, ONE_THREAD)
        yield f"dask, {n} worker{'s'[: n - 1]}", took


def run(
    folder: Path, command: list[str], environment: dict[str, str], is_same: bool = True
) -> float:
    """Seconds of a command; its features must be those of the first one."""
    first, output = folder / "first.h5", folder / "f.h5"
    output.unlink(missing_ok=True)
    start = time.perf_counter()
    words = [sys.executable, "-m", "rrtool", *command, "--quiet", "-o", str(output)]
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
    took = time.perf_counter() - start
    if not first.exists():
        output.rename(first)
    elif is_same and digest(first) != digest(output):
        print("DIFFERENT features")
    return took


def processor_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def cluster(folder: Path, n: int) -> Iterator[Path]:
    """A scheduler and ``n`` workers on this machine."""
    scheduler_file, started = folder / f"scheduler-{n}.json", []

    def start(*words: str) -> None:
        command = [sys.executable, "-m", "dask", *words, "--scheduler-file", str(scheduler_file)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started.append(subprocess.Popen([*command, "--no-dashboard"], env=ONE_THREAD, **quiet))

    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0")
        while not scheduler_file.exists():
            time.sleep(0.1)
        for _ in range(n):
            start("worker", "--no-nanny", "--nthreads", "1")
        time.sleep(5)
        yield scheduler_file
    finally:
        scheduler_file.unlink(missing_ok=True)
        for process in started:
            process.kill()
            process.wait()


def digest(path: Path) -> str:
    with open_artifact(path) as artifact:
        return artifact.digest


if __name__ == "__main__":
    main()
