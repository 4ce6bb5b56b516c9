"""Compiled filling of extremal regions from their seeds."""

import numba
import numpy as np


@numba.njit(cache=True, nogil=True, error_model="numpy")
def fill_regions(levels, channels, thresholds, seeds, mask):
    """Marks in ``mask`` the 8-connected component of ``{levels >= threshold}`` at every seed.

    Args:
        levels: ``(k, h, w)`` uint8.
        channels, thresholds, seeds: ``(n,)``, of the regions; of two in one channel that share
            pixels the outer one comes first.
        mask: ``(k, h, w)`` bool, all false.
    """
    _, height, width = levels.shape
    waiting = np.empty(height * width, np.int64)
    for region in range(len(seeds)):
        level, threshold = levels[channels[region]], thresholds[region]
        inside = mask[channels[region]]
        seed = np.int64(seeds[region])
        if inside[seed // width, seed % width]:
            continue  # and with it the whole region
        inside[seed // width, seed % width] = True
        waiting[0], n_waiting = seed, 1
        while n_waiting:
            n_waiting -= 1
            y, x = waiting[n_waiting] // width, waiting[n_waiting] % width
            for v in range(max(y - 1, 0), min(y + 2, height)):
                for u in range(max(x - 1, 0), min(x + 2, width)):
                    if level[v, u] >= threshold and not inside[v, u]:
                        inside[v, u] = True
                        waiting[n_waiting] = v * width + u
                        n_waiting += 1
