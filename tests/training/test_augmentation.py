"""Translation and mirroring against NumPy's padding, image by image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rrtool.training.pixels import augmented, reflected


class _Fixed:
    """A generator that gives what it is told."""

    def __init__(self, shifts, flips):
        self._shifts, self._flips = np.array(shifts), np.array(flips)

    def integers(self, low, high, shape):
        assert self._shifts.shape == shape
        assert low <= self._shifts.min()
        assert self._shifts.max() < high
        return self._shifts

    def random(self, n):
        return np.where(self._flips, 0.1, 0.9)


def _by_padding(image: np.ndarray, shift: tuple[int, int], flip: bool) -> np.ndarray:
    down, right = shift
    reach = 4
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    height, width = image.shape[:2]
    moved = padded[reach - down : reach - down + height, reach - right : reach - right + width]
    return moved[:, ::-1] if flip else moved


def test_augmented_equals_padding_by_reflection():
    images = np.random.default_rng(0).integers(0, 256, (5, 7, 9, 3), dtype=np.uint8)
    ids = np.array([3, 0, 3, 4])
    shifts, flips = [(0, 0), (4, -4), (-3, 2), (-4, 1)], [False, False, True, True]
    varied = augmented(torch.from_numpy(images), ids, 4, True, _Fixed(shifts, flips))
    assert varied.dtype == torch.uint8
    for row, (image_id, shift, flip) in enumerate(zip(ids, shifts, flips, strict=True)):
        np.testing.assert_array_equal(varied[row], _by_padding(images[image_id], shift, flip))


def test_augmented_without_variation_is_the_image():
    images = torch.arange(2 * 4 * 5 * 1, dtype=torch.uint8).reshape(2, 4, 5, 1)
    varied = augmented(images, np.array([1, 0]), 0, False, np.random.default_rng(0))
    assert torch.equal(varied, images[[1, 0]])


def test_augmented_draws_every_shift_and_both_sides_about_equally_often():
    image = torch.zeros(1, 9, 9, 1, dtype=torch.uint8)
    image[0, 4, 4], image[0, 4, 5] = 255, 100
    varied = augmented(image, np.zeros(4000, int), 1, True, np.random.default_rng(0)).numpy()[
        ..., 0
    ]
    bright = np.argwhere(varied == 255)[:, 1:]
    places, counts = np.unique(bright, axis=0, return_counts=True)
    assert len(places) == 9
    assert counts.min() > 380  # 444 expected, deviation 20
    rows = np.arange(4000)
    mirrored = varied[rows, bright[:, 0], bright[:, 1] - 1] == 100
    assert 1900 < mirrored.sum() < 2100


def test_augmented_of_no_images_is_empty():
    images = torch.zeros(2, 4, 5, 3, dtype=torch.uint8)
    varied = augmented(images, np.zeros(0, int), 4, True, np.random.default_rng(0))
    assert varied.shape == (0, 4, 5, 3)


@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_reflected_folds_back_and_forth_without_repeating_edges(size):
    positions = np.arange(-20, 20)
    expected = np.pad(np.arange(size), (20, 20), mode="reflect")[:40] if size > 1 else np.zeros(40)
    np.testing.assert_array_equal(reflected(positions, size), expected)
