"""Tiny pictures and short runs of rrtool, for the tests of its stages and command line."""

from __future__ import annotations

import gzip
import struct
import sys
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
from PIL import Image
from typer import testing
from typer.testing import CliRunner, Result

from rrtool.artifacts import open_artifact
from rrtool.cli.app import app
from rrtool.progress import Silent

# It would make all commands of the app anew for each call, which takes a tenth of a second.
testing._get_command = cache(testing._get_command)

NETWORK = ("--network", "squeezenet1_1", "--weights", "none", "--scales", "1")
CPU = ("--device", "cpu", "--max-size", "96")


def picture(seed: int, size: tuple[int, int] = (72, 64)) -> Image.Image:
    """A blocky random RGB picture of ``size`` (width, height)."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def make_pictures(folder: Path, n: int, first_seed: int = 0) -> Path:
    """``n`` PNG files ``000.png`` … in a new folder."""
    folder.mkdir(parents=True)
    for i in range(n):
        picture(first_seed + i).save(folder / f"{i:03d}.png")
    return folder


def make_digits(folder: Path, n: int, n_test: int) -> Path:
    """MNIST's four files, with a bright band at the height of the digit for a digit."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for stem, count in (("train", n), ("t10k", n_test)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = generator.integers(0, 60, (count, 28, 28)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2 * label + 2 : 2 * label + 6] += 180
        for name, magic, array in (("images-idx3", 0x803, images), ("labels-idx1", 0x801, labels)):
            header = struct.pack(f">{1 + array.ndim}I", magic, *array.shape)
            (folder / f"{stem}-{name}-ubyte.gz").write_bytes(
                gzip.compress(header + array.tobytes(), 1)
            )
    return folder


class Told(Silent):
    """The messages of a run."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def message(self, text: str) -> None:
        self.lines.append(text)


def rrtool(*args: object, stdin: bytes | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)


def extract(images: object, output: Path, *options: object, stdin: bytes | None = None) -> Result:
    return rrtool("extract", images, "-o", output, *NETWORK, *CPU, *options, stdin=stdin)


def detect_local(images: object, output: Path, *options: object) -> Result:
    return rrtool("detect-local", images, "-o", output, *NETWORK, *CPU, *options)


def command_line(*args: object) -> list[str]:
    """The same command as a process of its own."""
    return [sys.executable, "-c", "from rrtool.cli.app import main; main()", *map(str, args)]


def assert_fails(result: Result, code: int, *fragments: str) -> str:
    """One clear line on stderr, the right exit code, nothing on stdout; returns the line."""
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    line = assert_one_line(result.stderr)
    assert result.exit_code == code, line
    assert result.stdout == ""
    for fragment in fragments:
        assert fragment in line
    return line


def assert_one_line(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.startswith("rrtool:")]
    assert len(lines) == 1, stderr
    assert "Traceback" not in stderr
    return lines[0]


def assert_done(result: Result, code: int = 0) -> None:
    assert result.exit_code == code, (result.stderr, result.exception)
    assert not [line for line in result.stderr.splitlines() if line.startswith("rrtool:")]


def benchmark(name: str) -> ModuleType:
    """A script of ``benchmarks``, which imports others that lie beside it."""
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return import_module(name)
    finally:
        sys.path.remove(folder)


def digest_of(path: Path) -> str:
    with open_artifact(path) as artifact:
        return artifact.digest


def skipped_rows(output: Path) -> dict[str, str]:
    """Reason of each name in ``<stem>.skipped.tsv``."""
    text = output.with_name(output.stem + ".skipped.tsv").read_text(encoding="utf-8")
    first, header, *lines = text.splitlines()
    assert first == f"# rrtool: inputs that were skipped for {output.name}"
    assert header == "name\treason"
    rows: Sequence[list[str]] = [line.split("\t") for line in lines]
    assert all(len(row) == 2 and row[1] for row in rows)
    return dict(rows)


def leftovers(folder: Path) -> list[str]:
    """Hidden files that a run leaves while it works."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
