"""How long a command takes that has nothing heavy to do, as a process of its own.

python benchmarks/startup.py [--repeats 5]

On small input: the import, the help, commands that need no network, and answers that everything is
up to date. Medians and ranges of whole processes, in seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import compare, print_machine

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.made_chain import COMMANDS, GROUPS, command_of, make_chain

RRTOOL = [sys.executable, "-m", "rrtool"]
FRESH = {
    "search": ["search", "f.h5", "f.h5"],
    "rerank --device cpu": [
        *("rerank", "r.h5", "--query-local", "q.h5", "--database-local", "d.h5"),
        *("--device", "cpu"),
    ],
    "evaluate": ["evaluate", "r.h5", "v.h5", "--ground-truth", GROUPS],
    "report": ["report", "v.h5", "--images", "images"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print_machine()
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    with tempfile.TemporaryDirectory() as folder:
        make_chain(Path(folder))
        sides = {
            "python -c pass": _run([sys.executable, "-c", "pass"]),
            "import rrtool": _run([sys.executable, "-c", "import rrtool"]),
            "rrtool --help": _run([*RRTOOL, "--help"]),
        }
        for name, words in FRESH.items():
            sides[name] = _run([*RRTOOL, *words, "-o", "new"], fresh="new")
        for call in COMMANDS:
            sides[f"up to date: {call}"] = _run([*RRTOOL, *command_of(call)])
        compare(sides, arguments.repeats)
        os.chdir("/")


def _run(words: list[str], fresh: str = ""):
    def run() -> None:
        if fresh:
            Path(fresh).unlink(missing_ok=True)
        subprocess.run(words, check=True, capture_output=True)

    return run


if __name__ == "__main__":
    main()
