"""The files of a standard data set: finding them, and telling what is wrong with them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from rrtool.artifacts import InputRecord
from rrtool.artifacts.digests import digest_of_file
from rrtool.artifacts.provenance import image_input
from rrtool.errors import UsageError


def find_file(folders: Sequence[Path], names: Sequence[str]) -> Path | None:
    """The first of ``names`` that one of the folders holds."""
    for folder in folders:
        for name in names:
            if (folder / name).is_file():
                return folder / name
    return None


def require_file(folders: Sequence[Path], names: Sequence[str]) -> Path:
    """As ``find_file``.

    Raises:
        UsageError: there is none.
    """
    found = find_file(folders, names)
    if found is not None:
        return found
    if not folders[0].is_dir():
        raise UsageError("there is no such folder", where=folders[0])
    raise UsageError(
        "a file of the data set is missing", where=folders[0], expected=" or ".join(names)
    )


def require_classes(labels: np.ndarray, n_classes: int, path: Path) -> np.ndarray:
    """The labels as int32.

    Raises:
        UsageError: one is not in ``0 … n_classes - 1``.
    """
    wrong = (labels < 0) | (labels >= n_classes)
    if wrong.any():
        found = f"{labels[wrong][0]} at item {np.flatnonzero(wrong)[0]}"
        expected = f"0 to {n_classes - 1}"
        raise UsageError("a label out of range", where=path, expected=expected, found=found)
    return labels.astype(np.int32)


def require_as_many(n_images: int, n_labels: int, path: Path) -> None:
    """Raises UsageError where images and labels differ in number."""
    if n_images != n_labels:
        raise UsageError(
            "not one label per image", where=path, expected=f"{n_images} labels", found=n_labels
        )


def record_of(source: str, paths: Iterable[Path]) -> InputRecord:
    """The record of the files as an input; stands for their names and contents, not their times.

    Raises:
        UsageError: one cannot be read.
    """
    told = []
    for path in paths:
        try:
            told.append(f"{path.name} {digest_of_file(path)}")
        except OSError as error:
            raise UsageError("cannot read the file", where=path, found=error.strerror) from None
    return image_input(source, told, [(0, 0)] * len(told))
