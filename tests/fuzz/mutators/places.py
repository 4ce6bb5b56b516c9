"""What stands in the place of an input, and what lies around an output before a run."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.fuzz.mutators import Mutator

NOTES = "notes of a person, that no run may replace\n"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


_INSTEAD: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "zero": lambda path: path.symlink_to("/dev/zero"),
    "null": lambda path: path.symlink_to("/dev/null"),
    "full": lambda path: path.symlink_to("/dev/full"),
    "terminal": lambda path: path.symlink_to("/dev/tty"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
    "folder": lambda path: path.mkdir(),
    "dangling": lambda path: path.symlink_to("nowhere"),
    "circle": lambda path: path.symlink_to(path.name),
    "empty": lambda path: path.touch(),
    "missing": lambda path: None,
    "sparse": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 1 << 36),
    "socket": _socket,
    "text": lambda path: path.write_text(NOTES),
}


def _replaced(make: Callable[[Path], object]) -> Mutator:
    def mutate(path: Path, rng: Random) -> None:
        if path.is_dir() and rng.random() < 0.7:
            path = rng.choice(sorted(path.iterdir()))  # one of its files
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        make(path)

    return mutate


def _linked(path: Path, rng: Random) -> None:
    """The right file, behind a link: nothing changes."""
    other = path.with_name("behind")
    path.rename(other)
    path.symlink_to(other.name)


REPLACED: dict[str, Mutator] = {
    **{title: _replaced(make) for title, make in _INSTEAD.items()}, "linked": _linked,
}  # fmt: skip

_VICTIM = "../elsewhere/victim"


def _beside(name: str, *make: Callable[[Path], object]) -> Mutator:
    """Something of a name that is made from the output's, such as ``.{}.lock``."""

    def mutate(output: Path, rng: Random) -> None:
        path = output.with_name(name.format(output.name, output.stem))
        rng.choice(make)(path)

    return mutate


def _victim(path: Path) -> None:
    path.symlink_to(_VICTIM)


def _outside(path: Path) -> None:
    path.symlink_to("../elsewhere")


def _notes(path: Path) -> None:
    path.write_text(NOTES)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "notes").write_text(NOTES)


def _parts_with_notes(output: Path, rng: Random) -> None:
    parts = output.with_name(f".{output.name}.parts")
    parts.mkdir()
    names = ("key", "0000000.h5", "notes", "0000000.tmp")
    make = rng.choice((_victim, _notes, os.mkfifo, _folder))
    make(parts / rng.choice(names))


# Names that end in {} are of the output, {1} of its stem.
AROUND: dict[str, Mutator] = {
    "temporary": _beside(".{}.tmp", _victim, _notes, os.mkfifo, _folder),
    "lock": _beside(".{}.lock", _victim, _notes, os.mkfifo, _folder),
    "parts": _beside(".{}.parts", _victim, _outside, _notes, os.mkfifo, _folder),
    "in parts": _parts_with_notes,
    "output": _beside("{}", _victim, _notes, os.mkfifo, _folder, lambda p: p.symlink_to("nowhere"),
                      lambda p: p.symlink_to(p.name)),
    "skipped list": _beside("{1}.skipped.tsv", _victim, _notes, os.mkfifo, _folder),
    "list to label": _beside("{1}.to_label.csv", _victim, _notes, os.mkfifo, _folder),
}  # fmt: skip
# Outputs as they are typed by mistake. Never a device: as root, a run might replace it.
OUTPUTS = ("-", "", ".", "..", "missing/x.h5", "f.h5", "./sub/../f.h5", "x" * 300, "x\ny.h5",
"\udcff.h5",
           "images", "images/a_0.png", "x.skipped.tsv", "/", "~", "-x.h5", "x.h5/",
           "x.h5/y.h5")  # fmt: skip
