"""MNIST's files against bytes written by hand, and every way in which they may be broken."""

from __future__ import annotations

import gzip
import os
import shutil

import numpy as np
import pytest

from rrtool.datasets import load_dataset
from rrtool.datasets.idx import read_idx
from rrtool.errors import UsageError
from tests.datasets.made_files import idx_bytes, images_and_labels, write_mnist
from tests.shared_data import ROOT


def test_read_idx_reads_bytes_in_c_order(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3, 4, 5, 255]))
    np.testing.assert_array_equal(read_idx(path, 3), [[[1, 2, 3]], [[4, 5, 255]]])


def test_load_dataset_reads_compressed_and_plain_mnist(tmp_path):
    images, labels = images_and_labels(7, (28, 28, 1))
    test_images, test_labels = images_and_labels(3, (28, 28, 1), seed=1)
    write_mnist(tmp_path / "m", "train", images, labels)
    write_mnist(tmp_path / "m", "t10k", test_images, test_labels)
    dataset = load_dataset(f"mnist:{tmp_path / 'm'}")
    np.testing.assert_array_equal(dataset.images, images)
    np.testing.assert_array_equal(dataset.labels, labels)
    np.testing.assert_array_equal(dataset.test_images, test_images)
    np.testing.assert_array_equal(dataset.test_labels, test_labels)
    assert dataset.class_names == list("0123456789")
    assert len(set(dataset.names)) == 7
    assert not dataset.mirrored_alike
    assert not dataset.status.any()


def test_load_dataset_without_test_files_has_no_test_images(tmp_path):
    write_mnist(tmp_path / "m", "train", *images_and_labels(4, (28, 28, 1)))
    dataset = load_dataset(f"mnist:{tmp_path / 'm'}")
    assert dataset.test_images.shape == (0, 28, 28, 1)
    assert dataset.test_labels.shape == (0,)


def test_data_set_is_known_by_its_contents_not_by_its_times(tmp_path):
    images, labels = images_and_labels(4, (28, 28, 1))
    write_mnist(tmp_path / "m", "train", images, labels)
    shutil.copytree(tmp_path / "m", tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy").iterdir():
        os.utime(path, (7, 7))
    write_mnist(tmp_path / "other", "train", images, (labels + 1) % 10)
    digest, copied, other = (
        load_dataset(f"mnist:{tmp_path / name}").inputs[0].digest for name in ("m", "copy", "other")
    )
    assert digest == copied != other


def _broken(kind: str) -> bytes:
    whole = idx_bytes(np.zeros((4, 28, 28)))
    return {
        "truncated": whole[:-1],
        "longer": whole + b"\0",
        "header": whole[:9],
        "empty": b"",
        "labels": idx_bytes(np.zeros(4)),
        "floats": whole[:2] + b"\x0d" + whole[3:],
        "huge": whole[:4] + b"\xff" * 12,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "fragment"),
    [
        ("truncated", "found 3135 bytes"),
        ("longer", "found more"),
        ("header", "cut short in its header"),
        ("empty", "found an empty file"),
        ("labels", "3 dimensions"),
        ("floats", "found 00 00 0d 03"),
        ("huge", "impossible sizes"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_read_idx_of_a_broken_file_says_how(tmp_path, kind, fragment, packed):
    path = tmp_path / ("a.gz" if packed else "a")
    path.write_bytes(gzip.compress(_broken(kind)) if packed else _broken(kind))
    with pytest.raises(UsageError, match=fragment):
        read_idx(path, 3)


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (gzip.compress(idx_bytes(np.zeros((9, 28, 28))))[:-12], "cut short"),
        (b"not gzip at all", "cannot read it"),
        (gzip.compress(b"x")[:10] + b"\xff" * 20, "cannot read it"),
    ],
    ids=["cut", "no archive", "damaged"],
)
def test_read_idx_of_a_broken_archive_says_so(tmp_path, content, fragment):
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=fragment):
        read_idx(path, 3)


def test_load_dataset_of_mnist_files_that_do_not_fit_says_so(tmp_path):
    images, labels = images_and_labels(4, (28, 28, 1))
    write_mnist(tmp_path / "m", "train", images, labels[:3])
    with pytest.raises(UsageError, match="not one label per image"):
        load_dataset(f"mnist:{tmp_path / 'm'}")
    write_mnist(tmp_path / "m", "train", images, labels + 10)
    with pytest.raises(UsageError, match="label out of range"):
        load_dataset(f"mnist:{tmp_path / 'm'}")
    (tmp_path / "m" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(UsageError, match=r"missing.*train-labels"):
        load_dataset(f"mnist:{tmp_path / 'm'}")


@pytest.mark.parametrize("folder", ["absent", "empty"])
def test_load_dataset_of_no_mnist_says_what_is_missing(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no such folder|train-images-idx3-ubyte"):
        load_dataset(f"mnist:{tmp_path / folder}")


@pytest.mark.skipif(not (ROOT / "mnist").is_dir(), reason="the shared MNIST files are not here")
def test_load_dataset_of_the_real_mnist_has_its_known_statistics():
    dataset = load_dataset(f"mnist:{ROOT / 'mnist'}")
    assert dataset.images.shape == (60000, 28, 28, 1)
    assert dataset.test_images.shape == (10000, 28, 28, 1)
    assert np.bincount(dataset.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert dataset.mean[0] == pytest.approx(0.1307, abs=5e-5)
    assert dataset.std[0] == pytest.approx(0.3081, abs=5e-5)
