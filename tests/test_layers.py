"""The layering of DESIGN §2, read from the imports themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "rrtool").rglob("*.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = _tree(path)
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


def _forbidden(name: str) -> set[str]:
    """The packages that a module may not import."""
    found = set()
    if name.startswith("core/"):
        found |= {"typer", "h5py", "rich", "rrtool.stages", "rrtool.artifacts"}
    if not name.startswith("artifacts/"):
        found |= {"h5py"}
    if name != "ground_truth/restricted_pickle.py":
        found |= {"pickle", "pickletools"}
    if not name.startswith(("stages/", "cli/")) and name not in ("api.py", "commands.py"):
        found |= {"rrtool.stages"}
    return found


def test_modules_import_only_what_their_layer_may():
    wrong = {}
    for path in MODULES:
        imports = _imports(path)
        wrong[path] = {name for name in _forbidden(_relative(path)) if _uses(imports, name)}
    assert {path: used for path, used in wrong.items() if used} == {}


# Each may use those before it, and no other: the chapters in the order of the thesis's methods.
CHAPTERS = ("retrieval", "matching", "evaluation", "diffusion", "discovery", "learning", "training")


def _module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


KNOWN = {_module_of(path): path for path in MODULES}


def _used_modules(path: Path) -> set[str]:
    """The modules of rrtool that a file imports, wherever in it."""
    used: set[str] = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # Of a package either a module in it is imported, or a name of its own.
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            used |= {name if name in KNOWN else str(node.module) for name in names}
    return used & KNOWN.keys() - {_module_of(path)}


def _chapter(module: str) -> tuple[str, int] | None:
    """Layer and place of a module that is in a chapter's room."""
    parts = module.split(".")
    if len(parts) > 2 and parts[1] in ("core", "stages") and parts[2] in CHAPTERS:
        return parts[1], CHAPTERS.index(parts[2])
    return None


def test_chapters_use_only_those_before_them():
    for path in MODULES:
        own = _chapter(_module_of(path))
        for used in _used_modules(path) if own else ():
            other = _chapter(used)
            if other and other[0] == own[0]:
                assert other[1] <= own[1], f"{_relative(path)} uses {used}"


def test_modules_import_each_other_in_no_circle():
    waiting = {module: _used_modules(path) for module, path in KNOWN.items()}
    # A package imports what it names; that its modules lie in it is no import of the package.
    while free := [module for module, used in waiting.items() if not used & waiting.keys()]:
        for module in free:
            del waiting[module]
    assert not waiting, {module: sorted(used & waiting.keys()) for module, used in waiting.items()}


def test_rooms_import_each_other_in_no_circle():
    waiting: dict[str, set[str]] = {}
    for module, path in KNOWN.items():
        rooms = {_room(used) for used in _used_modules(path)}
        waiting.setdefault(_room(module), set()).update(rooms - {_room(module)})
    while free := [room for room, used in waiting.items() if not used & waiting.keys()]:
        for room in free:
            del waiting[room]
    assert not waiting, waiting


def _room(module: str) -> str:
    """A chapter's folder, another folder of rrtool, or a module at the top.

    What is declared of options is a layer of its own, wherever it stands.
    """
    if module.endswith("options"):
        return "options"
    parts = KNOWN[module].relative_to(ROOT / "rrtool").parts
    return "/".join(parts[: 2 if parts[0] in ("core", "stages") and len(parts) > 2 else 1])


def test_files_are_not_too_long():
    lengths = {
        _relative(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in MODULES
        if not path.stem.endswith(("_numba", "_torch"))  # kernels
    }
    assert {name: n for name, n in lengths.items() if n > 300} == {}


def test_folder_holds_not_too_many_files():
    counts: dict[Path, int] = {}
    for path in MODULES:
        counts[path.parent] = counts.get(path.parent, 0) + 1
    assert {folder: n for folder, n in counts.items() if n > 14} == {}


def test_tests_mirror_the_chapters():
    for layer in ("core", "stages"):
        rooms = {path.name for path in (ROOT / "rrtool" / layer).iterdir() if path.is_dir()}
        tested = {path.name for path in (ROOT / "tests" / layer).iterdir() if path.is_dir()}
        assert set(CHAPTERS) & rooms <= tested | {"evaluation"}


def _calls(path: Path, names: set[str]) -> list[str]:
    """Calls of methods of these names with a text as first argument."""
    return [
        f"{_relative(path)}:{node.lineno}"
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in names
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]


def test_no_dataset_is_read_by_its_name():
    for path in MODULES:
        if not _relative(path).startswith("artifacts/"):
            assert _calls(path, {"read_named", "read_texts", "layout"}) == []
        if _relative(path).startswith("stages/"):
            assert _calls(path, {"read", "shape"}) == []


LIGHT = [
    ROOT / "rrtool/__init__.py", ROOT / "rrtool/api.py", ROOT / "rrtool/commands.py",
    ROOT / "rrtool/options.py", ROOT / "rrtool/errors.py", ROOT / "rrtool/progress.py",
    *sorted((ROOT / "rrtool").rglob("*options.py")), *sorted((ROOT / "rrtool/cli").glob("*.py")),
]  # fmt: skip


def test_what_help_needs_imports_nothing_heavy():
    heavy = ("rrtool.core", "rrtool.artifacts", "torch", "numpy", "numba", "h5py", "scipy")
    for path in LIGHT:
        imports = _imports(path, top_level_only=True)
        assert not [package for package in heavy if _uses(imports, package)], _relative(path)


def _runs(code: str) -> set[str]:
    """The modules that a program has imported when it ends."""
    program = f"import sys\n{code}\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines())


def test_importing_rrtool_imports_nothing_heavy():
    imported = _runs("import rrtool")
    heavy = {
        "numpy",
        "torch",
        "h5py",
        "scipy",
        "numba",
        "typer",
        "rich",
        "PIL",
        "typing_extensions",
    }
    assert not imported & heavy
    assert {name for name in imported if name.startswith("rrtool.")} == {"rrtool.version"}
    assert "torch" not in _runs("import rrtool; rrtool.extract; rrtool.al_cycle; dir(rrtool)")
