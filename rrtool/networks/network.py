"""A backbone ready for inference, with what its checkpoint says of pooling and whitening."""

from dataclasses import dataclass, field

from torch import nn

from rrtool.errors import UsageError
from rrtool.networks.backbones import (
    ARCHITECTURES,
    cut_backbone,
    empty_classifier,
    seeded_classifier,
)
from rrtool.networks.checkpoints import Checkpoint, digest_of_state, read_checkpoint
from rrtool.networks.fitting import fill
from rrtool.networks.head import Head, require_chain
from rrtool.networks.imagenet import read_imagenet_weights

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
        head: the layers of a retrieval checkpoint after the backbone.
        notes: what was chosen, left out or converted of the weights file, for people.
    """

    backbone: nn.Module
    name: str
    weights: str
    weights_digest: str
    trained: bool
    upsample: bool
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    head: Head = field(default_factory=Head)
    notes: tuple[str, ...] = ()

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
            downloaded), or the path of a state dict or of a retrieval checkpoint.
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
    found = checkpoint.architecture
    if found not in (None, name):
        todo = f"use --network {found}" if found in ARCHITECTURES else None
        what = "the checkpoint is of another network"
        raise UsageError(what, where=checkpoint.source, expected=name, found=found, todo=todo)
    model = empty_classifier(name)
    backbone = cut_backbone(model, name, upsample)
    notes = fill(backbone, model, name, checkpoint)
    require_chain(checkpoint.head, ARCHITECTURES[name].n_channels, checkpoint.source)
    return Network(
        backbone,
        name,
        checkpoint.label,
        checkpoint.digest,
        trained=True,
        upsample=upsample,
        mean=checkpoint.mean or IMAGENET_MEAN,
        std=checkpoint.std or IMAGENET_STD,
        head=checkpoint.head,
        notes=(*checkpoint.notes, *notes),
    )
