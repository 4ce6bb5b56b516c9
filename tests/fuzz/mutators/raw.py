"""Bytes of any file: flipped, overwritten, cut, moved, and numbers in them set to extremes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random

from tests.fuzz.mutators import Mutator

_MAGIC = (
    b"\x89HDF\r\n\x1a\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"PK\x03\x04", b"\x1f\x8b\x08",
    b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x80\x04", b"MATLAB 5.0", b"\xff\xfe", b"\xef\xbb\xbf",
    b"GIF89a", b"II*\0", b"RIFF", b"\0" * 8, b"<svg ", b"BZh9", b"\x93NUMPY",
)  # fmt: skip
_Edit = Callable[[bytearray, Random], None]


@cache
def zeros(n: int) -> bytes:
    """So many zero bytes, compressed: made once, for it takes its time."""
    return zlib.compress(bytes(n), 1)


def _place(data: bytearray, rng: Random) -> int:
    """A position, as often as not near one of the ends, where headers and directories are."""
    n = len(data)
    region = rng.choice((n, n, min(n, 64), min(n, 1024), -min(n, 512)))
    return rng.randrange(region) if region > 0 else n - 1 - rng.randrange(-region)


def _flip(data: bytearray, rng: Random) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 8))):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: Random) -> None:
    for _ in range(rng.choice((1, 1, 2, 4))):
        data[_place(data, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))


def _zeros(data: bytearray, rng: Random) -> None:
    start, n = _span(data, rng)
    data[start : start + n] = bytes(n)


def _noise(data: bytearray, rng: Random) -> None:
    start, n = _span(data, rng)
    data[start : start + n] = rng.randbytes(n)


def _span(data: bytearray, rng: Random) -> tuple[int, int]:
    start = _place(data, rng)
    return start, min(len(data) - start, rng.choice((4, 16, 64, 512, 4096, len(data))))


def _truncate(data: bytearray, rng: Random) -> None:
    del data[rng.choice((rng.randrange(len(data)), len(data) - 1, min(len(data), 8), 0)) :]


def _extend(data: bytearray, rng: Random) -> None:
    n = rng.choice((1, 7, 512, 100_000))
    data += rng.choice((bytes(n), rng.randbytes(n), bytes(data[:n])))


def _swap(data: bytearray, rng: Random) -> None:
    n = min(rng.choice((1, 8, 64, 512)), len(data) // 2)
    first, second = sorted(rng.randrange(len(data) - n + 1) for _ in range(2))
    if second - first >= n:
        one, other = data[first : first + n], data[second : second + n]
        data[first : first + n], data[second : second + n] = other, one


def _duplicate(data: bytearray, rng: Random) -> None:
    start, n = _span(data, rng)
    place = _place(data, rng)
    data[place:place] = data[start : start + n]


def _delete(data: bytearray, rng: Random) -> None:
    start, n = _span(data, rng)
    del data[start : start + min(n, 512)]


def _number(data: bytearray, rng: Random) -> None:
    """A number of 2, 4 or 8 bytes, as sizes and offsets are, to an extreme or by one."""
    form = rng.choice("<>") + rng.choice("HIQ")
    size = struct.calcsize(form)
    if len(data) < size:
        return
    start = min(_place(data, rng), len(data) - size)
    (value,) = struct.unpack_from(form, data, start)
    top = 256**size - 1
    value = rng.choice((0, 1, top, top >> 1, (top >> 1) + 1, value + 1, value - 1, len(data)))
    struct.pack_into(form, data, start, value & top)


def _magic(data: bytearray, rng: Random) -> None:
    magic = rng.choice(_MAGIC)
    data[: len(magic)] = magic


def edited(edit: _Edit) -> Mutator:
    """The mutator of a file's bytes; an empty file stays so."""

    def mutate(path: Path, rng: Random) -> None:
        data = bytearray(path.read_bytes())
        if data:
            edit(data, rng)
            path.write_bytes(data)

    return mutate


def _several(data: bytearray, rng: Random) -> None:
    for _ in range(rng.randrange(2, 6)):
        if data:
            rng.choice((_flip, _set, _number, _zeros, _swap))(data, rng)


EDITS: dict[str, _Edit] = {
    "flip": _flip, "set": _set, "zeros": _zeros, "noise": _noise, "truncate": _truncate,
    "extend": _extend, "swap": _swap, "duplicate": _duplicate, "delete": _delete,
    "number": _number, "magic": _magic, "several": _several,
}  # fmt: skip
MUTATORS: dict[str, Mutator] = {name: edited(edit) for name, edit in EDITS.items()}
