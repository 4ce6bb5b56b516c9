"""From activation maps at several scales to one descriptor (thesis §4.4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from rrtool.artifacts import Whitening
from rrtool.core.retrieval.pooling import (
    POOLINGS,
    combine_scales,
    l2_normalize,
    pool,
    sum_over_regions,
)
from rrtool.core.retrieval.whitening import apply_whitening
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError, UsageError
from rrtool.networks import Network
from rrtool.networks.head import Head, Linear, pooling_name
from rrtool.progress import Progress
from rrtool.stages.retrieval.options import CLASS_TOKEN, ExtractOptions
from rrtool.stages.retrieval.whitening import in_doubles, read_whitening

# The released networks raise activations to this before a power of them is taken.
_LEAST = 1e-6


@dataclass(frozen=True)
class Describer:
    """From activation maps at several scales to one descriptor (§4.4.1).

    Attributes:
        pool: one of ``POOLINGS``, or the class token in place of it.
        gem_exponent: of GeM, or ``(k,)`` with one a channel.
        n_channels: of the activation maps.
        whitening_name, whitening: what is applied last, mean ``(k,)`` and projection ``(d, k)``
            as of ``in_doubles``.
        local, regional, projection: layers of the checkpoint, see ``networks.head.Head``.
        is_centred: whether whitening waits for the mean of the images (``retrieval.center``).
    """

    pool: str
    gem_exponent: float | torch.Tensor
    n_channels: int
    whitening_name: str
    whitening: tuple[np.ndarray, np.ndarray] | None
    local: Linear | None
    regional: Linear | None
    projection: Linear | None
    is_centred: bool = False

    @staticmethod
    def of(network: Network, options: ExtractOptions) -> Describer:
        """Resolve the options against what the checkpoint says.

        Raises:
            UsageError: a whitening is named that the checkpoint does not carry; or the pooling is
                not known, or does not go with its layers.
        """
        head, device = network.head, resolve_device(options.device)
        name, whitening = _choose_whitening(network, options)
        method = options.pool or _own_pooling(head) or "gem"
        if method == "crow" and head.local is not None:
            what = "--pool crow needs activations that are not negative"
            raise UsageError(
                what, found="a checkpoint that whitens them", todo="use another --pool"
            )
        return Describer(
            method,
            options.gem_exponent or _own_exponent(head, device),
            network.n_channels,
            name,
            None if whitening is None else in_doubles(*whitening),
            _placed(head.local, device),
            _placed(head.regional, device),
            None if options.whitening == "none" else _placed(head.projection, device),
            whitening is not None and head.is_centred,
        )

    def with_whitened_regions(
        self, whitening: Whitening, network: Network, device: str, progress: Progress
    ) -> Describer:
        """R-MAC whose regions are whitened before they are added up (§2.5).

        Raises:
            UsageError: the pooling is not R-MAC, or the checkpoint whitens by layers of its own.
            ArtifactError: the whitening was learnt on something other than such regions.
        """
        layers = (self.local, self.regional, self.projection)
        if self.pool != "rmac" or any(layer is not None for layer in layers):
            raise UsageError(
                "--region-whitening is for the regions of R-MAC", expected="--pool rmac",
                found="a checkpoint with a whitening layer" if self.pool == "rmac" else self.pool,
            )  # fmt: skip
        _require_for_regions(whitening, network)
        name, mean, projection = read_whitening(whitening, None, progress)
        weight = torch.from_numpy(np.array(projection))
        layer = (weight, -weight @ torch.from_numpy(np.array(mean)))
        return replace(
            self, pool="mac", whitening_name=f"{name} of regions", regional=_placed(layer, device)
        )

    def settings(self) -> dict[str, Any]:
        """What the descriptors depend on, JSON-compatible."""
        whitening = self.whitening_name
        if self.projection is not None:
            whitening = "learned layer" + (f", {whitening}" if self.whitening else "")
        by_channel = not isinstance(self.gem_exponent, float)
        return {
            "pool": pooling_name(
                self.pool,
                by_channel=by_channel,
                is_regional=self.regional is not None,
                is_local=self.local is not None,
            ),
            "gem_exponent": None if by_channel or self.pool != "gem" else self.gem_exponent,
            "whitening": whitening,
        }

    @property
    def dimension(self) -> int:
        """Of the descriptors that it gives."""
        if self.whitening is not None and not self.is_centred:
            return len(self.whitening[1])
        layers = (self.projection, self.regional, self.local)
        return next((len(layer[0]) for layer in layers if layer is not None), self.n_channels)

    def __call__(self, maps: Sequence[torch.Tensor]) -> np.ndarray:
        """``(b, k, h, w)`` per scale → ``(b, d)`` float32 on the CPU."""
        with torch.inference_mode():
            per_scale = [self._describe(scale) for scale in maps if scale.shape[-1]]
            combined = combine_scales(per_scale, self._scales_exponent).cpu().numpy()
        if self.whitening is None or self.is_centred:
            return combined
        return apply_whitening(combined, *self.whitening)

    @property
    def _scales_exponent(self) -> float:
        """The generalized mean needs non-negative entries, which whitening does not leave, and one
        exponent; else scales are averaged."""
        is_whitened = self.projection is not None or self.regional is not None
        if self.pool != "gem" or is_whitened or not isinstance(self.gem_exponent, float):
            return 1.0
        return self.gem_exponent

    def _describe(self, activations: torch.Tensor) -> torch.Tensor:
        if self.local is not None:
            positions = functional.linear(activations.permute(0, 2, 3, 1), *self.local)
            activations = positions.permute(0, 3, 1, 2)
            if self.pool == "gem":
                activations = activations.clamp_min(_LEAST)
        if self.regional is None:
            descriptors = self._pooled(activations)
        else:
            # The authors leave out regions that are narrower than a cell.
            n_levels = 3 if min(activations.shape[-2:]) > 1 else 1
            describe = partial(self._region_described, layer=self.regional)
            descriptors = l2_normalize(sum_over_regions(activations, describe, n_levels))
        return descriptors if self.projection is None else _whitened(descriptors, self.projection)

    def _pooled(self, activations: torch.Tensor) -> torch.Tensor:
        if self.pool == CLASS_TOKEN:
            return l2_normalize(activations[..., 0, 0].float())
        return l2_normalize(pool(activations, self.pool, self.gem_exponent))

    def _region_described(self, region: torch.Tensor, layer: Linear) -> torch.Tensor:
        pooled = self._pooled(region)
        # Without activations it stays zero, as by whiten apply.
        return _whitened(pooled, layer) * pooled.any(dim=-1, keepdim=True)


def _whitened(descriptors: torch.Tensor, layer: Linear) -> torch.Tensor:
    return l2_normalize(functional.linear(descriptors, *layer))


def _placed(layer: Linear | None, device: str) -> Linear | None:
    return None if layer is None else (layer[0].to(device), layer[1].to(device))


def _require_for_regions(whitening: Whitening, network: Network) -> None:
    """A whitening of l2-normalised maxima of this network's maps; others have another mean."""
    own, made = network.describe(), whitening.extra["made"]
    for key in ("name", "weights_digest", "upsample"):
        if whitening.network.get(key, own[key]) != own[key]:
            raise ArtifactError(
                "the whitening was learnt on another network", where=whitening.path,
                expected=own[key], found=whitening.network[key],
            )  # fmt: skip
    if made.get("pool") != "mac" or made.get("whitening", "none") != "none":
        raise ArtifactError(
            "the whitening is not for regions of R-MAC", where=whitening.path,
            expected="one learnt on features of --pool mac",
            found=f"--pool {made.get('pool')}, whitening {made.get('whitening')}",
        )  # fmt: skip


