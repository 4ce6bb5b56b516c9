"""Random translation and mirroring of a whole batch, by one gather (thesis §3.5.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied.

    Attributes:
        translate: shift along each axis, uniform in ``-translate … translate`` pixels; what is
            moved in is the image's reflection, as in the code of Tarvainen and Valpola.
        flip: mirror left and right, at even odds.
    """

    translate: int = 4
    flip: bool = True


def augmented(
    images: torch.Tensor,
    ids: np.ndarray,
    augmentation: Augmentation,
    generator: np.random.Generator,
) -> torch.Tensor:
    """Some of the images, each varied anew.

    Args:
        images: ``(n, h, w, c)``.
        ids: ``(b,)`` of those to take; one may occur several times.

    Returns:
        ``(b, h, w, c)`` of the type of ``images``.
    """
    height, width = images.shape[1:3]
    reach = augmentation.translate
    shifts = generator.integers(-reach, reach + 1, (len(ids), 2))
    rows = reflected(np.arange(height) - shifts[:, :1], height)
    columns = reflected(np.arange(width) - shifts[:, 1:], width)
    if augmentation.flip:
        mirrored = generator.random(len(ids)) < 0.5
        columns[mirrored] = columns[mirrored, ::-1]
    device = images.device
    at_image = torch.from_numpy(np.asarray(ids, dtype=np.int64)).to(device)
    at_row, at_column = torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)
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
