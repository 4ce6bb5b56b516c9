"""SVHN's cropped digits (``train_32x32.mat``)."""

import zlib
from pathlib import Path

import numpy as np
from scipy.io import loadmat, matlab

from rrtool.datasets.files import find_file, require_as_many, require_classes
from rrtool.errors import UsageError

# What a damaged file makes scipy raise.
_MALFORMED = (
    AttributeError, EOFError, LookupError, MemoryError, NotImplementedError, OSError,
    OverflowError, TypeError, ValueError, matlab.MatReadError, zlib.error,
)  # fmt: skip


def read_split(folder: Path, stem: str) -> tuple[np.ndarray, np.ndarray, list[Path]] | None:
    """Images and labels of a split; the file's label 10 is the digit 0.

    Args:
        stem: ``train`` or ``test``.

    Returns:
        ``(n, 32, 32, 3)`` uint8, ``(n,)`` int32 and the file; None where there is none.

    Raises:
        UsageError: the file is damaged or holds something else.
    """
    path = find_file([folder], [file_name(stem)])
    if path is None:
        return None
    try:
        content = loadmat(path, variable_names=("X", "y"))
    except _MALFORMED as error:
        text = (str(error) or type(error).__name__).splitlines()[0]
        raise UsageError("cannot read it", where=path, found=text, todo="fetch it again") from None
    images, labels = content.get("X"), content.get("y")
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        raise UsageError("no images in it", where=path, expected="'X', h × w × 3 × n bytes")
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in "uif":
        raise UsageError("no labels in it", where=path, expected="'y', numbers from 1 to 10")
    digits = labels.ravel().astype(np.int64)
    require_as_many(images.shape[3], len(digits), path)
    digits = require_classes(np.where(digits == 10, 0, digits), 10, path)
    return np.ascontiguousarray(images.transpose(3, 0, 1, 2)), digits, [path]


def file_name(stem: str) -> str:
    """Of a split."""
    return f"{stem}_32x32.mat"
