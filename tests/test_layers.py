"""The layering of DESIGN §2, read from the imports themselves."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "rrtool").rglob("*.py"))


def _imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _uses(imports: set[str], package: str) -> bool:
    return any(name == package or name.startswith(package + ".") for name in imports)


def _relative(path: Path) -> str:
    return path.relative_to(ROOT / "rrtool").as_posix()


@pytest.mark.parametrize("path", MODULES, ids=_relative)
def test_module_imports_only_what_its_layer_may(path):
    imports, name = _imports(path), _relative(path)
    if name.startswith("core/"):
        for package in ("typer", "h5py", "rich", "rrtool.stages", "rrtool.artifacts"):
            assert not _uses(imports, package)
    if not name.startswith("artifacts/"):
        assert not _uses(imports, "h5py")
    if name not in ("ground_truth/restricted_pickle.py", "networks/checkpoints.py"):
        assert not _uses(imports, "pickle")
        assert not _uses(imports, "pickletools")
    if not name.startswith("stages/") and not name.startswith("cli/"):
        assert not _uses(imports, "rrtool.stages")


@pytest.mark.parametrize("path", sorted((ROOT / "rrtool/cli").glob("*.py")), ids=_relative)
def test_cli_imports_no_stage_at_module_level(path):
    imports = _imports(path, top_level_only=True)
    for package in ("rrtool.stages", "rrtool.artifacts", "torch", "numpy", "numba", "h5py"):
        assert not _uses(imports, package)


def test_checkpoints_use_pickle_for_its_exception_only():
    tree = ast.parse((ROOT / "rrtool/networks/checkpoints.py").read_text(encoding="utf-8"))
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "pickle"
    }
    assert used == {"UnpicklingError"}
