"""--dry-run: says what would be done, for every command that writes, and changes nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rrtool
from rrtool.artifacts import OutputFile
from rrtool.artifacts.kinds import open_any
from rrtool.commands import by_name
from rrtool.options import OverwriteOptions, declarations
from tests import tiny
from tests.made_chain import COMMANDS, GROUPS, command_name, output_flags

# Of merge and export, which are not in the chain.
MORE = {
    "merge": ("share1.h5", "share2.h5", "-o", "whole.h5"),
    "export": ("r.h5", "-o", "r.json"),
    "predict": ("labelled.h5", "f.h5", "-o", "p.csv"),
    "export names": ("f.h5", "-o", "f.npy"),
    "train": (
        "images",
        "--groups",
        GROUPS,
        "--network",
        "squeezenet1_1",
        "--weights",
        "none",
        "-o",
        "net.safetensors",
    ),
}
CALLS = {**COMMANDS, **MORE}
# Of these the network is asked for, which is torch's.
WITH_NETWORK = ("extract", "detect-local", "saliency fs", "saliency os", "train")


@pytest.fixture
def here(chain: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(chain)
    return chain


@pytest.fixture(scope="module")
def _shares(chain: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(chain)
        patch.setattr("rrtool.stages.amount._FEWEST_ROWS", 3)
        for number in (1, 2):
            shard = ("--shard", f"{number}/2")
            tiny.assert_done(tiny.extract("images", Path(f"share{number}.h5"), *shard))
        labels = "".join(f"{name}_{row}.png,{name}\n" for row, name in enumerate("abab"))
        Path("labels.csv").write_text(f"name,label\n{labels}")
        words = ("--features", "f.h5", "--labels", "labels.csv", "--budget", "2")
        tiny.assert_done(tiny.rrtool("al-cycle", *words, "-o", "labelled.h5"))


def _words(call: str, *, new: bool) -> list[str]:
    """A call, or the same to files that are not there."""
    words = [*command_name(call).split(), *CALLS[call]]
    flags = output_flags(call)
    if new:
        words = [
            f"unmade-{word}" if before in flags else word
            for before, word in zip(["", *words], words, strict=False)
        ]
    return words


def _state_of(folder: Path) -> dict[str, tuple[int, int, int]]:
    """All files with what a change of them would change."""
    found = {str(path): path.lstat() for path in sorted(folder.rglob("*"))}
    return {name: (s.st_mtime_ns, s.st_ino, s.st_size) for name, s in found.items()}


def _dry(here: Path, *words: object) -> str:
    before = _state_of(here)
    result = tiny.rrtool(*words, "--dry-run")
    assert _state_of(here) == before
    tiny.assert_done(result)
    assert result.stdout == ""
    return result.stderr


def test_every_command_that_writes_an_artifact_is_tried() -> None:
    writing = {name for name, kind in by_name().items() if issubclass(kind, OverwriteOptions)}
    assert writing == {*map(command_name, CALLS), "whiten export"}  # of a checkpoint: see its test
    assert all("dry_run" in declarations(by_name()[name]) for name in writing)


@pytest.mark.usefixtures("_shares")
@pytest.mark.parametrize("call", CALLS)
def test_dry_run_of_what_is_not_there_says_it_and_writes_nothing(here: Path, call: str) -> None:
    told = _dry(here, *_words(call, new=True))
    if call.startswith(("export", "predict")):
        assert "unmade-" in told
        assert "would be written" in told
        if call == "predict":
            assert "predict would read STATE labelled.h5, IMAGES f.h5\n" in told
            assert "6 images are to be worked on" in told
        return
    assert f"{command_name(call)} would read " in told
    assert ".h5 (" in told
    assert ") would be made" in told
    assert " are to be worked on" in told


@pytest.mark.parametrize("call", COMMANDS)
def test_dry_run_of_what_is_there_says_it_is_up_to_date(here: Path, call: str) -> None:
    assert "is up to date" in _dry(here, *_words(call, new=False))


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (("search", "f.h5", "f.h5"), "6 queries"),
        (("search", "ur.h5", "ur.h5"), "6 queries"),
        (("rerank", "r.h5", "--query-local", "q.h5", "--database-local", "d.h5"), "6 queries"),
        (("build-graph", "ur.h5", "--k", "2"), "30 vertices"),
        (("import", "own.npz"), "6 images"),
        (("evaluate", "r.h5", "v.h5", "--ground-truth", GROUPS), "12 queries"),
        (("al-cycle", "mnist:digits", "--oracle", "dataset", "--budget", "10"), "60 images"),
    ],
)
def test_dry_run_counts_the_rows(here: Path, words: tuple[str, ...], rows: str) -> None:
    if "ur.h5" in words and words[0] == "build-graph":
        with open_any("ur.h5") as regions:
            rows = f"{regions.lengths['r']} vertices"
    assert f"{rows} are to be worked on" in _dry(here, *words, "-o", "x.h5")


def test_dry_run_of_several_cycles_says_the_first(here: Path) -> None:
    words = ("al-cycle", "mnist:digits", "-o", "x.h5", "--oracle", "dataset", "--budget", "10")
    told = _dry(here, *words, "--cycles", "3")
    assert "x-c0.h5 (al-state) would be made" in told
    assert "x-c1.h5" not in told


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("search", "f.h5", "f.h5", "-o", "f.h5"), 2),
        (("search", "f.h5", "f.h5", "-o", "no/such/x.h5"), 2),
        (("search", "gone.h5", "f.h5", "-o", "x.h5"), 2),
        (("search", "d.h5", "f.h5", "-o", "x.h5"), 4),
        (("search", "f.h5", "fw.h5", "-o", "x.h5"), 4),
        (("search", "f.h5", "f.h5", "--top", "3", "-o", "r.h5"), 4),
        (("search", "f.h5", "f.h5", "-o", "images/a_0.png", "--overwrite"), 4),
        (("rerank", "r.h5", "--query-local", "d.h5", "--database-local", "q.h5", "-o", "x.h5"), 2),
        (("whiten", "fit", "f.h5", "--groups", "prefix:z", "-o", "x.h5"), 2),
        (("import", "net.pth", "--format", "npz", "-o", "x.h5"), 2),
        (("evaluate", "r.h5", "--ground-truth", "prefix:z", "-o", "x.h5"), 2),
        (("export", "r.h5", "-o", "own.npz", "--format", "csv"), 2),
        (("merge", "f.h5", "-o", "x.h5"), 4),
        (("predict", "sf.h5", "f.h5", "-o", "x.csv"), 2),
        (("predict", "a.h5", "f.h5", "-o", "x.csv"), 2),
        (("predict", "labelled.h5", "im.h5", "-o", "x.csv"), 4),
        (("predict", "labelled.h5", "gone", "-o", "x.csv"), 2),
    ],
)
@pytest.mark.usefixtures("_shares")
def test_dry_run_fails_as_the_run_would(here: Path, words: tuple[str, ...], code: int) -> None:
    before = _state_of(here)
    line = tiny.assert_fails(tiny.rrtool(*words, "--dry-run"), code)
    assert _state_of(here) == before
    assert line == tiny.assert_fails(tiny.rrtool(*words), code)


def test_dry_run_tells_what_would_be_replaced_and_what_an_interrupted_run_has_done(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("rerank", "r.h5", "--query-local", "q.h5", "--database-local", "d.h5", "-o", "v.h5")
    assert "v.h5 (ranking) would be replaced" in _dry(
        here, *words, "--shortlist", "2", "--overwrite"
    )
    monkeypatch.setattr("rrtool.stages.amount._FEWEST_ROWS", 2)
    finished = []

    def stop(output: OutputFile, number: int, datasets: dict) -> None:
        if finished:
            raise KeyboardInterrupt
        finished.append(write(output, number, datasets))

    write = OutputFile.write_part
    new = (*words[:-1], "x.h5")
    with monkeypatch.context() as patch:
        patch.setattr(OutputFile, "write_part", stop)
        assert tiny.rrtool(*new).exit_code == 130
    told = _dry(here, *new)
    assert "6 queries are to be worked on, 2 of them are done already by an interrupted" in told
    # Another run would not go on with it.
    assert "done already" not in _dry(here, *new, "--shortlist", "2")
    tiny.assert_done(tiny.rrtool(*new))
    Path("x.h5").unlink()


def test_dry_run_tells_how_long_by_the_rate_of_the_run_before(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("rerank", "r.h5", "--query-local", "q.h5", "--database-local", "d.h5", "-o", "x.h5")
    took = OutputFile.took
    assert "rate" not in _dry(here, *words)
    with monkeypatch.context() as patch:
        patch.setattr(OutputFile, "took", lambda output, _, n: took(output, 1200 * n, n))
        tiny.assert_done(tiny.rrtool(*words))
    told = _dry(here, *words, "--shortlist", "2", "--overwrite")
    assert "this takes about 2 hours, at the rate of the run before, and about" in told
    Path("x.h5").unlink()


def test_dry_run_of_a_python_function_returns_nothing(here: Path) -> None:
    assert rrtool.search("f.h5", "f.h5", "x.h5", dry_run=True) is None
    assert not Path("x.h5").exists()


@pytest.mark.usefixtures("_shares")
def test_dry_run_imports_no_torch(here: Path) -> None:
    calls = [_words(call, new=True) for call in CALLS if command_name(call) not in WITH_NETWORK]
    program = f"""
import sys
from typer.testing import CliRunner
from rrtool.cli.app import app
for words in {calls!r}:
    result = CliRunner().invoke(app, [*words, "--dry-run"])
    assert result.exit_code == 0, (words, result.stderr)
    assert "torch" not in sys.modules, words
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
