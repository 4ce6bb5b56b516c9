"""From images to descriptors that have gradients, and to those of many images that have none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import nn

from rrtool.core.retrieval.pooling import combine_scales
from rrtool.errors import WorkFailed
from rrtool.training.retrieval.pooling import pooled, unit
from rrtool.training.retrieval.trainable import Trainable

EXPONENT = "pool.p"  # as in retrieval checkpoints (networks.head)
_TOGETHER = 16  # images of one size that a GPU describes together
_CALIBRATION_IMAGES = 64  # as many as detect-local learns levels from
Pairs = Sequence[tuple[int, int]]


class Images(Protocol):
    """Where what the body of a network takes comes from."""

    def __call__(
        self, rows: Sequence[int] | np.ndarray, scale: float = 1.0
    ) -> Iterator[torch.Tensor | None]:
        """Of each image ``(1, c, h, w)`` float32 on the network's device, in order.

        None where it cannot be used.

        Args:
            scale: factor of the size of the image.
        """
        ...


class Masks(Protocol):
    """Where the two images of a pair match (thesis §4.5.1)."""

    def learn_levels(self, maps: Iterable[torch.Tensor]) -> None:
        """Take the maps ``(1, k, h, w)`` of a sample of images, by the network as it is."""
        ...

    def __call__(
        self, maps: Sequence[torch.Tensor], pairs: Pairs
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """From the maps ``(k, h, w)`` of images and pairs of them to the masks of each pair."""
        ...


class Encoder:
    """A network, its pooling, and the images that it describes.

    Args:
        trainable: the network.
        exponent: of GeM, ``(1,)`` or ``(k,)``, which is learnt; None: maximum pooling.
        images: gives them.
        masks: of spatial training; None: descriptors are pooled over whole maps.
    """

    def __init__(
        self,
        trainable: Trainable,
        exponent: torch.Tensor | None,
        images: Images,
        masks: Masks | None = None,
    ) -> None:
        self.trainable, self.images, self._masks = trainable, images, masks
        self.device = next(iter(trainable.trained.values())).device
        self.exponent = None
        if exponent is not None:
            self.exponent = nn.Parameter(exponent.clone().to(self.device))

    def tensors(self) -> dict[str, torch.Tensor]:
        """For a weights file: those of the backbone, and the exponent."""
        found = self.trainable.tensors()
        if self.exponent is not None:
            found[EXPONENT] = self.exponent.detach().cpu().clone()
        return found

    def describe(
        self, rows: np.ndarray, scales: Sequence[float] = (1.0,)
    ) -> tuple[np.ndarray, np.ndarray]:
        """Descriptors of images by the network as it is, combined over scales as by extract.

        Returns:
            ``(m, k)`` float32, l2-normalised, zero where an image cannot be used at any scale;
            and ``(m,)`` bool, which can.

        Raises:
            WorkFailed: a descriptor is not finite.
        """
        by_scale: list[dict[int, torch.Tensor]] = [self._described(rows, each) for each in scales]
        found = np.zeros((len(rows), self.trainable.network.n_channels), np.float32)
        is_usable = np.zeros(len(rows), bool)
        exponent = 1.0
        if self.exponent is not None and self.exponent.numel() == 1:
            exponent = float(self.exponent.detach())
        for place in range(len(rows)):
            own = [each[place][None] for each in by_scale if place in each]
            if own:
                found[place] = own[0][0] if len(scales) == 1 else combine_scales(own, exponent)[0]
                is_usable[place] = True
        if not np.isfinite(found).all():
            what = "training diverged: descriptors are not finite"
            raise WorkFailed(what, todo="lower --learning-rate")
        return found, is_usable

    def _described(self, rows: np.ndarray, scale: float) -> dict[int, torch.Tensor]:
        """``(k,)`` on the CPU by place in ``rows``."""
        found: dict[int, torch.Tensor] = {}
        with torch.no_grad():
            for places, images in self._together(self.images(rows, scale)):
                maps = self.trainable.body(images).float()
                found.update(zip(places, unit(pooled(maps, self.exponent)).cpu(), strict=True))
        return found

    def _together(
        self, images: Iterator[torch.Tensor | None]
    ) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Images of one size in one tensor, and their places."""
        most = 1 if self.device.type == "cpu" else _TOGETHER
        waiting: dict[torch.Size, dict[int, torch.Tensor]] = {}
        for place, image in enumerate(images):
            if image is None:
                continue
            own = waiting.setdefault(image.shape, {})
            own[place] = image
            if len(own) == most:
                yield list(own), torch.cat(list(own.values()))
                del waiting[image.shape]
        for own in waiting.values():
            yield list(own), torch.cat(list(own.values()))

    def learn_levels(self, rows: Sequence[int]) -> None:
        """Of spatial training: how activations become levels, by the network as it is.

        As it learns, its activations grow and shrink; levels of an even sample of what it learns
        from are those that detect-local would find with it. They are no part of a checkpoint:
        the network and the images determine them.
        """
        if self._masks is not None:
            step = max(1, -(-len(rows) // _CALIBRATION_IMAGES))
            with torch.no_grad():
                given = (each for each in self.images(rows[::step]) if each is not None)
                self._masks.learn_levels(self.trainable.body(each) for each in given)

    def of_pairs(
        self, images: list[torch.Tensor], pairs: Pairs
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Descriptors ``(m, k)`` with gradients, of the first and of the second image of each pair.

        In spatial training an image has another descriptor in each pair: of what it shares with
        the other image (A_{1|2} and A_{2|1} of §4.5.1).
        """
        maps = self._maps(images)
        if self._masks is None:
            descriptors = unit(torch.cat([pooled(each, self.exponent) for each in maps]))
            first, second = (descriptors[list(side)] for side in zip(*pairs, strict=True))
            return first, second
        whole = [pooled(each, self.exponent) for each in maps]
        masks = self._masks([each.detach()[0] for each in maps], pairs)
        sides = []
        for side in (0, 1):
            chosen = [
                self._masked(maps[pair[side]], whole[pair[side]], own[side])
                for pair, own in zip(pairs, masks, strict=True)
            ]
            sides.append(unit(torch.cat(chosen)))
        return sides[0], sides[1]

    def _masked(self, maps: torch.Tensor, whole: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Pool ``(1, k, h, w)`` over a mask ``(k, h, w)``, see ``pooled``.

        Args:
            whole: ``(1, k)``, pooled over all positions, which most channels are.
        """
        channels = mask.flatten(1).any(dim=1).nonzero()[:, 0]
        exponent: torch.Tensor | None = self.exponent
        if exponent is not None and exponent.numel() > 1:
            exponent = exponent[channels]
        masked = pooled(maps[:, channels], exponent, mask[None, channels])
        return whole.index_copy(1, channels, masked)

    def _maps(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        """``(1, k, h, w)`` of each; images of one size go through the network together."""
        maps: dict[int, torch.Tensor] = {}
        by_size: dict[torch.Size, list[int]] = {}
        for place, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(place)
        for places in by_size.values():
            found = self.trainable.body(torch.cat([images[place] for place in places])).float()
            maps.update(zip(places, found.split(1), strict=True))
        return [maps[place] for place in range(len(images))]
