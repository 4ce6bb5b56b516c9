"""NumPy's files: arrays of numbers and of texts. Objects, which are pickles, are never read."""

import io
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from rrtool.errors import UsageError
from rrtool.exchange.described import Described
from rrtool.files import open_regular

_EXPANSION = 1032  # times what deflate can make of what is stored, at most
_ROWS_AT_A_TIME = 1 << 14
_SUFFIX = ".npy"
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What the members are called that we look for where there are several of a kind.
_VECTORS, _NAMES = "descriptors", "names"
_TEXTS = "USO"  # objects among them, to say that they are none


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    in_columns: bool
    dtype: np.dtype

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def read_npy(path: str) -> np.ndarray:
    """The array of a ``.npy`` file.

    Raises:
        UsageError: it cannot be read, is damaged, or holds objects.
    """
    with _damage_told(path), open_regular(path) as file:
        header = _read_header(file)
        length = os.fstat(file.fileno()).st_size - file.tell()
        return _read_values(file, header, length, path)


def read_npz(path: str, names: list[str] | None = None, names_path: str | None = None) -> Described:
    """The descriptors and the names of a ``.npz`` file.

    They are its only matrix of numbers and its only list of texts; or, of several, those that are
    called ``descriptors`` and ``names``.

    Args:
        names: of its rows, where it has none.
        names_path: their list.

    Raises:
        UsageError: it cannot be read, is damaged, has none of them, or has objects in their place.
    """
    with _damage_told(path), open_regular(path) as file, zipfile.ZipFile(file) as archive:
        headers = {}
        for member in archive.infolist():
            if member.filename.endswith(_SUFFIX):
                with archive.open(member) as content:
                    headers[member.filename.removesuffix(_SUFFIX)] = _read_header(content)
        vectors = _member(archive, _chosen(headers, 2, "fiuO", _VECTORS, path), path)
        if names is None or _fitting(headers, 1, _TEXTS):
            texts = _member(archive, _chosen(headers, 1, _TEXTS, _NAMES, path), path)
            names, names_path = [os.fsdecode(text) for text in texts.tolist()], None
    return Described.of(names, vectors, path, from_list=names_path)


def npy_pieces(array: np.ndarray) -> Iterator[bytes]:
    """A ``.npy`` file of an array, piece by piece."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    yield header.getvalue()
    for start in range(0, len(array), _ROWS_AT_A_TIME):
        yield np.ascontiguousarray(array[start : start + _ROWS_AT_A_TIME]).tobytes()


def npz_bytes(names: list[str], vectors: np.ndarray) -> bytes:
    """A ``.npz`` file with ``names`` and ``descriptors``."""
    content = io.BytesIO()
    # NumPy takes a NUL at the end of a text for padding; names have none.
    np.savez(content, names=np.array(names, dtype=np.str_), descriptors=vectors)
    return content.getvalue()


def _chosen(headers: Mapping[str, _Header], n_axes: int, kinds: str, called: str, path: str) -> str:
    fitting = _fitting(headers, n_axes, kinds)
    if called in headers:
        return called
    if len(fitting) != 1:
        what = "a matrix of numbers" if n_axes == 2 else "a list of texts"
        raise UsageError(
            f"cannot tell which array are the {called}", where=path,
            expected=f"one called {called}, or {what} that is the only one",
            found=", ".join(headers) or "no array",
        )  # fmt: skip
    return fitting[0]


def _fitting(headers: Mapping[str, _Header], n_axes: int, kinds: str) -> list[str]:
    return [
        name
        for name, header in headers.items()
        if len(header.shape) == n_axes and header.dtype.kind in kinds
    ]


def _member(archive: zipfile.ZipFile, name: str, path: str) -> np.ndarray:
    info = archive.getinfo(name + _SUFFIX)
    if info.compress_type not in _COMPRESSIONS:
        raise ValueError("a compression that NumPy does not use")
    if info.file_size > _EXPANSION * (info.compress_size + 1):
        raise ValueError("a length that nothing stored has")
    with archive.open(info) as file:
        header = _read_header(file)
        array = _read_values(file, header, info.file_size, f"{path}, {name}")
        file.read(1)  # the end, where the checksum is compared
    return array


def _read_header(file: IO[bytes]) -> _Header:
    version = np.lib.format.read_magic(file)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:  # the third is for names of fields in Unicode
        raise ValueError(f"version {version} of the format")
    return _Header(*readers[version](file))


def _read_values(file: Any, header: _Header, length: int, where: str) -> np.ndarray:
    if header.dtype.hasobject:
        raise UsageError(
            "objects of Python, which may run any program when they are read", where=where,
            expected="numbers, or texts (dtype U or S)", found=f"dtype {header.dtype}",
            todo="save them with another dtype, such as array.astype(str)",
        )  # fmt: skip
    if header.dtype.kind not in "fiuUS" or not header.dtype.itemsize:
        raise UsageError("neither numbers nor texts", where=where, found=f"dtype {header.dtype}")
    if min(header.shape, default=0) < 0 or not 0 <= header.n_bytes <= length:
        found = f"{header.dtype} {header.shape} in {length} bytes"
        raise UsageError("the array is larger than what is stored", where=where, found=found)
    content = bytearray(header.n_bytes)
    view = memoryview(content)
    while view:
        n_read = file.readinto(view)
        if not n_read:
            raise ValueError("it ends early")
        view = view[n_read:]
    array = np.frombuffer(content, header.dtype)
    return array.reshape(header.shape, order="F" if header.in_columns else "C")


@contextmanager
def _damage_told(path: str) -> Iterator[None]:
    """What the libraries raise on a damaged file becomes a ``UsageError``."""
    try:
        yield
    except OSError as error:
        raise UsageError("cannot read it", where=path, found=error.strerror or str(error)) from None
    except (
        ValueError, TypeError, LookupError, SyntaxError, RecursionError, OverflowError, EOFError,
        RuntimeError, tokenize.TokenError, zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        text = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError("damaged, or no file of NumPy's", where=path, found=text) from None
