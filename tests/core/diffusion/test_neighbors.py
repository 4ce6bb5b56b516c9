"""Defaults of k and kq, by hand."""

from __future__ import annotations

import pytest

from rrtool.core.diffusion.neighbors import default_k, default_seeds, is_too_many


@pytest.mark.parametrize(
    ("n_images", "n_vectors", "k", "kq"),
    [
        (100_000, 100_000, 50, 10),
        (2000, 2000, 50, 10),
        (1999, 1999, 49, 10),
        (442, 442, 11, 5),
        (51, 51, 3, 1),
        (3, 3, 2, 1),
        # Regions: the number of images counts, not that of regions.
        (100_000, 1_400_000, 200, 200),
        (10_000, 10_001, 200, 200),
        (9_999, 140_000, 199, 199),
        (426, 6000, 41, 41),
        (426, 2130, 41, 41),
        (51, 700, 14, 14),
        (1, 14, 3, 3),
        (1, 2, 1, 1),
        (1, 1, 1, 1),
    ],
)
def test_defaults_by_the_number_of_images(n_images, n_vectors, k, kq):
    assert default_k(n_images, n_vectors) == k
    assert default_seeds(k, n_images, n_vectors) == kq


@pytest.mark.parametrize(
    ("k", "n_images", "n_vectors", "expected"),
    [
        (50, 1000, 1000, False),
        (51, 1000, 1000, True),
        (3, 60, 60, False),
        (3, 59, 59, True),
        (126, 1000, 14_000, False),
        (127, 1000, 14_000, True),
        (50, 426, 6000, False),
        (50, 51, 700, True),
    ],
)
def test_is_too_many(k, n_images, n_vectors, expected):
    assert is_too_many(k, n_images, n_vectors) == expected
