"""Ground truths as pickles and MATLAB files: their contents, their opcodes, and bombs."""

from __future__ import annotations

import pickle
import struct
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from scipy.io import savemat

from tests.fuzz.mutators import Mutator
from tests.fuzz.mutators.raw import EDITS, zeros

ODD: tuple[Any, ...] = (
    None, -1, 10**30, 2**63, True, 1.5, float("nan"), float("inf"), "", "x", "\n", b"\xff", [], {},
    (),
    [[]], [None], {"ok": [1]}, "a_0", ["a_0"], [0, 0], [99], "x" * 100_000, 1 + 2j, {1, 2},
    "\ud800",
)  # fmt: skip


def _content(path: Path, rng: Random) -> None:
    """One place in what the pickle holds becomes something else, or goes."""
    content = pickle.loads(path.read_bytes())  # noqa: S301 - our own
    holder: Any = content
    while True:
        keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
        key = rng.choice(list(keys))
        inner = holder[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.75:
            holder = inner
            continue
        if rng.random() < 0.25:
            del holder[key]
        else:
            holder[key] = rng.choice((*ODD, np.array([1, 2]), np.float64(3), np.zeros((2, 2))))
        break
    protocol = rng.randrange(5)
    path.write_bytes(pickle.dumps(content, protocol))


def _opcodes(path: Path, rng: Random) -> None:
    """An opcode becomes another, or one more is put in."""
    data = bytearray(path.read_bytes())
    place = rng.randrange(len(data))
    code = rng.choice(
        b"(.012FIJKLMNPQRSTUVX]abcdeghijlopqrst}\x80\x81\x85\x88\x8a\x8c\x8e\x93\x94\x95"
    )
    if rng.random() < 0.5:
        data[place] = code
    else:
        data.insert(place, code)
    path.write_bytes(data)


def _shared(depth: int, inner: bytes) -> bytes:
    """Lists in which each holds the one before twice: 2^depth leaves in a few bytes."""
    made = inner + b"q\x00"
    for level in range(1, depth):
        memo = bytes([level - 1])
        made += b"](h" + memo + b"h" + memo + b"eq" + bytes([level])
    return made


def _bombs(rng: Random) -> bytes:
    depth = rng.choice((24, 60, 200))
    shared = _shared(depth, rng.choice((b"]", b"K\x01", b"X\x01\0\0\0a", b"}")))
    command = rng.choice((b"touch ../elsewhere/pwned", b"echo > pwned"))
    foreign = rng.choice((b"cos\nsystem\n", b"cposix\nsystem\n", b"csubprocess\ncall\n",
                          b"cbuiltins\neval\n", b"cnumpy\nload\n",
                          b"cnumpy\nfrombuffer\n"))  # fmt: skip
    keys = {key: b"X" + struct.pack("<I", len(key)) + key
            for key in (b"gnd", b"imlist", b"qimlist")}  # fmt: skip
    return rng.choice((
        b"\x80\x02" + shared + b".",
        b"\x80\x02}(" + keys[b"imlist"] + shared + keys[b"gnd"] + b"]" + keys[b"qimlist"] + b"]u.",
        b"\x80\x02}(" + keys[b"imlist"] + b"]" + keys[b"gnd"] + shared + keys[b"qimlist"] + b"]u.",
        foreign + b"(S'" + command + b"'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(command)]) + command + b"\x85R.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999999\ntS'b'\ntR.",
        b"]" * 500_000 + b"a" * 499_999 + b".",
        b"(" * 1_000_000 + b".", b"}" + b"]" * 100_000,
        b"]q\0h\0a.", b"}q\0h\0K\1s.", b"\x80\x02]q\0(h\0h\0e.",
        b"I" + b"9" * 1_000_000 + b"\n.", b"L" + b"9" * 4_000_000 + b"L\n.",
        b"F" + b"9" * 400 + b"\n.",
        b"\x8b" + struct.pack("<i", 2**31 - 1) + b"x.", b"\x8e" + struct.pack("<Q", 2**62) + b"x.",
        b"X\xff\xff\xff\x7f.", b"\x80\x02r\xff\xff\xff\x7f.", b"p999999999\n.",
        b"Nr\xff\xff\xff\x3f.",
        b"\x80\xff.", b"\x95" + struct.pack("<Q", 2**63) + b"N.", b"N0.", b".", b"",
        b"\x80\x05\x96" + struct.pack("<Q", 2**40) + b".", b"\x8a\xff" + b"\xff" * 255 + b".",
        b"\x80\x02K\1" + b"\x85" * 200_000 + b".", b"P1\n.", b"\x82\1.", b"i__main__\nX\n.",
    ))  # fmt: skip


def _bomb(path: Path, rng: Random) -> None:
    path.write_bytes(_bombs(rng))


PICKLES: dict[str, Mutator] = {"content": _content, "content again": _content, "opcodes": _opcodes,
                               "bomb": _bomb}  # fmt: skip


def _elements(data: bytes) -> tuple[bytes, list[bytes]]:
    """Head and uncompressed elements of a MATLAB file."""
    found, place = [], 128
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<II", data, place)
        body = data[place + 8 : place + 8 + size]
        found.append(zlib.decompress(body) if kind == 15 else data[place : place + 8 + size])
        place += 8 + size
    return data[:128], found


def _inside(path: Path, rng: Random) -> None:
    """Bytes inside the compressed elements change; the compression stays sound."""
    head, elements = _elements(path.read_bytes())
    place = rng.randrange(len(elements))
    edit = bytearray(elements[place])
    EDITS[rng.choice(("flip", "flip", "set", "number", "zeros", "swap", "truncate"))](edit, rng)
    elements[place] = bytes(edit)
    packed = (zlib.compress(element) for element in elements)
    path.write_bytes(head + b"".join(struct.pack("<II", 15, len(x)) + x for x in packed))


def _plain(path: Path, rng: Random) -> None:
    """The same without compression."""
    head, elements = _elements(path.read_bytes())
    data = bytearray(head + b"".join(elements))
    EDITS[rng.choice(("flip", "set", "number", "zeros", "swap", "truncate", "several"))](data, rng)
    path.write_bytes(data)


def _matlab_bomb(path: Path, rng: Random) -> None:
    head, _ = _elements(path.read_bytes())
    bomb = zeros(rng.choice((1 << 20, 1 << 28)))
    nested = b""
    for _ in range(rng.choice((2, 5000))):
        nested = struct.pack("<II", 14, len(nested)) + nested
    path.write_bytes(rng.choice((
        head + struct.pack("<II", 15, len(bomb)) + bomb,
        head + struct.pack("<II", 15, len(zlib.compress(nested))) + zlib.compress(nested),
        head + nested, head, head + struct.pack("<II", 14, 2**32 - 8), head + bytes(64),
        b"\x89HDF\r\n\x1a\n" + bytes(600), head[:116] + bytes(8) + b"\0\2MI" + bytes(200),
        struct.pack("<5i", 0, 1 << 30, 1 << 30, 0, 2) + b"a\0", struct.pack("<5i", 1051, 2, 2, 1,
        9),
        head + struct.pack("<IIIIIIIIIIIIII", 14, 48, 6, 8, 6, 0, 5, 8, 2**31 - 1, 2**31 - 1, 1, 1,
        9, 0),
    )))  # fmt: skip


def _matlab_content(path: Path, rng: Random) -> None:
    odd = (3, "x", np.zeros((0, 0)), np.zeros((2, 3, 4)), np.array([["a"]], object), {"a": 1},
           np.array([True]), np.array([1j]), np.array(["ab", "c"]), None)  # fmt: skip
    keys = ("imlist", "qimlist", "gnd", "X", "y")
    content = {key: rng.choice([x for x in odd if x is not None]) for key in rng.sample(keys, 3)}
    savemat(path, content, do_compression=rng.random() < 0.5)


MATLAB: dict[str, Mutator] = {"inside": _inside, "inside again": _inside, "plain": _plain,
                              "bomb": _matlab_bomb, "content": _matlab_content}  # fmt: skip
