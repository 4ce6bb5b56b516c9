"""Reading the pickles the revisited benchmarks come as, without letting them run any code.

A pickle is a program: it may name any importable function and call it. This reader knows only
plain Python values and numpy's arrays and numbers, and even for those numpy's own reconstruction
is replaced by stand-ins that accept nothing but numeric and string data.
"""

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.errors import UsageError
from rrtool.ground_truth.tables import unreadable

# What a damaged or hostile byte stream makes the unpickler and the stand-ins raise.
_MALFORMED = (
    ArithmeticError, AttributeError, EOFError, ImportError, LookupError, MemoryError,
    RecursionError, TypeError, ValueError, pickle.UnpicklingError,
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
        stream = path.read_bytes()
        _refuse_huge_memo(stream)
        value = _RestrictedUnpickler(io.BytesIO(stream), encoding="latin1").load()
        return _plain(value, keep_arrays)
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


def _refuse_huge_memo(stream: bytes) -> None:
    """The unpickler allocates its memo up to the largest index written: one byte amiss, 64 GB."""
    for opcode, argument, _position in pickletools.genops(stream):
        writes_memo = opcode.name in ("PUT", "BINPUT", "LONG_BINPUT")
        if writes_memo and argument is not None and argument > len(stream):
            raise ValueError(f"memo index {argument} in {len(stream)} bytes")


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
        self.values = np.zeros(0)

    def __setstate__(self, state: tuple) -> None:
        _version, shape, dtype, is_fortran, data = state
        self.values = dtype.values(data).reshape(shape, order="F" if is_fortran else "C")


def _reconstruct(_kind: object, _shape: object, _code: object) -> _Array:
    return _Array()


def _frombuffer(data: bytes | bytearray, dtype: _Dtype, shape: tuple, order: str) -> _Array:
    array = _Array()
    array.__setstate__((1, shape, dtype, order == "F", bytes(data)))
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


def _plain(value: Any, keep_arrays: bool) -> Any:
    """The value with arrays turned into lists (unless kept) and byte strings into strings."""
    if isinstance(value, _Array):
        return value.values if keep_arrays else _plain(value.values.tolist(), keep_arrays)
    if isinstance(value, bytes):
        return value.decode("latin1")
    if isinstance(value, list | tuple):
        return [_plain(item, keep_arrays) for item in value]
    if isinstance(value, dict):
        return {_plain(key, keep_arrays): _plain(item, keep_arrays) for key, item in value.items()}
    return value
