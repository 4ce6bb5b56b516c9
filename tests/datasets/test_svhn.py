"""SVHN's MATLAB files, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from rrtool.datasets import load_dataset
from rrtool.errors import UsageError
from tests.datasets.made_files import images_and_labels, write_svhn


def test_load_dataset_reads_svhn_and_takes_label_10_for_0(tmp_path):
    images, _ = images_and_labels(12, (32, 32, 3))
    labels = np.arange(12) % 10
    test_images, test_labels = images_and_labels(3, (32, 32, 3), seed=1)
    write_svhn(tmp_path / "s", "train", images, labels)
    write_svhn(tmp_path / "s", "test", test_images, test_labels)
    dataset = load_dataset(f"svhn:{tmp_path / 's'}")
    np.testing.assert_array_equal(dataset.images, images)
    np.testing.assert_array_equal(dataset.labels, labels)
    np.testing.assert_array_equal(dataset.test_images, test_images)
    np.testing.assert_array_equal(dataset.test_labels, test_labels)
    assert not dataset.mirrored_alike


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        ({"y": np.ones((2, 1))}, "no images in it"),
        ({"X": np.zeros((32, 32, 3, 2)), "y": np.ones((2, 1))}, "no images in it"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8)}, "no labels in it"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": "ab"}, "no labels in it"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.ones(3)}, "not one label per image"),
        ({"X": np.zeros((32, 32, 3, 2), np.uint8), "y": np.array([1, 11])}, "found 11"),
    ],
)
def test_load_dataset_of_another_mat_file_says_what_it_lacks(tmp_path, content, fragment):
    savemat(tmp_path / "train_32x32.mat", content)
    with pytest.raises(UsageError, match=fragment):
        load_dataset(f"svhn:{tmp_path}")


@pytest.mark.parametrize("cut", [0, 60, 300, -40])
def test_load_dataset_of_a_damaged_mat_file_says_so(tmp_path, cut):
    write_svhn(tmp_path / "s", "train", *images_and_labels(4, (32, 32, 3)))
    path = tmp_path / "s" / "train_32x32.mat"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(UsageError, match=r"train_32x32\.mat"):
        load_dataset(f"svhn:{tmp_path / 's'}")


def test_load_dataset_without_svhn_says_what_is_missing(tmp_path):
    with pytest.raises(UsageError, match=r"expected train_32x32\.mat"):
        load_dataset(f"svhn:{tmp_path}")
