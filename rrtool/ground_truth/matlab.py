"""Reading the ground truths that come as MATLAB files into what their pickles hold.

Only what these files use is read, cells, structs, texts and real numbers, and every length is
checked against what is there: a reader for all of MATLAB may crash on one wrong bit, or allocate
what the file says.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from rrtool.errors import UsageError
from rrtool.files import open_regular
from rrtool.tables import unreadable

_VARIABLES = ("imlist", "qimlist", "qidx", "gnd")
_LISTS = ("easy", "hard", "ok", "junk")
_HEADER_BYTES = 128
_SEVEN_THREE = b"MATLAB 7.3"
# Far above the published ones (INSTRE: 27,000 names, 2 MB), and read within 1 GB of memory.
_MOST_BYTES, _MOST_VALUES, _MOST_NESTED = 1 << 27, 5_000_000, 8
_NAME_BYTES = 1024  # of a compressed variable, to see which it is
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_CHARACTERS = {1: "latin-1", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_CELL, _STRUCT, _TEXT, _NUMERIC = 1, 2, 4, range(6, 16)
_COMPLEX = 0x800


def load_matlab(path: Path) -> dict[str, Any]:
    """`imlist`, `qimlist` and `gnd` of a MATLAB file as plain Python values.

    MATLAB counts from 1: the indices in the lists of `gnd` are counted from 0 here, as in the
    pickles. Boxes stay as they are. `qidx`, where Holidays has it, becomes `qimlist`.

    Raises:
        UsageError: the file cannot be read, or is no MATLAB file of version 5 to 7.
    """
    try:
        with open_regular(path) as stream:
            content = dict(_variables(stream))
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, LookupError, struct.error, zlib.error) as error:
        raise UsageError(
            "not a readable MATLAB file", where=path, expected="version 5 to 7", found=error,
            todo="save it again with -v7",
        ) from None  # fmt: skip
    found = {key: value if isinstance(value, list) else [value] for key, value in content.items()}
    found["gnd"] = [_entry(entry) for entry in found.get("gnd", [])]
    names, places = found.get("imlist", []), found.pop("qidx", None)
    if places and "qimlist" not in found:
        rows = [_from_zero(place) for place in places]
        if all(type(row) is int and 0 <= row < len(names) for row in rows):
            found["qimlist"] = [names[row] for row in rows]
    return found


def _entry(entry: Any) -> Any:
    if not isinstance(entry, dict):
        return entry
    return {
        key: [_from_zero(value) for value in values]
        if key in _LISTS and isinstance(values, list)
        else values
        for key, values in entry.items()
    }


def _from_zero(value: Any) -> Any:
    """MATLAB stores whole numbers as floating-point ones."""
    if isinstance(value, float) and value.is_integer():
        return int(value) - 1
    return value - 1 if type(value) is int else value


def _variables(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """Those of ``_VARIABLES`` that are there."""
    header = stream.read(_HEADER_BYTES)
    order = {b"IM": "<", b"MI": ">"}.get(header[126:])
    if header.startswith(_SEVEN_THREE):
        raise ValueError("version 7.3")
    if order is None or not header.startswith(b"MATLAB"):
        raise ValueError("another beginning")
    budget = _Budget()
    while tag := stream.read(8):
        kind, size = struct.unpack(f"{order}II", tag)
        start = stream.tell()
        head = _Reader(stream.read(min(size, _NAME_BYTES)), order, budget)
        if kind == _COMPRESSED:
            head = _Reader(_inflated(head.data, _NAME_BYTES)[8:], order, budget)
        elif kind != _MATRIX:
            raise ValueError(f"an element of type {kind}")
        name = head.header()[2]
        if name in _VARIABLES:
            stream.seek(start)
            content = stream.read(budget.bytes(size))
            if kind == _COMPRESSED:
                content = _inflated(content, _MOST_BYTES)[8:]
                budget.bytes(len(content))
            yield name, _Reader(content, order, budget).matrix(0)
        stream.seek(start + size)


class _Budget:
    """What may still be read of a file."""

    def __init__(self) -> None:
        self._bytes, self._values = _MOST_BYTES, _MOST_VALUES

    def bytes(self, n: int) -> int:
        self._bytes -= n
        if self._bytes < 0:
            raise ValueError(f"more than {_MOST_BYTES >> 20} MiB")
        return n

    def values(self, n: int) -> int:
        self._values -= n
        if self._values < 0:
            raise ValueError(f"more than {_MOST_VALUES:,} values")
        return n


def _inflated(content: bytes | memoryview, limit: int) -> bytes:
    return zlib.decompressobj().decompress(content, limit)


class _Reader:
    """Elements one after the other in some bytes; what goes beyond them raises."""

    def __init__(self, data: bytes | memoryview, order: str, budget: _Budget) -> None:
        self.data, self._order, self._budget, self._at = memoryview(data), order, budget, 0

    def matrix(self, depth: int) -> Any:
        """The value of a matrix: a list, or a text of one line.

        Raises:
            ValueError: it is damaged, too large, or of a class that is not read here.
        """
        if not self.data:
            return []
        if depth > _MOST_NESTED:
            raise ValueError(f"more than {_MOST_NESTED} levels")
        flags, shape, _ = self.header()
        kind, n = flags & 0xFF, math.prod(shape)
        if flags & _COMPLEX:
            raise ValueError("complex numbers")
        if kind == _CELL:
            return [self._inner(depth) for _ in range(self._budget.values(n))]
        if kind == _STRUCT:
            return self._structs(n, depth)
        if kind == _TEXT:
            return self._text(shape)
        if kind in _NUMERIC:
            return self._numbers(n)
        raise ValueError(f"a matrix of class {kind}")

    def header(self) -> tuple[int, list[int], str]:
        """Flags, whose last byte is the class, shape and name."""
        flags = struct.unpack(f"{self._order}I", self._element()[1][:4])[0]
        _, sizes = self._element()
        shape = np.frombuffer(sizes, f"{self._order}i4").tolist()
        if len(shape) < 2 or min(shape) < 0:
            raise ValueError(f"a shape of {shape[:3]}")
        return flags, shape, str(self._element()[1], "latin-1")

    def _element(self) -> tuple[int, memoryview]:
        """Type and bytes of the next one, which small ones have in their tag."""
        word = struct.unpack_from(f"{self._order}I", self.data, self._at)[0]
        if word >> 16:
            kind, size, start, end = word & 0xFFFF, word >> 16, self._at + 4, self._at + 8
            if size > 4:
                raise ValueError(f"{size} bytes in a tag")
        else:
            kind, size = word, struct.unpack_from(f"{self._order}I", self.data, self._at + 4)[0]
            start = self._at + 8
            end = start + size + (-size % 8)
        if start + size > len(self.data):
            raise ValueError("cut short")
        self._at = end
        return kind, self.data[start : start + size]

    def _inner(self, depth: int) -> Any:
        kind, content = self._element()
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} in place of a matrix")
        return _Reader(content, self._order, self._budget).matrix(depth + 1)

    def _structs(self, n: int, depth: int) -> list[dict[str, Any]]:
        length = int(np.frombuffer(self._element()[1], f"{self._order}i4")[0])
        names = bytes(self._element()[1])
        if length < 1:
            raise ValueError(f"field names of {length} bytes")
        keys = [
            names[start : start + length].split(b"\0")[0].decode("latin-1")
            for start in range(0, len(names), length)
        ]
        self._budget.values(n * (1 + len(keys)))
        return [{key: self._inner(depth) for key in keys} for _ in range(n)]

    def _text(self, shape: list[int]) -> str | list[str]:
        kind, content = self._element()
        if kind not in _CHARACTERS:
            raise ValueError(f"characters of type {kind}")
        encoding = _CHARACTERS[kind]
        if encoding == "utf-16":
            encoding += "-le" if self._order == "<" else "-be"
        text = str(content, encoding)
        if shape[0] <= 1:
            return text
        if len(text) % shape[0]:
            raise ValueError(f"{len(text)} characters in {shape[0]} lines")
        self._budget.values(shape[0])
        # Lines of equal length, padded with blanks, column after column.
        return [text[row :: shape[0]].rstrip() for row in range(shape[0])]

    def _numbers(self, n: int) -> list[int] | list[float]:
        kind, content = self._element()
        if kind not in _NUMBERS:
            raise ValueError(f"numbers of type {kind}")
        values = np.frombuffer(content, self._order + _NUMBERS[kind])
        if len(values) != n:
            raise ValueError(f"{len(values)} numbers in place of {n}")
        self._budget.values(n)
        return values.tolist()
