"""CIFAR-10 and CIFAR-100, the python version (pickles, read without running them) or the binary."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.datasets.files import find_file, require_as_many, require_classes, require_file
from rrtool.errors import UsageError
from rrtool.ground_truth.restricted_pickle import load_restricted
from rrtool.tables import read_lines, unreadable

_PIXELS = 3 * 32 * 32


@dataclass(frozen=True)
class CifarVersion:
    """How one of the two data sets is laid out.

    Attributes:
        train, test: stems of the files; the binary ones end in ``.bin``.
        folders: what the archives unpack to, python and binary.
        label_key, names_key: in the pickles.
        meta: pickle with the class names.
        names_file: text file with them, of the binary version.
        n_label_bytes: of a binary record; the last is the label.
    """

    n_classes: int
    train: tuple[str, ...]
    test: tuple[str, ...]
    folders: tuple[str, str]
    label_key: str
    meta: str
    names_key: str
    names_file: str
    n_label_bytes: int


CIFAR10 = CifarVersion(
    10, tuple(f"data_batch_{number}" for number in range(1, 6)), ("test_batch",),
    ("cifar-10-batches-py", "cifar-10-batches-bin"),
    "labels", "batches.meta", "label_names", "batches.meta.txt", 1,
)  # fmt: skip
CIFAR100 = CifarVersion(
    100, ("train",), ("test",), ("cifar-100-python", "cifar-100-binary"),
    "fine_labels", "meta", "fine_label_names", "fine_label_names.txt", 2,
)  # fmt: skip


def read_split(
    folder: Path, version: CifarVersion, stems: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, list[Path]] | None:
    """Images and labels of a split.

    Returns:
        ``(n, 32, 32, 3)`` uint8, ``(n,)`` int32 and the files; None where there is none of them.

    Raises:
        UsageError: one of several files is missing, or one is damaged.
    """
    folders = folders_of(folder, version)
    if all(find_file(folders, _names(stem)) is None for stem in stems):
        return None
    paths = [require_file(folders, _names(stem)) for stem in stems]
    parts = [
        _read_binary(path, version) if path.suffix == ".bin" else _read_pickle(path, version)
        for path in paths
    ]
    images = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([labels for _, labels in parts])
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)), labels, paths


def class_names(folder: Path, version: CifarVersion) -> list[str]:
    """From the file beside the images; numbers where it is not there.

    Raises:
        UsageError: the file is there and does not name every class.
    """
    folders = folders_of(folder, version)
    path = find_file(folders, [version.meta, version.names_file])
    if path is None:
        return [str(number) for number in range(version.n_classes)]
    if path.suffix == ".txt":
        names: Any = [line for line in read_lines(path) if line]
    else:
        names = _dictionary(path).get(version.names_key)
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError("no class names in it", where=path, expected=version.names_key)
    if len(set(names)) != version.n_classes:
        raise UsageError(
            "another number of class names", where=path, expected=version.n_classes,
            found=len(set(names)),
        )  # fmt: skip
    return names


def image_names(version: CifarVersion) -> list[str]:
    """What the first file with training images may be called."""
    return _names(version.train[0])


def folders_of(folder: Path, version: CifarVersion) -> list[Path]:
    return [folder, *(folder / name for name in version.folders)]


def _names(stem: str) -> list[str]:
    return [stem, f"{stem}.bin"]


def _read_binary(path: Path, version: CifarVersion) -> tuple[np.ndarray, np.ndarray]:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise unreadable(path, error) from None
    record = version.n_label_bytes + _PIXELS
    if not len(content) or len(content) % record:
        what, expected = "not a whole number of images", f"a multiple of {record} bytes"
        todo = "fetch it again"
        raise UsageError(what, where=path, expected=expected, found=len(content), todo=todo)
    records = content.reshape(-1, record)
    labels = records[:, version.n_label_bytes - 1].astype(np.int64)
    return records[:, version.n_label_bytes :], require_classes(labels, version.n_classes, path)


def _read_pickle(path: Path, version: CifarVersion) -> tuple[np.ndarray, np.ndarray]:
    content = _dictionary(path)
    pixels, labels = content.get("data"), content.get(version.label_key)
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise UsageError("no images in it", where=path, expected="'data', an array of bytes")
    if pixels.shape[1] != _PIXELS:
        raise UsageError(
            "images of another size", where=path, expected=f"{_PIXELS} bytes", found=pixels.shape[1]
        )
    if not isinstance(labels, list) or not all(_is_label(label) for label in labels):
        raise UsageError("no labels in it", where=path, expected=f"'{version.label_key}'")
    require_as_many(len(pixels), len(labels), path)
    return pixels, require_classes(np.array(labels, np.int64), version.n_classes, path)


def _is_label(value: object) -> bool:
    return type(value) is int and abs(value) < 1 << 32  # what fits no array is no label


def _dictionary(path: Path) -> dict[str, Any]:
    content = load_restricted(path, keep_arrays=True)
    if not isinstance(content, dict):
        raise UsageError(
            "not a batch of CIFAR", where=path, expected="a dict", found=type(content).__name__
        )
    return content
