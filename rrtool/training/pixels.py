"""Images of a data set on the device of the network, as the network takes them."""

import numpy as np
import torch


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
        self, ids: np.ndarray, translate: int, flip: bool, generator: np.random.Generator
    ) -> torch.Tensor:
        """``(b, c, h, w)`` float32 of some images, each varied anew; see ``augmented``."""
        return self._normalized(augmented(self._images, ids, translate, flip, generator))

    def _normalized(self, images: torch.Tensor) -> torch.Tensor:
        return images.permute(0, 3, 1, 2).float().mul_(self._scale).sub_(self._shift)


def augmented(
    images: torch.Tensor,
    ids: np.ndarray,
    translate: int,
    flip: bool,
    generator: np.random.Generator,
) -> torch.Tensor:
    """Random translation and mirroring of a whole batch, by one gather (thesis §3.5.1).

    Args:
        images: ``(n, h, w, c)``.
        ids: ``(b,)`` of those to take; one may occur several times.
        translate: shift along each axis, uniform in ``-translate … translate`` pixels; what is
            moved in is the image's reflection, as in the code of Tarvainen and Valpola.
        flip: mirror left and right, at even odds.

    Returns:
        ``(b, h, w, c)`` of the type of ``images``.
    """
    height, width = images.shape[1:3]
    shifts = generator.integers(-translate, translate + 1, (len(ids), 2))
    rows = reflected(np.arange(height) - shifts[:, :1], height)
    columns = reflected(np.arange(width) - shifts[:, 1:], width)
    if flip:
        mirrored = generator.random(len(ids)) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    at_image, at_row, at_column = (
        torch.from_numpy(np.asarray(places, np.int64)).to(images.device)
        for places in (ids, rows, columns)
    )
    return images[at_image[:, None, None], at_row[:, :, None], at_column[:, None, :]]


def reflected(positions: np.ndarray, size: int) -> np.ndarray:
    """Positions beyond the edges, folded back without repeating the edge (``… 2 1 0 1 2 …``).

    Args:
        positions: integers, any.

    Returns:
        int64 of the same shape, in ``0 … size - 1``.
    """
    period = max(1, 2 * (size - 1))
    folded = np.mod(positions, period)
    return np.where(folded < size, folded, period - folded).astype(np.int64)
