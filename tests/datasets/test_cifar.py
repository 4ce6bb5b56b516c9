"""CIFAR's pickles and binary files, and what is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from rrtool.datasets import load_dataset
from rrtool.errors import UsageError
from tests.datasets.made_files import (
    cifar_binary,
    cifar_pickle,
    images_and_labels,
    python2_cifar_pickle,
)

NAMES = [f"kind {number}" for number in range(10)]


def _write_cifar10(folder, write, suffix=""):
    folder.mkdir(parents=True)
    images, labels = images_and_labels(10, (32, 32, 3))
    for number in range(5):
        part = slice(2 * number, 2 * number + 2)
        path = folder / f"data_batch_{number + 1}{suffix}"
        path.write_bytes(write(images[part], labels[part]))
    return images, labels


@pytest.mark.parametrize("writer", [cifar_pickle, python2_cifar_pickle])
def test_load_dataset_reads_cifar10_pickles(tmp_path, writer):
    folder = tmp_path / "cifar-10-batches-py"
    images, labels = _write_cifar10(folder, lambda *part: writer(*part, "labels"))
    test_images, test_labels = images_and_labels(3, (32, 32, 3), seed=1)
    (folder / "test_batch").write_bytes(writer(test_images, test_labels, "labels"))
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": NAMES}, protocol=2))
    for source in (folder, tmp_path):  # the folder itself, or the one it was unpacked into
        dataset = load_dataset(f"cifar10:{source}")
        np.testing.assert_array_equal(dataset.images, images)
        np.testing.assert_array_equal(dataset.labels, labels)
        np.testing.assert_array_equal(dataset.test_images, test_images)
        np.testing.assert_array_equal(dataset.test_labels, test_labels)
        assert dataset.class_names == NAMES
        assert dataset.mirrored_alike


def test_load_dataset_reads_cifar10_binary(tmp_path):
    images, labels = _write_cifar10(tmp_path / "c", cifar_binary, ".bin")
    (tmp_path / "c" / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    dataset = load_dataset(f"cifar10:{tmp_path / 'c'}")
    np.testing.assert_array_equal(dataset.images, images)
    np.testing.assert_array_equal(dataset.labels, labels)
    assert dataset.class_names == NAMES
    assert not len(dataset.test_images)


def test_load_dataset_reads_cifar100_in_both_versions(tmp_path):
    images, labels = images_and_labels(5, (32, 32, 3), n_classes=100)
    for name, content in (
        ("train", python2_cifar_pickle(images, labels, "fine_labels")),
        ("train.bin", cifar_binary(images, labels % 20, labels)),
    ):
        folder = tmp_path / f"for-{name}"
        folder.mkdir()
        (folder / name).write_bytes(content)
        dataset = load_dataset(f"cifar100:{folder}")
        np.testing.assert_array_equal(dataset.images, images)
        np.testing.assert_array_equal(dataset.labels, labels)
        assert dataset.class_names == [str(number) for number in range(100)]


def _pickled(**changes):
    images, labels = images_and_labels(2, (32, 32, 3))
    content = {"data": images.reshape(2, -1), "fine_labels": labels.tolist()} | changes
    return pickle.dumps(content, protocol=2)


@pytest.mark.parametrize(
    ("name", "content", "fragment"),
    [
        ("train", pickle.dumps(print), "more than plain data"),
        ("train", b"\x80\x02}(U\x04da", "not a readable pickle"),
        ("train", pickle.dumps([1]), "not a batch of CIFAR"),
        ("train", _pickled(data=None), "no images in it"),
        ("train", _pickled(data=np.zeros((2, 3072))), "no images in it"),
        ("train", _pickled(data=np.zeros((2, 3071), np.uint8)), "images of another size"),
        ("train", _pickled(fine_labels=None), "no labels in it"),
        ("train", _pickled(fine_labels=[0, 1.5]), "no labels in it"),
        ("train", _pickled(fine_labels=[0, 1 << 63]), "no labels in it"),
        ("train", _pickled(fine_labels=[0]), "not one label per image"),
        ("train", _pickled(fine_labels=[0, 100]), "found 100 at item 1"),
        ("train", _pickled(fine_labels=[-1, 0]), "found -1 at item 0"),
        ("train.bin", bytes(3074 * 2 - 1), "found 6147"),
        ("train.bin", b"", "not a whole number of images"),
        ("train.bin", b"\0\x64" + bytes(3072), "found 100 at item 0"),
    ],
)
def test_load_dataset_of_a_broken_cifar_file_says_what(tmp_path, name, content, fragment):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=fragment):
        load_dataset(f"cifar100:{tmp_path}")


def test_load_dataset_of_an_incomplete_cifar10_says_what_is_missing(tmp_path):
    _write_cifar10(tmp_path / "c", cifar_binary, ".bin")
    (tmp_path / "c" / "data_batch_3.bin").unlink()
    with pytest.raises(UsageError, match="data_batch_3"):
        load_dataset(f"cifar10:{tmp_path / 'c'}")


@pytest.mark.parametrize("names", [NAMES[:9], [*NAMES[:9], NAMES[0]], "ten", None])
def test_load_dataset_with_wrong_class_names_says_so(tmp_path, names):
    _write_cifar10(tmp_path / "c", cifar_binary, ".bin")
    (tmp_path / "c" / "batches.meta").write_bytes(pickle.dumps({"label_names": names}, protocol=2))
    with pytest.raises(UsageError, match="class names"):
        load_dataset(f"cifar10:{tmp_path / 'c'}")
