"""Where compiled kernels are kept, and that all are compiled ahead for the types commands use."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rrtool
from rrtool.core.compiled import make_place

_KERNEL = """
import numba
@numba.njit(cache=True)
def one():
    return 1
one()
"""


@pytest.fixture
def blocked(tmp_path):
    """A file where a folder would have to be: nobody can write into it, root neither."""
    path = tmp_path / "file"
    path.touch()
    return path


def test_numba_keeps_kernels_of_what_cannot_be_written_in_the_users_cache(tmp_path):
    (tmp_path / "kernel.py").write_text(_KERNEL)
    (tmp_path / "__pycache__").touch()
    environment = {name: text for name, text in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    run = [sys.executable, "-c", "import kernel"]
    subprocess.run(run, cwd=tmp_path, env=environment, check=True, timeout=300)
    assert list(Path(tmp_path, "cache", "numba").rglob("*.nbi"))


@pytest.mark.parametrize("given", ["NUMBA_CACHE_DIR", "installation", "user"])
def test_numba_is_left_alone_where_it_finds_a_place(given, tmp_path, blocked):
    environment = {"XDG_CACHE_HOME": str(blocked)}
    if given == "NUMBA_CACHE_DIR":
        environment["NUMBA_CACHE_DIR"] = "mine"
    if given == "user":
        environment["XDG_CACHE_HOME"] = str(tmp_path / "new" / "cache")
    before = dict(environment)
    make_place(str(tmp_path if given == "installation" else blocked), environment)
    assert environment == before


def test_numba_gets_a_folder_for_the_process_where_there_is_no_other(blocked):
    program = (
        "import os, sys\n"
        "from rrtool.core.compiled import make_place\n"
        "environment = {'XDG_CACHE_HOME': sys.argv[1]}\n"
        "make_place(sys.argv[1], environment)\n"
        "print(environment['NUMBA_CACHE_DIR'], os.listdir(environment['NUMBA_CACHE_DIR']))\n"
        "if os.fork() == 0:\n"
        "    sys.exit()\n"
        "os.wait()\n"
        "print(os.path.isdir(environment['NUMBA_CACHE_DIR']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(blocked)], capture_output=True, text=True, check=True
    )
    folder, content, stays = done.stdout.split()
    assert content == "[]"
    assert stays == "True"  # also when a fork has ended
    assert not os.path.exists(folder)


@pytest.mark.parametrize("first", ["", "import numba\n"])
def test_kernels_run_where_nothing_can_be_kept(first, tmp_path):
    """A read-only installation and a user without a home: by itself numba imports no kernel."""
    installed = tmp_path / "rrtool"
    shutil.copytree(Path(rrtool.__file__).parent, installed, ignore=_without_caches)
    for folder in [installed, *(path for path in installed.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").touch()  # a file: root cannot make the folder either
    blocked = tmp_path / "file"
    blocked.touch()
    environment = {name: text for name, text in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    environment |= {"XDG_CACHE_HOME": str(blocked), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"PYTHONPATH": str(tmp_path)}
    program = (
        f"{first}import os, rrtool.core.diffusion.graph as graph\n"
        "assert graph.__file__.startswith(os.getcwd()), graph.__file__\n"
        "print(graph._count_listed.stats.cache_path)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "rrtool-compiled-" in done.stdout


def _without_caches(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__"]
