"""Kill runs of every command at random operations on files; run them again; compare.

    python -m tests.kills --kills 1000 --seed 1 [--only "extract,al-cycle start"]

Every rerun must leave what an undisturbed run leaves, nothing old may be lost, nothing may be left
behind. Ends with 1 if one kill of all does not hold.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import os
import pkgutil
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import redirect_stderr, suppress
from pathlib import Path

import rrtool
from rrtool.cli.app import app
from tests.kills.case import Case, run
from tests.kills.chain import CALLS, make_base
from tests.kills.faults import KINDS, Fault

# Exit codes after a fault; 0 and 3 where it struck what the result does not need.
_CODES = {
    "SIGKILL": {-9}, "torn": {-9}, "SIGTERM": {130, 0, 3}, "SIGINT": {130, 0, 3},
    "ENOSPC": {1, 0, 2, 3}, "EIO": {1, 0, 2, 3},
}  # fmt: skip


def main() -> int:
    """Strike as often as asked; print each complaint, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="names of calls, comma-separated")
    chosen = parser.parse_args()
    calls = {name: CALLS[name] for name in (chosen.only.split(",") if chosen.only else CALLS)}
    folder = Path(tempfile.mkdtemp(prefix="rrtool-kills-"))
    try:
        _warm(folder)
        return _strike_all(calls, folder, chosen.kills, random.Random(chosen.seed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _warm(folder: Path) -> None:
    """Import everything, so that a child starts in milliseconds; start no thread."""
    for module in pkgutil.walk_packages(rrtool.__path__, "rrtool."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    with suppress(SystemExit), redirect_stderr(io.StringIO()):
        app(["inspect", str(folder / "none.h5")])  # what the command line itself imports late
    gc.collect()
    gc.freeze()  # else the first collection of every child copies all pages
    n_threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
    if n_threads > 1:
        raise SystemExit(f"{n_threads} threads are running: forks would not be safe")


def _strike_all(
    calls: dict[str, list[str]], folder: Path, n_kills: int, generator: random.Random
) -> int:
    base = folder / "base"
    base.mkdir()
    start = time.monotonic()
    if (pid := os.fork()) == 0:
        code = 1
        try:
            make_base(base, calls)
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("the chain could not be made")
    print(f"the chain is made ({time.monotonic() - start:.0f} s)", flush=True)
    counts: Counter[str] = Counter()
    struck: Counter[str] = Counter()
    lengths: dict[tuple[str, bool], int] = {}
    n_bad = 0
    for number in range(n_kills):
        name = list(calls)[number % len(calls)]
        older = generator.random() < 0.4
        kind = generator.choice(KINDS)
        where = f"{number}: {name}{' over older outputs' if older else ''}"
        if (name, older) not in lengths:
            case = Case(calls[name], base, folder / "case", older=older)
            ended = run(case.words, case.folder, Fault())
            complaints = case.complaints_after_rerun()
            case.close()
            if ended.code not in (0, 3) or complaints:
                raise SystemExit(f"{where}: undisturbed: {ended.code} {ended.stderr} {complaints}")
            lengths[name, older] = len(ended.log)
        at = generator.randint(1, lengths[name, older])
        complaints = _strike(calls[name], base, folder / "case", older, Fault(kind, at))
        counts[kind] += 1
        struck[name] += 1
        if complaints:
            n_bad += 1
            print(f"{where}, {kind} at {at} of {lengths[name, older]}:", *complaints, sep="\n    ")
        if number % 50 == 49 or complaints:
            print(f"{number + 1} of {n_kills}, {n_bad} did not hold", flush=True)
    took = time.monotonic() - start
    print(f"{n_kills} kills in {took:.0f} s: {dict(counts)}")
    print(f"calls: {dict(struck)}")
    print(f"{n_bad} kills that did not hold")
    return int(n_bad > 0)


def _strike(words: list[str], base: Path, folder: Path, older: bool, fault: Fault) -> list[str]:
    """What does not hold after a kill and after the run after it."""
    case = Case(words, base, folder, older=older)
    killed = run(case.words, folder, fault)
    complaints = case.complaints_after_kill()
    if killed.code not in _CODES[fault.kind]:
        complaints.append(f"exit code {killed.code} of the struck run")
    again = run(case.words, folder, Fault())
    if again.code not in (0, 3):
        complaints.append(f"exit code {again.code} of the rerun")
    complaints += case.complaints_after_rerun()
    for ended in (killed, again):
        if "Traceback" in ended.stderr:
            complaints.append("a traceback")
    if complaints:
        complaints += [killed.stderr, again.stderr]
    case.close()
    return complaints


if __name__ == "__main__":
    sys.exit(main())
