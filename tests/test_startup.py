"""What a command imports: torch only where a network runs, nothing heavy to say "up to date"."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

import rrtool
from tests.made_chain import COMMANDS, GROUPS, command_of

# A process that has imported what commands may import, and forks for each that it is told.
_PROGRAM = """
import json, os, sys
import {imports}
from rrtool.cli.app import main

for line in sys.stdin:
    folder, words = json.loads(line)
    reading, writing = os.pipe()
    if os.fork() == 0:
        code = None
        os.chdir(folder)
        os.dup2(2, 1)
        sys.argv = ["rrtool", *words]
        try:
            main()
        except SystemExit as end:
            code = end.code
        with open(writing, "w") as told:
            json.dump([code, list(sys.modules)], told)
        os._exit(0)
    os.close(writing)
    with open(reading) as told:
        print(told.read(), flush=True)
    os.wait()
"""


_LIGHT = "numpy, h5py, rrtool.artifacts.kinds, rrtool.stages.driver"
_HEAVY = {"numba", "faiss"}
_NETWORKS = {"torch", "torchvision", "timm", "onnxruntime"}


@pytest.fixture(scope="module")
def modules_of():
    """What is imported when a command, run in a process of its own, ends well.

    ``heavy``: whether it may import what is heavy, but for networks.
    """
    processes = {}

    def modules(*words, heavy=False):
        if heavy not in processes:
            imports = ", ".join([_LIGHT, "scipy.sparse.linalg", *_HEAVY] if heavy else [_LIGHT])
            program = [sys.executable, "-c", _PROGRAM.format(imports=imports)]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            processes[heavy] = subprocess.Popen(program, text=True, **pipes)
        process = processes[heavy]
        process.stdin.write(json.dumps([os.getcwd(), words]) + "\n")
        process.stdin.flush()
        code, found = json.loads(process.stdout.readline())
        assert code in (0, None)
        return set(found)

    yield modules
    for process in processes.values():
        process.stdin.close()
        assert process.wait() == 0


@pytest.fixture
def here(chain, monkeypatch):
    monkeypatch.chdir(chain)


NEW = {
    "search": ("search", "f.h5", "f.h5", "-o", "new-r.h5"),
    "rerank": (
        *("rerank", "r.h5", "--query-local", "q.h5", "--database-local", "d.h5"),
        *("--device", "cpu", "-o", "new-v.h5"),
    ),
    "evaluate": ("evaluate", "r.h5", "v.h5", "--ground-truth", GROUPS, "-o", "new-e.h5"),
    "report": (
        *("report", "v.h5", "--images", "images", "-o", "new.html"),
        *("--query-local", "q.h5", "--database-local", "d.h5"),
    ),
    "export": ("export", "v.h5", "-o", "new.json"),
    "inspect": ("inspect", "f.h5"),
    "help": ("--help",),
    "help of extract": ("extract", "--help"),
}


@pytest.mark.parametrize("command", NEW)
def test_command_without_a_network_imports_no_torch(here, modules_of, command):
    assert not modules_of(*NEW[command], heavy=True) & _NETWORKS


@pytest.mark.parametrize("call", COMMANDS)
def test_up_to_date_answer_imports_nothing_heavy(here, modules_of, call):
    reads = call.startswith(("al-", "evaluate"))  # its images or rankings
    imported = modules_of(*command_of(call), heavy=reads)
    assert not imported & {*_NETWORKS, "pyarrow"}
    assert reads or not imported & _HEAVY


def test_extract_of_the_default_network_imports_no_more_than_it_takes(here, modules_of, tmp_path):
    modules = modules_of("extract", "images", "-o", str(tmp_path / "new-f.h5"), "--device", "cpu")
    assert not modules & {"timm", "torchvision", "torch._dynamo"}
    assert not modules & {"scipy.sparse.csgraph", "rrtool.stages.discovery.saliency_fs"}


def test_update_without_a_new_photo_imports_no_torch(chain, modules_of, tmp_path, monkeypatch):
    shutil.copytree(chain / "images", tmp_path / "images")
    for name in ("f.h5", "m.h5"):
        shutil.copy(chain / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    os.utime("images/a_0.png")
    os.rename("images/b_1.png", "images/c.png")
    imported = modules_of(*command_of("extract"), "--update")
    assert not imported & (_NETWORKS | _HEAVY)
    assert (tmp_path / "f.h5").stat().st_ino != (chain / "f.h5").stat().st_ino
    with rrtool.open("f.h5") as features:
        assert "c.png" in features.names
        assert "b_1.png" not in features.names
