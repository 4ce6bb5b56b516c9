"""What befalls files on a disk, and what then comes of reading them.

``python -m tests.artifacts.damage N [SEED]`` tries N damaged copies over all kinds of artifacts and
prints how many were refused, how many read as they were, and each that read otherwise, crashed,
hung, or took too much memory.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, open_any, open_artifact
from rrtool.artifacts.kinds import KINDS
from rrtool.errors import ArtifactError
from tests.artifacts.made_kinds import make_artifact

SECTOR = 512
_N_PER_CHILD = 100


def damaged_copies(
    content: bytes, n: int, generator: np.random.Generator
) -> Iterator[tuple[str, bytes]]:
    """``n`` copies, each damaged in one way that is said: mostly by a single bit."""
    sectors = range(0, max(1, len(content) - SECTOR), SECTOR)
    for _ in range(n):
        copy = bytearray(content)
        way = generator.random()
        first, second = (int(generator.choice(sectors)) for _ in range(2))
        if way < 0.8:
            place, bit = int(generator.integers(len(copy))), int(generator.integers(8))
            copy[place] ^= 1 << bit
            said = f"bit {bit} of byte {place}"
        elif way < 0.87:
            said = f"cut to {(length := int(generator.integers(len(copy))))} bytes"
            del copy[length:]
        elif way < 0.94:
            copy[first : first + SECTOR] = bytes(len(copy[first : first + SECTOR]))
            said = f"zeros at {first}"
        else:
            a, b = copy[first : first + SECTOR], copy[second : second + SECTOR]
            copy[first : first + SECTOR], copy[second : second + SECTOR] = b, a
            said = f"{first} and {second} exchanged"
        yield said, bytes(copy)


def contents(artifact: Artifact) -> dict[str, Any]:
    """All that can be read of an artifact, comparable."""
    datasets = {name: artifact.read_named(name) for name in artifact.dataset_names()}
    values = {name: (v.dtype.str, v.shape, v.tobytes()) for name, v in datasets.items()}
    told = artifact.provenance(), artifact.asked, artifact.digest, artifact.inputs
    return {"values": values, "told": told}


def outcome(path: Path, expected: dict[str, Any]) -> str:
    """How a file reads: ``refused``, ``equal`` or ``different``."""
    try:
        with open_any(path) as artifact:
            found = contents(artifact)
    except ArtifactError:
        return "refused"
    return "equal" if found == expected else "different"


def _tried(path: Path, copies: list[tuple[str, bytes]], expected: dict[str, Any]) -> Counter:
    """Outcomes of copies, which a child reads within 2 GiB and 10 s each."""
    counts: Counter = Counter()
    start = 0
    while start < len(copies):
        results = _in_child(path, copies[start:], expected)
        for (said, content), result in zip(copies[start:], results, strict=False):
            changed = "as it was" if content == path.read_bytes() else result
            counts[changed] += 1
            if changed not in ("refused", "equal", "as it was"):
                print(f"{path.name}, {said}: {result}", flush=True)
        start += len(results)
    return counts


def _in_child(path: Path, copies: list[tuple[str, bytes]], expected: dict[str, Any]) -> list[str]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        for _, content in copies:
            signal.alarm(10)
            copy = path.with_name("copy.h5")
            copy.write_bytes(content)
            try:
                result = outcome(copy, expected)
            except BaseException as error:  # noqa: BLE001 (it is what is looked for)
                result = f"raised {error!r}"[:200].replace("\n", " ")
            os.write(writing, result.encode() + b"\n")
        os._exit(0)
    os.close(writing)
    with open(reading) as lines:
        results = lines.read().splitlines()
    _, status = os.waitpid(child, 0)
    if status:
        results.append(f"ended by {os.waitstatus_to_exitcode(status)}")
    return results


def _try(n: int, seed: int) -> Counter:
    counts: Counter = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number, kind in enumerate(KINDS):
            generator = np.random.default_rng([seed, number])
            path = make_artifact(kind, Path(folder) / f"{kind.KIND}.h5", generator)
            with open_artifact(path) as artifact:
                expected = contents(artifact)
            for start in range(0, n // len(KINDS) + 1, _N_PER_CHILD):
                n_now = min(_N_PER_CHILD, n // len(KINDS) + 1 - start)
                copies = list(damaged_copies(path.read_bytes(), n_now, generator))
                counts += _tried(path, copies, expected)
    return counts


if __name__ == "__main__":
    print(dict(_try(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)))
