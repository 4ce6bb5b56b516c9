"""MATLAB files: SciPy's writer is the oracle, and no damage costs more than a line."""

from __future__ import annotations

import random
import struct
import zlib

import numpy as np
import pytest
from scipy.io import savemat

from rrtool.errors import UsageError
from rrtool.ground_truth import matlab
from rrtool.ground_truth.matlab import load_matlab

NAMES = ["caf\u00e9/1.jpg", "a.jpg", "", "x" * 300]
HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"


def cells(values):
    array = np.empty((1, len(values)), dtype=object)
    array[0] = values
    return array


def structs(entries):
    array = np.zeros((1, len(entries)), dtype=[(key, object) for key in entries[0]])
    for i, entry in enumerate(entries):
        for key, value in entry.items():
            array[0, i][key] = np.asarray(value)
    return array


CONTENT = {
    "imlist": cells(NAMES),
    "qimlist": cells(["q"]),
    "gnd": structs([
        {"ok": np.array([[1.0, 300.0]]), "junk": np.array([[2]], np.int16), "bbx": [[1.5, 2, 3, 4]]}
    ]),
}  # fmt: skip
PLAIN = {
    "imlist": NAMES,
    "qimlist": ["q"],
    "gnd": [{"ok": [0, 299], "junk": [1], "bbx": [1.5, 2, 3, 4]}],
}


@pytest.mark.parametrize("compressed", [False, True])
def test_load_matlab_reads_what_scipy_writes(tmp_path, compressed):
    others = {"descriptors": np.eye(40), "z": 1 + 2j, "f": np.float32(1), "s": {"a": {"b": [1]}}}
    path = tmp_path / "gnd.mat"
    savemat(path, {"before": others["z"], **CONTENT, **others}, do_compression=compressed)
    assert load_matlab(path) == PLAIN


@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "f4", "f8", "i8"])
def test_load_matlab_reads_every_type_of_number(tmp_path, kind):
    savemat(tmp_path / "g.mat", {"gnd": structs([{"ok": np.array([[1, 7]], kind)}])})
    assert load_matlab(tmp_path / "g.mat")["gnd"] == [{"ok": [0, 6]}]


def test_load_matlab_reads_lines_of_text_and_columns(tmp_path):
    savemat(tmp_path / "g.mat", {"imlist": ["ab", "c"], "gnd": structs([{"ok": [[3], [5]]}])})
    found = load_matlab(tmp_path / "g.mat")
    assert (found["imlist"], found["gnd"]) == (["ab", "c"], [{"ok": [2, 4]}])


def test_load_matlab_reads_the_other_byte_order(tmp_path):
    def element(kind, content):
        return struct.pack(">II", kind, len(content)) + content + bytes(-len(content) % 8)

    def matrix(kind, shape, name, content):
        flags, sizes = (
            element(6, struct.pack(">II", kind, 0)),
            element(5, struct.pack(">II", *shape)),
        )
        return element(14, flags + sizes + element(1, name) + content)

    text = matrix(4, (1, 2), b"", element(17, "é1".encode("utf-16-be")))
    header = HEADER[:124] + b"\x01\x00MI"
    (tmp_path / "g.mat").write_bytes(header + matrix(1, (1, 1), b"imlist", text))
    assert load_matlab(tmp_path / "g.mat")["imlist"] == ["é1"]


def variable(content, kind=15):
    return HEADER + struct.pack("<II", kind, len(content)) + content


def nested(depth):
    """Cells in cells."""
    inner = b""
    for level in range(depth):
        name = b"gnd\0\0\0\0\0" if level == depth - 1 else b""
        head = struct.pack("<IIIIIIII", 6, 8, 1, 0, 5, 8, 1, 1)
        head += struct.pack("<II", 1, 3 if name else 0) + name
        inner = struct.pack("<II", 14, len(head + inner)) + head + inner
    return HEADER + inner


def many(kind, n):
    """A matrix that says that it has n elements."""
    head = struct.pack("<IIIIIIII", 6, 8, kind, 0, 5, 8, 1, n) + struct.pack("<II", 1, 3)
    return variable(head + b"gnd\0\0\0\0\0" + struct.pack("<II", 5, 4) + bytes(8), 14)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "version 7.3.*save it again with -v7"),
        (variable(zlib.compress(bytes(1 << 20))), "MATLAB"),
        (nested(30), "more than 8 levels"),
        (many(1, 10_000_000), "more than 5,000,000 values"),
        (many(2, 4_000_000), "MATLAB"),
        (many(6, 1 << 30), "MATLAB"),
        (many(5, 1), "class 5"),
        (variable(b"no zlib"), "MATLAB"),
        (variable(b"", kind=3), "an element of type 3"),
    ],
)
def test_load_matlab_refuses_what_has_no_end(tmp_path, content, message):
    (tmp_path / "g.mat").write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        load_matlab(tmp_path / "g.mat")
    assert "g.mat: not a readable MATLAB file" in str(caught.value)


def test_load_matlab_inflates_no_more_than_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(matlab, "_MOST_BYTES", 10_000)
    savemat(tmp_path / "g.mat", {"imlist": cells(["x" * 20_000])}, do_compression=True)
    assert (tmp_path / "g.mat").stat().st_size < 1000
    with pytest.raises(UsageError, match="MATLAB"):
        load_matlab(tmp_path / "g.mat")


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_matlab_files_raise_usage_errors_only(tmp_path, compressed):
    path, rng, n_refused = tmp_path / "gnd.mat", random.Random(0), 0
    savemat(path, CONTENT, do_compression=compressed)
    whole = path.read_bytes()
    for _ in range(1000):
        damaged = bytearray(whole[: rng.randrange(len(whole) // 2, 2 * len(whole))])
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(124, len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            load_matlab(path)
        except UsageError:
            n_refused += 1
    assert n_refused > 300
