"""Random changes of a folder of photos, each followed by an update and by a run from nothing.

``python -m tests.stages.update_sequences 200`` follows 200 sequences and says how many were equal;
with a second number, those from that seed on.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch

import rrtool
from rrtool.artifacts import OutputFile
from rrtool.stages.amount import parts_of
from tests.tiny import make_pictures, picture

OUTPUTS = {
    "output": "f.h5", "local": "l.h5", "query_local": "q.h5", "fs_regions": "r.h5",
    "fs_features": "rf.h5", "save_maps": "m.h5",
}  # fmt: skip
NETWORK = {
    "network": "squeezenet1_1", "weights": "none", "scales": "1,0.5", "max_size": 96,
    "device": "cpu", "engine": "torch",
}  # fmt: skip


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of two threads differ from those of one in the last bits.

    numba first: where it starts its own threads, it sets torch's number to theirs.
    """
    import numba  # after rrtool, which sets how many threads it has

    before = numba.get_num_threads(), torch.get_num_threads()
    numba.set_num_threads(1)
    torch.set_num_threads(1)
    yield
    numba.set_num_threads(before[0])
    torch.set_num_threads(before[1])


def describe(photos: Path, folder: Path, **options: object) -> None:
    """All that comes out of one pass."""
    folder.mkdir(exist_ok=True)
    outputs = {name: folder / file for name, file in OUTPUTS.items()}
    rrtool.extract(photos, keep_maps=True, **outputs, **NETWORK, **options)


def differences(folder: Path, other: Path) -> list[str]:
    """Datasets and facts in which the outputs in two folders differ."""
    found = []
    for file in OUTPUTS.values():
        with rrtool.open(folder / file) as one, rrtool.open(other / file) as two:
            names = {*one.dataset_names(), *two.dataset_names()}
            for name in sorted(names):
                there = [name in each.dataset_names() for each in (one, two)]
                if not all(there) or not _same(one.read_named(name), two.read_named(name)):
                    found.append(f"{file} {name}")
            if one.extra != two.extra:
                found.append(f"{file} extra")
    return found


def _same(one: np.ndarray, two: np.ndarray) -> bool:
    return one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()


def change(photos: Path, generator: np.random.Generator) -> str:
    """One change of the folder, in words; two good photos stay in any case."""
    names = sorted(path.name for path in photos.iterdir())
    new = f"{generator.integers(1000):03d}.png"
    one, other = generator.choice(names, 2, replace=False)
    kind = generator.choice(
        ["add", "change", "rename", "remove", "touch", "copy", "swap", "break", "same"]
    )
    if kind == "add" or (kind in ("remove", "break") and len(names) < 6):
        picture(int(generator.integers(1 << 30))).save(photos / new)
    elif kind == "change":
        picture(int(generator.integers(1 << 30))).save(photos / one)
    elif kind == "rename":
        os.replace(photos / one, photos / new)
    elif kind == "remove":
        os.remove(photos / one)
    elif kind == "touch":
        os.utime(photos / one)
    elif kind == "copy":
        shutil.copyfile(photos / one, photos / new)
    elif kind == "swap":
        os.rename(photos / one, photos / "aside")
        os.rename(photos / other, photos / one)
        os.rename(photos / "aside", photos / other)
    elif kind == "break":
        (photos / one).write_bytes(b"no picture")
    return f"{kind} {one} {other} {new}"


@contextmanager
def interrupted_at(n_writes: int) -> Iterator[None]:
    """Stop whatever runs when it has written so many parts and artifacts."""
    left = [n_writes]

    def counting(method: str) -> object:
        original = getattr(OutputFile, method)

        def run(*args: object, **more: object) -> object:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return original(*args, **more)

        return patch.object(OutputFile, method, run)

    with counting("write_part"), counting("publish"):
        yield


def follow(folder: Path, seed: int, n_steps: int) -> list[str]:
    """One sequence; what differed from a run from nothing at which step."""
    generator = np.random.default_rng(seed)
    photos = make_pictures(folder / "photos", 7, 10 * seed)
    kept, fresh, told = folder / "kept", folder / "fresh", []
    with one_thread(), patch.object(parts_of, "__defaults__", (3,)):
        describe(photos, kept, update=True)
        shutil.copy(kept / "l.h5", folder / "levels.h5")
        for step in range(n_steps):
            told += [change(photos, generator) for _ in range(generator.integers(1, 4))]
            if generator.random() < 0.6:
                _interrupt(photos, kept, int(generator.integers(12)))
            if generator.random() < 0.3:  # and the folder changes again
                told.append(change(photos, generator))
            describe(photos, kept, update=True)
            describe(photos, fresh, overwrite=True, levels_from=folder / "levels.h5")
            if found := differences(kept, fresh):
                return [f"step {step}: {', '.join(found)}", *told]
    left = [path.name for path in kept.iterdir() if path.name.startswith(".")]
    return [f"left {left}"] if left else []


def _interrupt(photos: Path, kept: Path, n_writes: int) -> None:
    try:
        with interrupted_at(n_writes):
            describe(photos, kept, update=True)
    except KeyboardInterrupt:
        pass


def main(n_sequences: int, first_seed: int = 0) -> None:
    """Say what differed, and count."""
    n_equal = 0
    for seed in range(first_seed, first_seed + n_sequences):
        with tempfile.TemporaryDirectory() as folder:
            found = follow(Path(folder), seed, 3)
        n_equal += not found
        for line in found:
            print(f"sequence {seed}: {line}", flush=True)
    print(f"{n_equal} of {n_sequences} sequences of updates equal runs from nothing")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
