"""Images of a data set on the device of the network, as the network takes them."""

from __future__ import annotations

import numpy as np
import torch

from rrtool.training.augmentation import Augmentation, augmented


class Pixels:
    """8-bit images in memory, normalised when a batch is asked for.

    Args:
        images: ``(n, h, w, c)`` uint8.
        mean, std: ``(c,)``, of the training images, where 1 is the brightest.
        device: where batches are wanted; the images are copied there.
    """

    def __init__(
        self, images: np.ndarray, mean: np.ndarray, std: np.ndarray, device: str = "cpu"
    ) -> None:
        self._images = torch.tensor(images, device=device)
        scale = 1.0 / (255.0 * np.asarray(std, np.float64))
        shift = np.asarray(mean, np.float64) / np.asarray(std, np.float64)
        self._scale = torch.from_numpy(scale.astype(np.float32)).to(device)[:, None, None]
        self._shift = torch.from_numpy(shift.astype(np.float32)).to(device)[:, None, None]

    def __len__(self) -> int:
        return len(self._images)

    def batch(self, start: int, stop: int) -> torch.Tensor:
        """``(stop - start, c, h, w)`` float32, zero mean and unit deviation."""
        return self._normalized(self._images[start:stop])

    def varied(
        self, ids: np.ndarray, augmentation: Augmentation, generator: np.random.Generator
    ) -> torch.Tensor:
        """``(b, c, h, w)`` float32 of some images, each varied anew; see ``augmented``."""
        return self._normalized(augmented(self._images, ids, augmentation, generator))

    def _normalized(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2).float().mul_(self._scale).sub_(self._shift)
