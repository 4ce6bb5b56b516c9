"""A backbone ready for inference, with what its checkpoint says of pooling and whitening."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import nn

from rrtool.errors import UsageError
from rrtool.networks.backbones import (
    ARCHITECTURES,
    build_classifier,
    cut_backbone,
    seeded_classifier,
)
from rrtool.networks.checkpoints import (
    Checkpoint,
    digest_of_state,
    read_checkpoint,
    read_imagenet_weights,
)

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    """A fully convolutional network and its provenance.

    Attributes:
        backbone: maps normalised images ``(b, 3, H, W)`` to activations ``(b, k, h, w)``.
        name: architecture.
        weights: where the weights came from: ``none``, ``imagenet`` or a file name.
        weights_digest: of the weights actually in use.
        trained: False for seeded random weights.
        upsample: whether the last map has doubled resolution (§4.4.1).
        min_size: smallest image side, in pixels, that yields a map.
        mean, std: per channel, of RGB in [0, 1].
        gem_exponent: learned GeM exponent, if the checkpoint has one.
        projection: learned whitening layer ``(weight (d, k), bias (d,))`` applied per scale.
        whitenings: ``{set: {'ss' | 'ms': (mean (k,), projection (d, k))}}`` from ``meta['Lw']``.
    """

    backbone: nn.Module
    name: str
    weights: str
    weights_digest: str
    trained: bool
    upsample: bool
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    gem_exponent: float | None = None
    pooling: str | None = None
    projection: tuple[torch.Tensor, torch.Tensor] | None = None
    whitenings: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = field(default_factory=dict)

    @property
    def n_channels(self) -> int:
        return ARCHITECTURES[self.name].n_channels

    @property
    def min_size(self) -> int:
        return ARCHITECTURES[self.name].min_size

    def describe(self) -> dict[str, object]:
        """What identifies the network in an artifact."""
        return {
            "name": self.name,
            "weights": self.weights if self.trained else "none (untrained)",
            "weights_digest": self.weights_digest,
            "trained": self.trained,
            "upsample": self.upsample,
        }


def load_network(
    name: str, weights: str, *, upsample: bool = False, seed: int = 0, device: str = "cpu"
) -> Network:
    """Build the named network and fill it.

    Args:
        name: one of ``ARCHITECTURES``.
        weights: ``none`` (seeded initialisation), ``imagenet`` (torchvision's own, cached or
            downloaded), or the path of a plain state dict or of a retrieval checkpoint.
        upsample: double the resolution of the last map (VGG, ResNet).
        seed: of the initialisation with ``none``.
        device: torch device.

    Raises:
        UsageError: unknown architecture, no up-sampled form, or a weights file that does not fit.
    """
    if name not in ARCHITECTURES:
        raise UsageError(f"unknown network {name!r}", expected=f"one of {', '.join(ARCHITECTURES)}")
    if upsample and not ARCHITECTURES[name].can_upsample:
        raise UsageError(f"no up-sampled form of {name} is defined", expected="VGG or ResNet")
    network = _fill(name, weights, upsample, seed)
    network.backbone.eval().requires_grad_(False).to(device)
    return network


def _fill(name: str, weights: str, upsample: bool, seed: int) -> Network:
    if weights == "none":
        model = seeded_classifier(name, seed)
        digest = digest_of_state(model.state_dict())
        backbone = cut_backbone(model, name, upsample)
        return Network(backbone, name, "none", digest, trained=False, upsample=upsample)
    checkpoint = read_imagenet_weights(name) if weights == "imagenet" else read_checkpoint(weights)
    return _from_checkpoint(name, checkpoint, upsample)


def _from_checkpoint(name: str, checkpoint: Checkpoint, upsample: bool) -> Network:
    if checkpoint.architecture not in (None, name):
        what, found = "the checkpoint is of another network", checkpoint.architecture
        todo = f"use --network {found}"
        raise UsageError(what, where=checkpoint.source, expected=name, found=found, todo=todo)
    model = build_classifier(name)
    if checkpoint.is_backbone:
        backbone = cut_backbone(model, name, upsample)
        _load_strictly(backbone, checkpoint, name)
    else:
        _load_strictly(model, checkpoint, name, ARCHITECTURES[name].classifier)
        backbone = cut_backbone(model, name, upsample)
    return Network(
        backbone,
        name,
        checkpoint.label,
        checkpoint.digest,
        trained=True,
        upsample=upsample,
        mean=checkpoint.mean or IMAGENET_MEAN,
        std=checkpoint.std or IMAGENET_STD,
        gem_exponent=checkpoint.gem_exponent,
        pooling=checkpoint.pooling,
        projection=checkpoint.projection,
        whitenings=checkpoint.whitenings,
    )


def _load_strictly(
    module: nn.Module, checkpoint: Checkpoint, name: str, ignored_prefixes: tuple[str, ...] = ()
) -> None:
    """Fill every weight of ``module`` but those with an ignored prefix; anything else missing,
    left over or of another shape is an error that names the first of them."""
    own = module.state_dict()
    # Counters of seen batches play no part in inference, and old checkpoints lack them.
    needed = {key for key in own if not key.startswith(ignored_prefixes)}
    needed = {key for key in needed if not key.endswith("num_batches_tracked")}
    given = {
        key: value
        for key, value in checkpoint.state.items()
        if not key.startswith(ignored_prefixes)
    }
    problems = (
        [f"{key} is missing" for key in sorted(needed - given.keys())]
        + [f"{key} is not a weight of it" for key in sorted(given.keys() - own.keys())]
        + [
            f"{key} has shape {tuple(given[key].shape)}, not {tuple(own[key].shape)}"
            for key in sorted(needed & given.keys())
            if given[key].shape != own[key].shape
        ]
    )
    if problems:
        raise UsageError(
            f"these are not weights of {name}",
            where=checkpoint.source,
            found=problems[0] + (f" and {len(problems) - 1} more" if problems[1:] else ""),
            todo="check --network",
        )
    module.load_state_dict(given, strict=False)
