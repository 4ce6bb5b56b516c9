"""MNIST's idx files."""

import gzip
import io
import math
import zlib
from pathlib import Path

import numpy as np

from rrtool.datasets.files import find_file, require_as_many, require_classes, require_file
from rrtool.errors import UsageError

_UNSIGNED_BYTE = 0x08
_MAX_BYTES = 1 << 34


def read_split(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray, list[Path]] | None:
    """Images and labels of a split.

    Args:
        stem: ``train`` or ``t10k``.

    Returns:
        ``(n, h, w, 1)`` uint8, ``(n,)`` int32 and the files; None where there is neither file.

    Raises:
        UsageError: one of the two files is missing, damaged, or does not fit the other.
    """
    images_names, labels_names = _names(stem, "images-idx3"), _names(stem, "labels-idx1")
    if find_file([folder], images_names + labels_names) is None:
        return None
    images_path = require_file([folder], images_names)
    labels_path = require_file([folder], labels_names)
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    require_as_many(len(images), len(labels), labels_path)
    return images[..., None], require_classes(labels, 10, labels_path), [images_path, labels_path]


def image_names() -> list[str]:
    """What the file with the training images may be called."""
    return _names("train", "images-idx3")


def _names(stem: str, what: str) -> list[str]:
    # Some unpackers have put a dot in place of the second hyphen.
    plain = [f"{stem}-{what}-ubyte", f"{stem}-{what.replace('-', '.')}-ubyte"]
    return plain + [f"{name}.gz" for name in plain]


def read_idx(path: Path, n_dimensions: int) -> np.ndarray:
    """The uint8 array of an idx file, compressed or not.

    Raises:
        UsageError: it cannot be read, is no idx file of bytes of so many dimensions, or has not
            the size that its header states.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return _read(stream, path, n_dimensions)
    except EOFError:
        raise UsageError("the file is cut short", where=path, todo="fetch it again") from None
    except (OSError, zlib.error) as error:
        text = getattr(error, "strerror", None) or error
        raise UsageError("cannot read it", where=path, found=text) from None


def _read(stream: gzip.GzipFile | io.BufferedReader, path: Path, n_dimensions: int) -> np.ndarray:
    header = stream.read(4 + 4 * n_dimensions)
    expected = bytes([0, 0, _UNSIGNED_BYTE, n_dimensions])
    if header[:4] != expected:
        raise UsageError(
            f"not an idx file of bytes with {n_dimensions} dimensions",
            where=path,
            expected=f"a file that begins with {expected.hex(' ')}",
            found=header[:4].hex(" ") or "an empty file",
        )
    if len(header) < 4 + 4 * n_dimensions:
        raise UsageError("the file is cut short in its header", where=path, todo="fetch it again")
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
    # The sizes are 32 bits each: their product must not decide what is allocated.
    size = math.prod(shape)
    if size > _MAX_BYTES:
        raise UsageError("the header states impossible sizes", where=path, found=shape)
    content = stream.read(size + 1)
    if len(content) != size:
        what = "the file has not the size that its header states"
        stated = f"{size} bytes for {' × '.join(map(str, shape))}"
        found = f"{len(content)} bytes" if len(content) < size else "more"
        raise UsageError(what, where=path, expected=stated, found=found, todo="fetch it again")
    return np.frombuffer(content, np.uint8).reshape(shape)
