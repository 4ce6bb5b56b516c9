"""Photos as small squares; unreadable ones keep their row."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rrtool.datasets import load_dataset
from rrtool.datasets.photos import square
from rrtool.errors import UsageError
from tests.tiny import make_pictures


def test_square_takes_the_middle():
    pixels = np.zeros((40, 120, 3), np.uint8)
    pixels[:, 40:80] = 200  # the middle 40×40
    np.testing.assert_array_equal(square(pixels, 40), np.full((40, 40, 3), 200))
    np.testing.assert_array_equal(square(pixels.transpose(1, 0, 2), 40), np.full((40, 40, 3), 200))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (33, 32)])
def test_square_keeps_a_plain_colour_at_any_size(size):
    pixels = np.full((*size, 3), (10, 20, 30), np.uint8)
    np.testing.assert_array_equal(square(pixels, 32), np.full((32, 32, 3), (10, 20, 30)))


def test_load_dataset_of_a_folder_keeps_the_rows_of_unreadable_photos(tmp_path):
    folder = make_pictures(tmp_path / "photos", 3)
    (folder / "001.png").write_bytes(b"no picture")
    Image.new("L", (300, 20), 128).save(folder / "003.png")
    dataset = load_dataset(str(folder), image_size=24)
    assert dataset.names == ["000.png", "001.png", "002.png", "003.png"]
    assert dataset.images.shape == (4, 24, 24, 3)
    assert dataset.status.tolist() == [0, 1, 0, 0]
    assert [bool(reason) for reason in dataset.reasons] == [False, True, False, False]
    assert [name for name, _ in dataset.all_skipped()] == ["001.png"]
    assert not dataset.images[1].any()
    assert (dataset.images[3] == 128).all()
    assert (dataset.labels == -1).all()
    good = dataset.images[[0, 2, 3]].reshape(-1, 3) / 255
    np.testing.assert_allclose(dataset.mean, good.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(dataset.std, good.std(axis=0), atol=1e-6)


def test_load_dataset_limit_takes_the_first_photos(tmp_path):
    folder = make_pictures(tmp_path / "photos", 4)
    (folder / "003.png").write_bytes(b"no picture")
    whole, part = load_dataset(str(folder)), load_dataset(str(folder), limit=3)
    np.testing.assert_array_equal(part.images, whole.images[:3])
    assert part.names == whole.names[:3]
    assert not part.all_skipped()
    assert len(load_dataset(str(folder), limit=9)) == 4


def test_load_dataset_of_nothing_says_so(tmp_path):
    with pytest.raises(UsageError, match="absent"):
        load_dataset(str(tmp_path / "absent"))
