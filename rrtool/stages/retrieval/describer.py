"""From activation maps at several scales to one descriptor (thesis §4.4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from rrtool.core.retrieval.pooling import POOLINGS, combine_scales, l2_normalize, pool
from rrtool.core.retrieval.whitening import apply_whitening
from rrtool.devices import resolve_device
from rrtool.errors import UsageError
from rrtool.networks import Network
from rrtool.stages.retrieval.options import ExtractOptions


@dataclass(frozen=True)
class Describer:
    """From activation maps at several scales to one descriptor (§4.4.1)."""

    pool: str
    gem_exponent: float
    n_channels: int
    whitening_name: str
    whitening: tuple[np.ndarray, np.ndarray] | None
    projection: tuple[torch.Tensor, torch.Tensor] | None

    @staticmethod
    def of(network: Network, options: ExtractOptions) -> Describer:
        """Resolve the options against what the checkpoint says.

        Raises:
            UsageError: a whitening is named that the checkpoint does not carry.
        """
        own = network.pooling if network.pooling in POOLINGS else None
        exponent = options.gem_exponent or network.gem_exponent or 3.0
        name, whitening = _choose_whitening(network, options)
        projection = None
        if network.projection is not None and options.whitening != "none":
            device = resolve_device(options.device)
            weight, bias = network.projection
            projection = (weight.to(device), bias.to(device))
        method = options.pool or own or "gem"
        return Describer(method, exponent, network.n_channels, name, whitening, projection)

    def settings(self) -> dict[str, Any]:
        """What the descriptors depend on, JSON-compatible."""
        whitening = self.whitening_name
        if self.projection is not None:
            whitening = "learned layer" + (f", {whitening}" if self.whitening else "")
        return {
            "pool": self.pool,
            "gem_exponent": self.gem_exponent if self.pool == "gem" else None,
            "whitening": whitening,
        }

    @property
    def dimension(self) -> int:
        """Of the descriptors."""
        if self.whitening is not None:
            return len(self.whitening[1])
        return self.n_channels if self.projection is None else len(self.projection[0])

    def __call__(self, maps: Sequence[torch.Tensor]) -> np.ndarray:
        """``(b, k, h, w)`` per scale → ``(b, d)`` float32 on the CPU."""
        with torch.inference_mode():
            per_scale = [self._describe(scale) for scale in maps if scale.shape[-1]]
            # The generalized mean needs non-negative entries, which whitening does not leave.
            non_negative = self.pool == "gem" and self.projection is None
            exponent = self.gem_exponent if non_negative else 1.0
            combined = combine_scales(per_scale, exponent).cpu().numpy()
        if self.whitening is None:
            return combined
        return apply_whitening(combined, *self.whitening)

    def _describe(self, activations: torch.Tensor) -> torch.Tensor:
        descriptors = l2_normalize(pool(activations, self.pool, self.gem_exponent))
        if self.projection is None:
            return descriptors
        weight, bias = self.projection
        return l2_normalize(torch.nn.functional.linear(descriptors, weight, bias))


def _choose_whitening(
    network: Network, options: ExtractOptions
) -> tuple[str, tuple[np.ndarray, np.ndarray] | None]:
    wanted, carried = options.whitening, network.whitenings
    if wanted == "none" or (wanted == "auto" and not carried):
        return "none", None
    if wanted == "auto":
        if len(carried) > 1:
            raise UsageError(
                "the checkpoint carries several whitenings",
                expected="--whitening with one of " + ", ".join(carried) + " or none",
            )
        wanted = next(iter(carried))
    if wanted not in carried:
        raise UsageError(
            "the checkpoint carries no such whitening",
            expected=", ".join(carried) or "none",
            found=wanted,
        )
    scales = "ms" if len(options.scales) > 1 else "ss"
    if scales not in carried[wanted]:
        scales = next(iter(carried[wanted]))
    return f"{wanted}/{scales}", carried[wanted][scales]
