"""Regions of photos that go through the network one by one, each brought to one size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from rrtool.core.retrieval.pooling import rmac_regions
from rrtool.networks import Network


@dataclass(frozen=True)
class Zoom:
    """Which regions, and how large the network sees them.

    Attributes:
        n_levels: of the regions, which are placed in the photo as R-MAC places them in its map.
        side: pixels of the longer side of each.
    """

    n_levels: int
    side: int

    def maps(self, network: Network, images: torch.Tensor) -> list[torch.Tensor]:
        """The activation maps ``(b, k, h, w)`` float32 of each region.

        What is around a region has no part in them, and a small thing is seen as large as another.

        Args:
            images: ``(b, 3, H, W)``, normalised.
        """
        found = []
        for x, y, width, height in self._places(images):
            factor = max(
                self.side / max(width, height), network.min_size / max(1, min(width, height))
            )
            size = [max(network.min_size, round(side * factor)) for side in (height, width)]
            region = images[..., y : y + height, x : x + width]
            scaled = functional.interpolate(region, size, mode="bilinear", align_corners=False)
            with torch.autocast(images.device.type, torch.float16, enabled=images.is_cuda):
                found.append(network.backbone(scaled).float())
        return found

    def shares(self, images: torch.Tensor) -> torch.Tensor:
        """Where the regions are: ``(b, 4, 1, r)`` float32, x0, y0, x1, y1 as shares of the photo.

        Args:
            images: ``(b, H, W, 3)``.
        """
        b, height, width, _ = images.shape
        places = torch.tensor(self._places(images.permute(0, 3, 1, 2)), dtype=torch.float32)
        x, y, w, h = places.T
        corners = torch.stack([x / width, y / height, (x + w) / width, (y + h) / height])
        return corners[None, :, None].expand(b, -1, -1, -1)

    def _places(self, images: torch.Tensor) -> list[tuple[int, int, int, int]]:
        height, width = images.shape[-2:]
        return list(dict.fromkeys(rmac_regions(height, width, self.n_levels)))
