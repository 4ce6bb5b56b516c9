"""Every benchmark that has an aim, one after the other, and the table of what holds.

    python benchmarks/goals.py [--only mser saliency] [--write docs/goals.md]

What the benchmarks print goes through. A goal that was measured on data that stand in for photos is
told, and never written to the table. ``--write`` replaces the table of the file as a whole.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from timing import GOAL, MACHINE, STAND_IN

FOLDER = Path(__file__).parent
SCRIPTS = (
    "mser", "fsm", "extract", "adjacency", "diffusion", "build_graph", "neighbors", "egm",
    "saliency", "joint_label_propagation", "reciprocal", "training", "retrieval_training",
)  # fmt: skip
HEAD = """# Goals

Speed that rrtool aims at, each measured against the other side at its best, in one run on the same
input with the results compared: the median, and the first and third quartile of the repeats. Made
by `make bench`; what was missed stays in. What the scripts of `benchmarks/` do in detail is in
[benchmarks.md](benchmarks.md).

| script | what | aim | found | |
|---|---|---|---|---|
"""


def lines_of(script: str) -> Iterator[str]:
    """What a benchmark prints, as it prints it.

    Raises:
        SystemExit: it failed.
    """
    words = [sys.executable, "-u", str(FOLDER / f"{script}.py")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            yield line.rstrip("\n")
    if process.returncode:
        raise SystemExit(f"benchmarks/{script}.py failed")


def rows_of(script: str, lines: Iterator[str]) -> tuple[str, list[str]]:
    """The line of the machine, and a row of Markdown for each goal measured on what it is about."""
    machine, stand_in, rows = "", False, []
    for line in lines:
        stand_in |= line.startswith(STAND_IN)
        if line.startswith(MACHINE):
            machine = line.removeprefix(MACHINE)
        if line.startswith(GOAL) and not stand_in:
            rows.append(f"| `{script}.py` | {line.removeprefix(GOAL)} |")
    return machine, rows


def page(rows: list[str], machine: str, left_out: list[str]) -> str:
    """The table, on what it was measured, and which scripts it is without."""
    without = f"\nNot run this time: {', '.join(left_out)}.\n" if left_out else ""
    return f"{HEAD}{chr(10).join(rows)}\n\nMachine: {machine}.\n{without}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS)
    parser.add_argument("--write", type=Path)
    arguments = parser.parse_args()
    table: list[str] = []
    machine = ""
    for script in arguments.only:
        print(f"\n=== {script}", flush=True)
        machine, rows = rows_of(script, lines_of(script))
        table += rows
    text = page(table, machine, [script for script in SCRIPTS if script not in arguments.only])
    print(f"\n{text}")
    if arguments.write:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
