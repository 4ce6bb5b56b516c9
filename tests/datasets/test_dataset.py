"""Statistics of a data set against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.datasets.dataset import channel_statistics


@pytest.mark.parametrize("n_failed", [0, 2])
def test_channel_statistics_equals_numpy(n_failed):
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 7, 3), dtype=np.uint8)
    status = (np.arange(6) < n_failed).astype(np.uint8)
    mean, std = channel_statistics(images, status)
    good = images[n_failed:].reshape(-1, 3) / 255
    np.testing.assert_allclose(mean, good.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, good.std(axis=0), rtol=1e-6)


def test_channel_statistics_of_a_constant_channel_can_be_divided_by():
    mean, std = channel_statistics(np.full((2, 4, 4, 1), 51, np.uint8), np.zeros(2))
    np.testing.assert_allclose(mean, [0.2], rtol=1e-6)
    np.testing.assert_array_equal(std, [1])


@pytest.mark.parametrize("status", [[], [1, 1]])
def test_channel_statistics_without_good_images_changes_nothing(status):
    images = np.zeros((len(status), 4, 4, 3), np.uint8)
    mean, std = channel_statistics(images, np.array(status))
    np.testing.assert_array_equal(mean, np.zeros(3))
    np.testing.assert_array_equal(std, np.ones(3))
