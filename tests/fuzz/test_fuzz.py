"""A short run of the fuzzer, and proof that it sees what it is there to see."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.fuzz.child import MIB, Limits, run_forked
from tests.fuzz.made import SECRET
from tests.fuzz.mutators import raw
from tests.fuzz.verdict import judge, snapshot
from tests.warm import warm_rrtool

WORDS = ["search", "f.h5", "f.h5", "-o", "x.h5"]


def _fail(text: str, code: int) -> None:
    print(text, file=sys.stderr)
    sys.exit(code)


def _grow() -> None:
    block = bytearray(128 * MIB)
    block[::4096] = bytes(len(block) // 4096)


def _start_and_leave() -> None:
    if os.fork() == 0:
        time.sleep(30)
        os._exit(0)


FAULTS = {
    "traceback": lambda: {}["nothing"],
    "hang": lambda: time.sleep(30),
    "memory": _grow,
    "signal 11": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exit code": lambda: sys.exit(7),
    "process left": _start_and_leave,
    "lost": lambda: Path("f.h5").write_bytes(b"others"),
    "left behind": lambda: Path(".x.h5.tmp").touch(),
    "message": lambda: sys.exit(2),
    "unprintable": lambda: _fail("rrtool: a message \x1b[2J with a control", 2),
    "noise": lambda: print("HDF5-DIAG: Error detected in HDF5", file=sys.stderr),
    "leak": lambda: print(Path("../elsewhere/victim").read_text()),
    "foreign code": lambda: Path("../elsewhere/pwned").touch(),
}


@pytest.fixture
def folder(tmp_path):
    for name in ("work", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "work" / "f.h5").write_bytes(b"features")
    (tmp_path / "elsewhere" / "victim").write_text(SECRET)
    return tmp_path


def _found(action, folder):
    limits = Limits(seconds=0.5, memory=64 * MIB)
    before = snapshot(folder)
    outcome = run_forked(action, folder, {}, limits)
    return [each.what for each in judge(WORDS, outcome, before, folder, ["x.h5"], limits)]


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(folder, fault):
    assert fault in _found(FAULTS[fault], folder)


@pytest.mark.parametrize(
    "action",
    [
        lambda: Path("x.h5").touch(),
        lambda: _fail("rrtool: f.h5: damaged, cut short, or not an HDF5 file", 4),
        lambda: _fail("rrtool: bad --k (expected at least 1, found 0)", 2),
    ],
)
def test_what_is_right_is_no_finding(folder, action):
    assert _found(action, folder) == []


def test_mutators_of_bytes_are_set_by_the_generator(tmp_path):
    for mutate in raw.MUTATORS.values():
        made = []
        for _ in range(2):
            (tmp_path / "x").write_bytes(bytes(range(256)) * 8)
            mutate(tmp_path / "x", Random("7:3"))
            made.append((tmp_path / "x").read_bytes())
        assert made[0] == made[1]


def test_a_short_run_finds_nothing():
    kinds = [word for kind in ("artifact", "truth", "table", "config") for word in ("--only", kind)]
    command = [warm_rrtool(), "-m", "tests.fuzz", "--seed", "3", "--count", "20", "--minutes", "3"]
    done = subprocess.run(
        [*command, *kinds], capture_output=True, text=True, check=False,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
