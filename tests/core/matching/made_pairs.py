"""Activation maps of two views of one made-up scene."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

SCALE, DELTA = 25.5, 6  # levels; activations end at 10


def made_pair(seed: int, n_channels: int = 8) -> list[np.ndarray]:
    """Blobs, moved by (2, 3) cells in the second map, each with some of its own around.

    Maps are ``(k, 14, 17)`` and ``(k, 16, 15)`` float32; most of either is zero.
    """
    rng = np.random.default_rng(seed)
    shared = ndimage.gaussian_filter(rng.standard_normal((n_channels, 14, 17)), (0, 1.3, 1.3))
    second = ndimage.gaussian_filter(rng.standard_normal((n_channels, 16, 15)), (0, 1.3, 1.3))
    second[:, 2:14, 3:15] = shared[:, :12, :12] + 0.1 * second[:, 2:14, 3:15]
    maps = [np.maximum(each - 0.5 * each.std(), 0) for each in (shared, second)]
    return [(each * 10 / each.max()).astype(np.float32) for each in maps]
