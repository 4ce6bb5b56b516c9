"""Reading the pickles the revisited benchmarks come as, without letting them run any code.

A pickle is a program: it may name any importable function and call it. This reader knows only
plain Python values and numpy's arrays and numbers, and even for those numpy's own reconstruction
is replaced by stand-ins that accept nothing but numeric and string data.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.errors import UsageError
from rrtool.ground_truth.tables import unreadable

# What a damaged or hostile byte stream makes the unpickler and the stand-ins raise.
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)


def load_restricted(path: Path) -> Any:
    """The value a pickle holds; numpy arrays come as nested lists, numpy numbers as Python's.

    Byte strings of Python 2 are decoded as Latin-1.

    Raises:
        UsageError: the file cannot be read, is no pickle, or asks for anything but plain values.
    """
    try:
        with path.open("rb") as stream:
            return _plain(_RestrictedUnpickler(stream, encoding="latin1").load())
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


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Forbidden(f"{module}.{name}")
        return _ALLOWED[module, name]


class _Dtype:
    """Stands for numpy.dtype: a kind, an item size and, from its state, a byte order."""

    def __init__(self, code: str, *_flags: object) -> None:
        if not re.fullmatch(r"[biufSU][0-9]{1,6}", code):
            raise _Forbidden(f"numpy.dtype('{code}')")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise ValueError(f"byte order {state[1]!r}")
        self.order = state[1]

    def values(self, data: bytes | str) -> np.ndarray:
        raw = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(raw, dtype=np.dtype(self.order + self.code))


class _Array:
    """Stands for numpy.ndarray; empty until its state arrives."""

    def __init__(self) -> None:
        self.items: list = []

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, is_fortran, data = state
        values = dtype.values(data).reshape(shape, order="F" if is_fortran else "C")
        self.items = values.tolist()


def _reconstruct(_kind: object, _shape: object, _code: object) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, data: bytes | str) -> Any:
    return dtype.values(data)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    # Pickle protocols below 3 write bytes as a call of _codecs.encode.
    if encoding != "latin1":
        raise _Forbidden(f"_codecs.encode to '{encoding}'")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], Callable] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
    **{
        (f"numpy.{core}.multiarray", name): stand_in
        for core in ("core", "_core")
        for name, stand_in in (("_reconstruct", _reconstruct), ("scalar", _scalar))
    },
}


def _plain(value: Any) -> Any:
    """The value with arrays turned into lists and byte strings into strings."""
    if isinstance(value, _Array):
        return _plain(value.items)
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    return value
