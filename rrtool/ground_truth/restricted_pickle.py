"""Reading the pickles the revisited benchmarks come as, without letting them run any code.

A pickle is a program: it may name any importable function and call it. This reader knows only
plain Python values and numpy's arrays and numbers, and even for those numpy's own reconstruction
is replaced by stand-ins that accept nothing but numeric and string data.

It is the interpreter written in Python that reads them: the other one allocates what a damaged
byte says, and, where tuples share tuples that share tuples, computes a key from them for ever.
"""

import io
import math
import pickle
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from rrtool.errors import UsageError
from rrtool.files import read_regular
from rrtool.tables import unreadable

# What a file may unfold to, a list counted wherever it is: about 0.5 GB at most, in seconds.
_MOST_VALUES, _FEW_VALUES, _VALUES_A_BYTE = 5_000_000, 100_000, 8
_MOST_BITS = 64  # no count and no index has more, and Python shows no number of thousands
# What a damaged or hostile byte stream makes the unpickler and the stand-ins raise.
_MALFORMED = (
    ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError,
    RecursionError, TypeError, ValueError, pickle.UnpicklingError, struct.error,
)  # fmt: skip


def load_restricted(path: Path, *, keep_arrays: bool = False) -> Any:
    """The value a pickle holds; numpy arrays come as nested lists, numpy numbers as Python's.

    Byte strings of Python 2 are decoded as Latin-1.

    Args:
        keep_arrays: numpy arrays come as they are, read-only.

    Raises:
        UsageError: the file cannot be read, is no pickle, or asks for anything but plain values.
    """
    try:
        content = read_regular(path)
        value = _RestrictedUnpickler(io.BytesIO(content), encoding="latin1").load()
        most = min(_MOST_VALUES, _FEW_VALUES + _VALUES_A_BYTE * len(content))
        return _Plain(keep_arrays, most).of(value)
    except OSError as error:
        raise unreadable(path, error) from error
    except _Forbidden as error:
        raise UsageError(
            "the pickle asks for more than plain data, so it was not run",
            where=path,
            expected="lists, dicts, strings, numbers and numpy arrays of them",
            found=error,
        ) from error
    except _MALFORMED as error:
        raise UsageError(
            "not a readable pickle", where=path, found=f"{type(error).__name__}: {error}"
        ) from error


class _Forbidden(Exception):
    """A name outside the allowed ones; the message is the name."""


_PythonUnpickler: Any = pickle._Unpickler


class _RestrictedUnpickler(_PythonUnpickler):
    """The unpickler written in Python, for its steps can be replaced: tuples come as lists."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Forbidden(f"{module}.{name}")
        return _ALLOWED[module, name]

    def load_tuple(self) -> None:
        items = self.pop_mark()  # which changes what ``append`` appends to
        self.append(items)

    def load_short_tuple(self, n: int) -> None:
        start = len(self.stack) - n
        self.stack[start:] = [self.stack[start:]]

    def load_bytearray8(self) -> None:
        self.append(bytearray(self.read(int.from_bytes(self.read(8), "little"))))

    def load_build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Array | _Dtype):
            raise _Forbidden(f"the state of a {type(target).__name__}")
        target.__setstate__(state)

    def load_set(self) -> None:
        raise _Forbidden("a set")

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **_PythonUnpickler.dispatch,
        pickle.TUPLE[0]: load_tuple,
        pickle.EMPTY_TUPLE[0]: lambda self: self.load_short_tuple(0),
        pickle.TUPLE1[0]: lambda self: self.load_short_tuple(1),
        pickle.TUPLE2[0]: lambda self: self.load_short_tuple(2),
        pickle.TUPLE3[0]: lambda self: self.load_short_tuple(3),
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.BUILD[0]: load_build,
        pickle.EMPTY_SET[0]: load_set,
        pickle.FROZENSET[0]: load_set,
    }


class _Dtype:
    """Stands for numpy.dtype: a kind, an item size and, from its state, a byte order."""

    def __init__(self, code: str, *_flags: object) -> None:
        if not re.fullmatch(r"[biufSU][0-9]{1,6}", code):
            raise _Forbidden(f"numpy.dtype('{code}')")
        self.code, self.order = code, "="

    def __setstate__(self, state: list) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise ValueError(f"byte order {state[1]!r}")
        self.order = state[1]

    def values(self, data: bytes | str) -> np.ndarray:
        raw = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(raw, dtype=np.dtype(self.order + self.code))


class _Array:
    """Stands for numpy.ndarray; empty until its state arrives."""

    def __init__(self) -> None:
        self.values = np.zeros(0)

    def __setstate__(self, state: list) -> None:
        _version, shape, dtype, is_fortran, data = state
        self.values = dtype.values(data).reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(_kind: object, _shape: object, _code: object) -> _Array:
    return _Array()


def _frombuffer(data: bytes | bytearray, dtype: _Dtype, shape: list, order: str) -> _Array:
    if not isinstance(data, bytes | bytearray):
        raise TypeError("a buffer of no bytes")  # of a number, bytes() would make so many
    array = _Array()
    array.__setstate__([1, shape, dtype, order == "F", bytes(data)])
    return array


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    return dtype.values(data)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    # Pickle protocols below 3 write bytes as a call of _codecs.encode.
    if encoding != "latin1":
        raise _Forbidden(f"_codecs.encode to '{encoding}'")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""  # those protocols write empty bytes as a call of bytes()


_ALLOWED: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): _no_bytes,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _frombuffer),
        )
    },
}


class _Plain:
    """Values with arrays turned into lists (unless kept) and byte strings into strings."""

    def __init__(self, keep_arrays: bool, n_most: int) -> None:
        self._keep_arrays, self._n_most, self._n_left = keep_arrays, n_most, n_most

    def of(self, value: Any) -> Any:
        """The plain value.

        Raises:
            ValueError: it unfolds to too much.
        """
        self._count(1)
        if isinstance(value, _Array):
            if self._keep_arrays:
                return value.values
            shape = value.values.shape
            # An array of nothing may still be lists of lists without end.
            self._count(sum(math.prod(shape[: i + 1]) for i in range(len(shape))))
            return self.of(value.values.tolist())
        if isinstance(value, bytes):
            self._count(len(value) // 8)
            return value.decode("latin1")
        if isinstance(value, list):
            return [self.of(item) for item in value]
        if isinstance(value, dict):
            return {self.of(key): self.of(item) for key, item in value.items()}
        if isinstance(value, int) and value.bit_length() > _MOST_BITS:
            raise ValueError(f"a number of {value.bit_length()} bits")
        return value

    def _count(self, n: int) -> None:
        self._n_left -= n
        if self._n_left < 0:
            raise ValueError(f"it unfolds to more than {self._n_most:,} values")