def _own_pooling(head: Head) -> str | None:
    if head.pooling is not None and head.pooling not in POOLINGS:
        raise UsageError(
            "the checkpoint's pooling is not known", expected=", ".join(POOLINGS),
            found=head.pooling, todo="choose one by --pool",
        )  # fmt: skip
    return head.pooling


def _own_exponent(head: Head, device: str) -> float | torch.Tensor:
    """A number where the channels share one; 3 where the checkpoint has none."""
    if head.exponent is None:
        return 3.0
    return float(head.exponent) if len(head.exponent) == 1 else head.exponent.to(device)


def _is_whole_gem(options: ExtractOptions) -> bool:
    return (
        options.pool in (None, "gem")
        and options.gem_exponent in (None, 3.0)
        and options.regions is None
    )


def _choose_whitening(
    network: Network, options: ExtractOptions
) -> tuple[str, tuple[np.ndarray, np.ndarray] | None]:
    wanted, carried = options.whitening, network.head.whitenings
    if options.region_whitening is not None:
        return "none", None
    if wanted == "none" or (wanted == "auto" and not carried):
        return "none", None
    if network.head.is_centred and not _is_whole_gem(options):
        if wanted != "auto":
            raise UsageError(
                f"the whitening {wanted} is for GeM with exponent 3 of whole images",
                todo="use --whitening none",
            )
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
    scales = "ms" if len(options.working_scales) > 1 else "ss"
    if scales not in carried[wanted]:
        scales = next(iter(carried[wanted]))
    chosen = carried[wanted][scales]
    return whitening_name(wanted, scales, chosen, has_version=network.head.is_centred), chosen


def whitening_name(
    name: str, scales: str, whitening: tuple[np.ndarray, np.ndarray], *, has_version: bool
) -> str:
    """What a whitening is called: what rrtool carries is told from another's by a digest."""
    content = b"".join(each.tobytes() for each in whitening)
    version = f"@{blake2b(content, digest_size=4).hexdigest()}" if has_version else ""
    return f"{name}{version}/{scales}"
