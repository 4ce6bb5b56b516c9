"""A backbone ready for inference, with what its checkpoint says of pooling and whitening."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from rrtool.errors import UsageError
from rrtool.networks.checkpoints import Checkpoint
from rrtool.networks.head import Head, require_chain
from rrtool.networks.names import NAMES, NONE, TIMM

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    """A fully convolutional network, or one that gives a map like it, and its provenance.

    Attributes:
        backbone: maps normalised images ``(b, 3, H, W)`` to activations ``(b, k, h, w)``, which
            are not negative; to class tokens ``(b, k, 1, 1)``, of any sign, where these are
            wanted in place of maps.
        name: see ``networks.names``.
        n_channels: k.
        min_size: smallest image side, in pixels, that yields a map.
        weights: where the weights came from: ``none``, ``imagenet`` or a file name.
        weights_digest: of the weights actually in use.
        trained: False for seeded random weights.
        upsample: whether the last map has doubled resolution (§4.4.1).
        mean, std: per channel, of RGB in [0, 1].
        head: the layers of a retrieval checkpoint after the backbone.
        notes: what was chosen, left out or converted of the weights file, for people.
    """

    backbone: nn.Module
    name: str
    n_channels: int
    min_size: int
    weights: str = NONE
    weights_digest: str = ""
    trained: bool = False
    upsample: bool = False
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    head: Head = field(default_factory=Head)
    notes: tuple[str, ...] = ()

    def filled(self, checkpoint: Checkpoint, notes: list[str]) -> Network:
        """The same with the weights of a checkpoint, which may know better of the colours.

        Args:
            notes: of filling the backbone.

        Raises:
            UsageError: the layers of the checkpoint's head do not go with the backbone.
        """
        require_chain(checkpoint.head, self.n_channels, checkpoint.source)
        return replace(
            self, weights=checkpoint.label, weights_digest=checkpoint.digest, trained=True,
            mean=checkpoint.mean or self.mean, std=checkpoint.std or self.std,
            head=checkpoint.head, notes=(*checkpoint.notes, *notes),
        )  # fmt: skip

    def describe(self) -> dict[str, object]:
        """What identifies the network in an artifact."""
        return {
            "name": self.name,
            "weights": self.weights if self.trained else "none (untrained)",
            "weights_digest": self.weights_digest,
            "trained": self.trained,
            "upsample": self.upsample,
        }


def require_architecture(checkpoint: Checkpoint, name: str) -> None:
    """The checkpoint says nothing of its architecture, or this one.

    Raises:
        UsageError: it is of another.
    """
    found = checkpoint.architecture
    if found not in (None, name, name.removeprefix(TIMM)):
        todo = f"use --network {found}" if found in NAMES else None
        what = "the checkpoint is of another network"
        raise UsageError(what, where=checkpoint.source, expected=name, found=found, todo=todo)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """What is built here gets seeded random values; the global generator stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
