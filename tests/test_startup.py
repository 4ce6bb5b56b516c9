"""What a command imports: torch only where a network runs, nothing heavy to say "up to date"."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from tests.made_chain import COMMANDS, GROUPS, command_of

_PROGRAM = """
import sys
from rrtool.cli.app import main
try:
    main()
except SystemExit as end:
    code = end.code
print("|".join(["modules", str(code), *sys.modules]), file=sys.stderr)
"""


def _modules_of(*words):
    """What is imported when a command, run in a process of its own, ends well."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, *words], capture_output=True, text=True, check=True
    )
    _, code, *modules = done.stderr.splitlines()[-1].split("|")
    assert code in ("0", "None"), done.stderr
    return set(modules)


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
def test_command_without_a_network_imports_no_torch(here, command):
    assert not _modules_of(*NEW[command]) & {"torch", "torchvision", "timm"}


@pytest.mark.parametrize("call", COMMANDS)
def test_up_to_date_answer_imports_nothing_heavy(here, call):
    imported = _modules_of(*command_of(call))
    heavy = {"torch", "torchvision", "timm", "onnxruntime", "pyarrow"}
    if not call.startswith(("al-", "evaluate")):  # these read their images or rankings
        heavy |= {"numba", "faiss"}
    assert not imported & heavy


def test_extract_of_the_default_network_imports_no_more_than_it_takes(here, tmp_path):
    modules = _modules_of("extract", "images", "-o", str(tmp_path / "new-f.h5"), "--device", "cpu")
    assert not modules & {"timm", "torchvision", "torch._dynamo"}
    assert not modules & {"scipy.sparse.csgraph", "rrtool.stages.discovery.saliency_fs"}


def test_update_without_a_new_photo_imports_no_torch(chain, tmp_path, monkeypatch):
    shutil.copytree(chain / "images", tmp_path / "images")
    for name in ("f.h5", "m.h5"):
        shutil.copy(chain / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    os.utime("images/a_0.png")
    os.rename("images/b_1.png", "images/c.png")
    imported = _modules_of(*command_of("extract"), "--update")
    assert not imported & {"torch", "torchvision", "timm", "onnxruntime", "numba", "faiss"}
    assert (tmp_path / "f.h5").stat().st_ino != (chain / "f.h5").stat().st_ino
    names = subprocess.run(
        [sys.executable, "-c", "import rrtool; print(rrtool.open('f.h5').names)"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "c.png" in names
    assert "b_1.png" not in names
