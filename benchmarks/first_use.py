"""What numba compiles when rrtool is first used: every kernel, in seconds of the processor.

python benchmarks/first_use.py [--commands]

``rrtool doctor --warm`` with an empty cache of compiled code, in a process of its own and one
thread. The time of a kernel is that of the thread that compiles it, less the kernels that it calls;
the first line, a loop of plain Python, tells how fast this machine is at the moment. With
``--commands`` a small call of each command follows, with the same cache: what one of them still
compiles, doctor has left out, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from timing import print_machine

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# Runs one command, and writes which kernels it compiled for which types, and how long it took.
_PROGRAM = """
import json, os, sys, time
from numba.core import event

class Listener(event.Listener):
    begun, compiled = [], []

    def on_start(self, event):
        self.begun.append([time.thread_time(), 0.0])

    def on_end(self, event):
        start, inner = self.begun.pop()
        took = time.thread_time() - start
        function = event.data["dispatcher"].py_func
        if not function.__module__.startswith("rrtool"):
            return  # numba's own, which counts for whoever calls it
        if self.begun:
            self.begun[-1][1] += took
        name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self.compiled.append([name, str(event.data["args"]), took - inner])

listener = Listener()
event.register("numba:compile", listener)
from rrtool.__main__ import main
try:
    main()
finally:
    with open(os.environ["FIRST_USE_LOG"], "w") as file:
        json.dump(listener.compiled, file)
"""

_NETWORK = ("--network", "squeezenet1_1", "--weights", "none", "--device", "cpu")
# Calls of kernels that the chain of the tests leaves out.
_MORE = {
    "diffuse truncated": ("--graph", "g.h5", "--queries", "f.h5", "--database", "f.h5",
                          "--truncate", "4", "-o", "st5.h5"),
    "al-cycle coreset": ("--features", "f.h5", "-o", "sc.h5", "--budget", "2",
                         "--strategy", "coreset"),
    "train spatial": ("images", "--groups", "prefix:(.)_", "-o", "n.safetensors", *_NETWORK,
                      "--spatial", "--epochs", "1", "--queries", "2", "--negatives", "1",
                      "--image-size", "96", "--train-from", "last"),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--commands", action="store_true", help="run every command afterwards")
    arguments = parser.parse_args()
    print_machine()
    started = time.process_time()
    sum(number * number % 7 for number in range(5_000_000))
    print(f"five million steps of plain Python: {time.process_time() - started:.2f} s\n")
    os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NUMBA_CACHE_DIR"] = f"{folder}/compiled"
        _report(_run(["doctor", "--warm"], Path(folder, "log")))
        n_left_out = _try_commands(Path(folder)) if arguments.commands else 0
        os.chdir("/")
    raise SystemExit(bool(n_left_out))


def _report(compiled: list[tuple[str, str, float]]) -> None:
    seconds: Counter[str] = Counter()
    for name, _, took in compiled:
        seconds[name] += took
    times = Counter(name for name, _, _ in compiled)
    for name, took in seconds.most_common():
        print(f"{name:<56} {times[name]} types  {took:6.2f} s")
    print(f"{'all':<56} {len(compiled)} types  {seconds.total():6.2f} s")


def _try_commands(folder: Path) -> int:
    """How many kernels are compiled by commands, with the cache as it is."""
    from tests.made_chain import COMMANDS, command_name, make_inputs

    make_inputs(folder)
    n_left_out = 0
    for call, words in (COMMANDS | _MORE).items():
        for name, types, _ in _run([*command_name(call).split(), *words], folder / "log"):
            print(f"{call} compiled {name} for {types}", flush=True)
            n_left_out += 1
    print(f"{n_left_out} kernels were compiled by {len(COMMANDS | _MORE)} commands")
    return n_left_out


def _run(words: list[str], log: Path) -> list[tuple[str, str, float]]:
    program = [sys.executable, "-c", _PROGRAM, *words]
    environment = os.environ | {"FIRST_USE_LOG": str(log)}
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}:\n{done.stdout}{done.stderr}")
    return json.loads(log.read_text())


if __name__ == "__main__":
    main()
