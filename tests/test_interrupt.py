"""Ctrl-C in the middle of every stage that works in parts: the next run goes on from there.

And Ctrl-C or SIGTERM at any time of a process: exit code 130, one line, nothing left behind.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rrtool.artifacts import OutputFile
from rrtool.artifacts.output.lock import output_lock
from rrtool.stages.amount import parts_of
from rrtool.stages.driver import fill
from tests.tiny import (
    CPU,
    NETWORK,
    assert_done,
    assert_fails,
    detect_local,
    digest_of,
    extract,
    leftovers,
    make_pictures,
    rrtool,
)

STAGES = {
    "extract": ("extract", "images", *NETWORK, *CPU),
    "extract --save-maps": ("extract", "images", "--save-maps", "new-maps.h5", *NETWORK, *CPU),
    "extract --local": ("extract", "images", "--local", "new-local.h5", *NETWORK, *CPU),
    "extract --regions": ("extract", "images", "--regions", "2", *NETWORK, *CPU),
    "detect-local": ("detect-local", "images", *NETWORK, *CPU),
    "detect-local --maps": ("detect-local", "images", "--maps", "maps.h5"),
    "saliency fs": ("saliency", "fs", "images", "--maps", "maps.h5"),
    "rerank": ("rerank", "ranking.h5", "--query-local", "local.h5", "--database-local", "local.h5"),
}

TWO_OUTPUTS = ("extract --save-maps", "extract --local")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five images, and what the later stages read."""
    folder = tmp_path_factory.mktemp("interrupt")
    make_pictures(folder / "images", 5)
    features = folder / "features.h5"
    assert_done(extract(folder / "images", features, "--save-maps", folder / "maps.h5"))
    assert_done(detect_local(folder / "images", folder / "local.h5"))
    assert_done(rrtool("search", features, features, "-o", folder / "ranking.h5"))
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_interrupted_stage_goes_on_to_the_same(folder, monkeypatch, stage):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(parts_of, "__defaults__", (2,))
    monkeypatch.setattr(fill, "__kwdefaults__", {"rows_per_part": 2})
    name = stage.replace(" ", "")
    write_part, finished = OutputFile.write_part, []

    def interrupted(output, number, datasets):
        if len(finished) == (2 if stage in TWO_OUTPUTS else 1):
            raise KeyboardInterrupt
        write_part(output, number, datasets)
        finished.append(number)

    with monkeypatch.context() as patch:
        patch.setattr(OutputFile, "write_part", interrupted)
        result = rrtool(*STAGES[stage], "-o", f"{name}.h5")
    assert_fails(result, 130, "interrupted; run the same command again")
    assert not (folder / f"{name}.h5").exists()

    continued = []

    def counted(output, number, datasets):
        continued.append((output.path.name, number))
        write_part(output, number, datasets)

    with monkeypatch.context() as patch:
        patch.setattr(OutputFile, "write_part", counted)
        assert_done(rrtool(*STAGES[stage], "-o", f"{name}.h5"))
    assert [number for path, number in continued if path == f"{name}.h5"] == [1, 2]
    assert leftovers(folder) == []
    assert_done(rrtool(*STAGES[stage], "-o", f"{name}-whole.h5", "--overwrite"))
    assert digest_of(folder / f"{name}.h5") == digest_of(folder / f"{name}-whole.h5")


@pytest.mark.parametrize("stage", ["extract", "rerank"])
def test_second_run_on_one_output_stops_and_leaves_the_first_alone(folder, monkeypatch, stage):
    monkeypatch.chdir(folder)
    output = folder / "held.h5"
    with output_lock(output):
        assert_fails(rrtool(*STAGES[stage], "-o", output), 1, "another run is writing this output")
        assert not output.exists()
        assert leftovers(folder) == [".held.h5.lock"]
    assert leftovers(folder) == []


def _wait_until_caught(process):
    """Until our handler of SIGTERM stands: before that, Python itself is starting."""
    status = Path(f"/proc/{process.pid}/status")
    for _ in range(10_000):
        line = next(each for each in status.read_text().splitlines() if each.startswith("SigCgt"))
        if int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.001)
    raise AssertionError("the handlers never came")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux's /proc")
def test_signal_at_any_time_from_the_start_ends_with_130_and_one_line(tmp_path):
    make_pictures(tmp_path / "images", 200)
    generator = random.Random(12)
    running = []
    for i in range(6):
        options = ("-o", tmp_path / f"{i}.h5", *NETWORK, *CPU, "--batch-size", "1")
        words = [sys.executable, "-m", "rrtool", "extract", tmp_path / "images", *options]
        process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        _wait_until_caught(process)
        time.sleep(generator.random() * (i / 3))
        number = (signal.SIGINT, signal.SIGTERM)[i % 2]
        process.send_signal(number)
        if i in (2, 3):
            process.send_signal(number)
        running.append(process)
    for process in running:
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130, told
        assert "Traceback" not in told
        assert len([line for line in told.splitlines() if "interrupted" in line]) == 1
    assert [name for name in leftovers(tmp_path) if not name.endswith(".parts")] == []


_PROGRAM = """
import os, signal, sys, time
from rrtool.cli.console import reported
from rrtool.interrupts import install
import typer

def send():
    os.kill(os.getpid(), signal.{name})

class Dying:
    def __del__(self):
        send()
        time.sleep(0.01)

install()
try:
    with reported():
        {body}
except typer.Exit as end:
    sys.exit(end.exit_code)
"""
_BODIES = {
    "again while it cleans up": """
        try:
            send()
            time.sleep(20)
        finally:
            send()
            time.sleep(0.1)
            print("cleaned up", file=sys.stderr)""",
    "in a finalizer": """
        Dying()
        time.sleep(20)
    """,
    "made another error of": """
        try:
            send()
            time.sleep(20)
        except KeyboardInterrupt:
            raise ValueError("a callback failed")
    """,
    "at once where nothing is held": """
        from rrtool.interrupts import working
        with working(False):
            try:
                send()
                time.sleep(20)
            except BaseException:
                raise SystemError("an import failed")
    """,
}


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("when", _BODIES)
def test_signal_that_falls_badly_still_ends_in_one_line(when, name):
    program = _PROGRAM.format(name=name, body=_BODIES[when])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=15
    )
    assert done.returncode == 130, done.stderr
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("rrtool: interrupted"), done.stderr
    assert lines[:-1] == (["cleaned up"] if "cleans" in when else [])


def test_signal_that_the_shell_ignores_stays_ignored():
    program = "import signal; signal.signal(2, signal.SIG_IGN)\nfrom rrtool.interrupts import *\n"
    program += "install(); print(signal.getsignal(2) == signal.SIG_IGN, signal.getsignal(15))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("True <function")


@pytest.mark.parametrize(
    ("shell", "code", "told"),
    [
        ("{} --help | true", "0", ""),
        ("{} --help >&-", "0", ""),
        ("{} --help >/dev/full", "1", "standard output: cannot write (found No space left"),
        ("{} inspect none.h5 2>&-", "2", ""),
        ("{} inspect none.h5 2>/dev/full", "2", ""),
    ],
)
def test_closed_or_full_output_gives_no_traceback(tmp_path, shell, code, told):
    words = f"{sys.executable} -m rrtool"
    done = subprocess.run(
        ["/bin/sh", "-c", shell.format(words) + "; echo $? >code"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (tmp_path / "code").read_text().strip() == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert told in done.stderr
