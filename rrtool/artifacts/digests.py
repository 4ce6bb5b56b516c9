"""Digests of files and of artifacts, and the records of files that are inputs of a stage."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from rrtool.artifacts.provenance import InputRecord
from rrtool.errors import UsageError
from rrtool.files import open_regular

_BLOCK_ROWS = 1 << 16
_DIGEST = 16  # bytes
_TIMES = "file_signatures"


def digest_of_file(path: str | Path) -> str:
    """BLAKE2b-128 of a file's bytes, in hexadecimal.

    Raises:
        OSError: as ``open_regular``.
    """
    digest = hashlib.blake2b(digest_size=16)
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_of_source(source: str) -> str:
    """Of a file's bytes; of the text files of a folder; of the text itself where it names neither.

    A ground truth may be any of the three, e.g. ``prefix:REGEX``.
    """
    if os.path.isdir(source):  # of Oxford5k: many small files
        files = sorted(Path(source).glob("*.txt"))
        lines = "".join(f"{digest_of_file(path)} {path.name}\n" for path in files)
        return hashlib.blake2b(os.fsencode(lines), digest_size=16).hexdigest()
    return digest_of_file(source) if os.path.isfile(source) else source


def file_input(role: str, path: str) -> InputRecord:
    """The record of a file that is no artifact, by its bytes.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        return InputRecord(role, path, role, "", digest_of_file(path))
    except OSError as error:
        raise UsageError(f"cannot read the {role}", where=path, found=error.strerror) from None


def source_input(role: str, source: str) -> InputRecord:
    """The record of a ground truth, by ``digest_of_source``."""
    return InputRecord(role, source, role, "", digest_of_source(source))


def digests_of_rows(rows: np.ndarray, used: np.ndarray) -> np.ndarray:
    """BLAKE2b-128 of the bytes of each row, ``(n, 16)`` uint8; zero where it is not used."""
    digests = np.zeros((len(rows), _DIGEST), dtype=np.uint8)
    rows = np.ascontiguousarray(rows)
    for row in np.flatnonzero(used):
        digests[row] = digest_of_values(rows[row])
    return digests


def digest_of_values(*arrays: np.ndarray) -> np.ndarray:
    """BLAKE2b-128 of the bytes of some arrays, ``(16,)`` uint8."""
    digest = hashlib.blake2b(digest_size=_DIGEST)
    for values in arrays:
        digest.update(np.ascontiguousarray(values).data)
    return np.frombuffer(digest.digest(), np.uint8)


def match_rows(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """For each new row an old one of the same digest, ``(n,)`` int64, −1 where there is none.

    An old row serves once: of equal rows the first for the first. Zero is no digest.

    Args:
        old, new: ``(n, 16)`` uint8.
    """
    waiting: dict[bytes, list[int]] = {}
    for row in range(len(old))[::-1]:
        waiting.setdefault(old[row].tobytes(), []).append(row)
    waiting.pop(bytes(_DIGEST), None)
    rows = (waiting.get(digest.tobytes()) for digest in new)
    return np.array([row.pop() if row else -1 for row in rows], dtype=np.int64)


def datasets_of(file: h5py.File) -> dict[str, h5py.Dataset]:
    """All datasets of a file of our own by name."""
    found: dict[str, h5py.Dataset] = {}
    file.visititems(
        lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None
    )
    return found


def content_digest(datasets: Mapping[str, h5py.Dataset], *, with_times: bool = False) -> str:
    """BLAKE2b-128 of the names, types, shapes and bytes of datasets.

    Args:
        with_times: whether those of the images' files belong to it; then what is made of an
            artifact has to be made anew when somebody has but touched a photo.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, dataset in sorted(datasets.items()):
        if name == _TIMES and not with_times:
            continue
        digest.update(f"{name}\0{dataset.dtype.str}\0{dataset.shape}\0".encode())
        if dataset.ndim == 0:
            digest.update(np.ascontiguousarray(dataset[()]).tobytes())
            continue
        for start in range(0, dataset.shape[0], _BLOCK_ROWS):
            digest.update(np.ascontiguousarray(dataset[start : start + _BLOCK_ROWS]).data)
    return digest.hexdigest()
