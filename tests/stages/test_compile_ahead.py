"""doctor --warm compiles every kernel there is, and says where it is kept."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

from numba.core.dispatcher import Dispatcher

import rrtool
from rrtool.progress import Silent
from rrtool.stages.compile_ahead import GROUPS, compile_all
from tests.tiny import assert_fails
from tests.tiny import rrtool as run

ROOT = Path(rrtool.__file__).parent


def _kernels() -> dict[str, Dispatcher]:
    """All that Python calls: what only kernels call is compiled with them, and not kept alone."""
    found = {}
    for path in ROOT.rglob("*.py"):
        if "njit(" in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
            for each, value in vars(import_module(name)).items():
                if isinstance(value, Dispatcher) and value.py_func.__module__ == name:
                    found[f"{name}.{each}"] = value
    return {name: kernel for name, kernel in found.items() if kernel.stats.cache_path is not None}


def test_every_kernel_is_compiled():
    facts, wrong = compile_all(Silent())
    assert wrong == []
    assert len(facts) == len(GROUPS) + 1
    kernels = _kernels()
    assert len(kernels) > 20
    assert [name for name, kernel in kernels.items() if not kernel.signatures] == []


def test_warm_does_nothing_else():
    result = run("doctor", "--warm", "--json")
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert set(facts) == {"compiled", "wrong"}
    assert Path(facts["compiled"]["kept in"]).is_dir()


def test_warm_goes_with_no_folder(tmp_path):
    assert_fails(run("doctor", tmp_path, "--warm"), 2, "--warm does not go with FOLDER")
