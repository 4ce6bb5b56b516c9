"""Processes of ``million.py``: the stages and their peers, timed with all that they take."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def run_measured(name: str, *command: object) -> None:
    """Run a process, and print its seconds and the peak of its resident memory."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *map(str, command)])
    _, status, usage = os.wait4(process.pid, 0)
    seconds, peak = time.perf_counter() - start, usage.ru_maxrss / 2**20
    spent = usage.ru_utime + usage.ru_stime
    print(f"== {name}: {seconds:.1f} s (processor {spent:.1f} s), peak {peak:.2f} GiB", flush=True)
    if status:
        raise SystemExit(f"{name} failed")


def run_stage(*arguments: object) -> None:
    run_measured(str(arguments[0]), "-m", "rrtool", *arguments)


def run_peer(name: str, folder: Path) -> None:
    run_measured(f"peer, {name}", Path(__file__).with_name("million_peers.py"), name, folder)
