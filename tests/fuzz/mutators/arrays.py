"""NumPy's files and JSON of similarities: headers that lie, objects, odd names and numbers."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tests.fuzz.mutators import Mutator
from tests.fuzz.mutators.pickles import ODD

_SHAPES: tuple[Any, ...] = (
    (), (0,), (0, 0), (-1, 3), (6, 0), (1 << 62, 1 << 62), (1 << 40,), (2, 3, 4), (True, 3),
    (2.5, 1), "x", None, (3, 12), (6, 10**30),
)  # fmt: skip
_TYPES = (
    "|O", "<f2", ">f8", "<f16", "<c8", "|b1", "<U0", "<U4", "|S3", "<M8[s]", "|V4", "<i8", "",
    "object", [("a", "<f4")], "<f4,<f4",
)  # fmt: skip


def _npy(header: dict[str, object], values: bytes, rng: Random) -> bytes:
    text = repr(header) if rng.random() < 0.9 else repr(header)[: rng.randrange(40)]
    data = text.encode() + b"\n"
    version = rng.choice((b"\1\0", b"\1\0", b"\2\0", b"\3\0", b"\x09\0"))
    n_bytes = 2 if version[0] == 1 else 4
    return b"\x93NUMPY" + version + len(data).to_bytes(n_bytes, "little") + data + values


def _header(path: Path, rng: Random) -> None:
    """The header says something else than what follows it."""
    array = np.load(path)
    header: dict[str, object] = {
        "descr": array.dtype.str, "fortran_order": False, "shape": array.shape,
    }  # fmt: skip
    key = rng.choice(list(header))
    odd: tuple[Any, ...] = {"descr": _TYPES, "shape": _SHAPES}.get(key, ODD)
    header[key] = rng.choice(odd)
    if rng.random() < 0.1:
        del header[key]
    path.write_bytes(_npy(header, array.tobytes(), rng))


def _values(path: Path, rng: Random) -> None:
    """Another array, of objects too."""
    array = np.load(path).astype(rng.choice(("f2", "f8", "O", "i8", "U9", "?", "c8")))
    array = rng.choice((array, array.T, array[:0], array[..., None], array[0]))
    np.save(path, array, allow_pickle=True)


def _members(path: Path, rng: Random) -> None:
    """A member of an archive becomes another, goes, or comes again."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    place = rng.randrange(len(members))
    name, _ = members[place]
    content = io.BytesIO()
    odd = rng.choice((np.array([*ODD[:9]], object), np.zeros((6, 3)), np.array(["a"] * 6)))
    np.save(content, odd, allow_pickle=True)
    members[place] = (
        rng.choice((name, "../x.npy", "", "names.npy", "descriptors.npy")),
        (rng.choice((content.getvalue(), b"", _npy({"shape": rng.choice(_SHAPES)}, b"", rng)))),
    )
    if rng.random() < 0.3:
        members.append(members[0])
    how = rng.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    )
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, data in members[: rng.randrange(1, len(members) + 1)]:
            archive.writestr(name, data)


def _similarities(path: Path, rng: Random) -> None:
    """One place in the JSON becomes something else."""
    content = json.loads(path.read_text())
    odd = [each for each in ODD if not isinstance(each, (bytes, set, complex))]
    query = rng.choice(list(content))
    if rng.random() < 0.5 and content[query]:
        content[query][rng.choice(list(content[query]))] = rng.choice(odd)
    else:
        content[rng.choice((query, "", "\ud800", "\0", "x" * 100_000))] = rng.choice(odd)
    text = json.dumps(content)
    path.write_text(text if rng.random() < 0.8 else "[" * 50_000 + text)


NPY: dict[str, Mutator] = {"header": _header, "array": _values}
NPZ: dict[str, Mutator] = {"members": _members}
JSON: dict[str, Mutator] = {"similarities": _similarities}
