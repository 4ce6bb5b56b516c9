"""From what the user names to a data set in memory."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from rrtool.datasets import cifar, idx, svhn
from rrtool.datasets.dataset import Dataset, channel_statistics
from rrtool.datasets.files import record_of, require_file
from rrtool.datasets.photos import load_photos
from rrtool.errors import UsageError
from rrtool.images.decode import DEFAULT_MAX_PIXELS
from rrtool.progress import Progress, Silent

Split = tuple[np.ndarray, np.ndarray, list[Path]]
_DIGITS = [str(digit) for digit in range(10)]


def load_dataset(
    source: str,
    *,
    image_size: int = 32,
    limit: int | None = None,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    workers: int = 0,
    progress: Progress | None = None,
) -> Dataset:
    """Read a whole data set.

    Args:
        source: ``mnist:FOLDER``, ``cifar10:FOLDER``, ``cifar100:FOLDER``, ``svhn:FOLDER`` with
            the standard files in it, or a folder or list of photos as ``extract`` takes it.
        image_size: photos become squares so many pixels wide; the standard sets keep theirs.
        limit: only the first so many training images.
        max_pixels: larger photos are refused before they are decoded.
        workers: decoding threads, 0 = as many as cores.

    Raises:
        UsageError: nothing there, or a file is damaged.
    """
    prefix, _, folder = source.partition(":")
    if is_standard(source):
        dataset = _STANDARD[prefix](source, Path(folder))
    else:
        dataset = load_photos(source, image_size, max_pixels, workers, progress or Silent())
    return dataset if limit is None else dataset.first(limit)


def is_standard(source: str) -> bool:
    """Whether it names a standard data set, such as ``mnist:FOLDER``, and no photos."""
    prefix, separator, _ = source.partition(":")
    return bool(separator) and prefix in _STANDARD


def _mnist(source: str, folder: Path) -> Dataset:
    require_file([folder], idx.image_names())
    train, test = idx.read_split(folder, "train"), idx.read_split(folder, "t10k")
    return _standard(source, train, test, _DIGITS, mirrored_alike=False)


def _svhn(source: str, folder: Path) -> Dataset:
    require_file([folder], [svhn.file_name("train")])
    train, test = svhn.read_split(folder, "train"), svhn.read_split(folder, "test")
    return _standard(source, train, test, _DIGITS, mirrored_alike=False)


def _cifar(version: cifar.CifarVersion, source: str, folder: Path) -> Dataset:
    require_file(cifar.folders_of(folder, version), cifar.image_names(version))
    train = cifar.read_split(folder, version, version.train)
    test = cifar.read_split(folder, version, version.test)
    names = cifar.class_names(folder, version)
    return _standard(source, train, test, names, mirrored_alike=True)


_STANDARD: dict[str, Callable[[str, Path], Dataset]] = {
    "mnist": _mnist,
    "cifar10": partial(_cifar, cifar.CIFAR10),
    "cifar100": partial(_cifar, cifar.CIFAR100),
    "svhn": _svhn,
}


def _standard(
    source: str, train: Split | None, test: Split | None, class_names: list[str], *,
    mirrored_alike: bool,
) -> Dataset:  # fmt: skip
    if train is None or not len(train[0]):
        raise UsageError("no training images", where=source)
    images, labels, paths = train
    test_images, test_labels, test_paths = test or (images[:0], labels[:0], [])
    size, test_size = images.shape[1:], test_images.shape[1:]
    if test_size != size:
        what = "training and test images differ in size"
        raise UsageError(what, where=source, expected=size, found=test_size)
    status = np.zeros(len(images), np.uint8)
    mean, std = channel_statistics(images, status)
    return Dataset(
        images=images,
        names=[f"train-{number:05d}" for number in range(len(images))],
        labels=labels,
        class_names=class_names,
        test_images=test_images,
        test_labels=test_labels,
        mean=mean,
        std=std,
        mirrored_alike=mirrored_alike,
        status=status,
        reasons=[""] * len(images),
        skipped=[],
        inputs=[record_of(source, [*paths, *test_paths])],
    )
