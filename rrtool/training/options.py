"""How the network is trained (METHODS §8), and the settings of table 3.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from rrtool.errors import UsageError


@dataclass(frozen=True)
class Sgd:
    """Stochastic gradient descent with momentum."""

    learning_rate: float
    momentum: float
    weight_decay: float
    nesterov: bool


@dataclass(frozen=True)
class TrainingOptions:
    """Options of training on labels (SUP) and on labels and pseudo-labels (SEMI).

    Attributes:
        epochs: of SUP; one is a pass over the labelled images, so it grows with each cycle.
        semi_epochs: of SEMI.
        batch_size: of SUP.
        semi_batch_size: of SEMI, ``semi_labeled`` of them labelled.
        semi_labeled: labelled images in a mini-batch of SEMI.
        semi_epoch_fraction: an epoch of SEMI ends after this share of |U| pseudo-labelled draws.
        renew: pseudo-labels are renewed every so many epochs of SEMI.
        learning_rate: at the start of SUP and of SEMI.
        rampdown: the cosine reaches zero at so many times the number of epochs (210 of 200).
        momentum: Nesterov's.
        weight_decay: of all parameters, as in the code of Tarvainen and Valpola.
        translate: images are shifted by up to so many pixels along each axis.
        flip: images are mirrored at random; None asks the data set (digits are not).
        width: factor on the network's channel counts; 1 is the thesis's.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:<i>``.
        checkpoint_seconds: least time between two checkpoints.
    """

    epochs: int = 200
    semi_epochs: int = 200
    batch_size: int = 32
    semi_batch_size: int = 128
    semi_labeled: int = 50
    semi_epoch_fraction: float = 0.5
    renew: int = 1
    learning_rate: float = 0.2
    rampdown: float = 1.05
    momentum: float = 0.9
    weight_decay: float = 2e-4
    translate: int = 4
    flip: bool | None = None
    width: float = 1.0
    device: str = "auto"
    checkpoint_seconds: float = 60.0

    def __post_init__(self) -> None:
        for name in ("epochs", "semi_epochs", "translate"):
            require(name, getattr(self, name), ">= 0", getattr(self, name) >= 0)
        for name in ("batch_size", "semi_labeled", "renew"):
            require(name, getattr(self, name), ">= 1", getattr(self, name) >= 1)
        require(
            "semi_batch_size",
            self.semi_batch_size,
            f"more than the {self.semi_labeled} labelled",
            self.semi_batch_size > self.semi_labeled,
        )
        require_sgd(self.sgd())
        require("rampdown", self.rampdown, ">= 1", 1 <= self.rampdown < float("inf"))
        fraction = self.semi_epoch_fraction
        require("semi_epoch_fraction", fraction, "(0, 100]", 0 < fraction <= 100)
        require_width(self.width)

    def sgd(self) -> Sgd:
        """The optimiser of both phases."""
        return Sgd(self.learning_rate, self.momentum, self.weight_decay, nesterov=True)

    def identity(self) -> dict[str, Any]:
        """The options that what is learnt depends on."""
        values = asdict(self)
        for name in ("device", "checkpoint_seconds"):
            del values[name]
        return values


def require_sgd(sgd: Sgd) -> None:
    """Raises UsageError for a setting that cannot be used."""
    rate, momentum, decay = sgd.learning_rate, sgd.momentum, sgd.weight_decay
    require("learning_rate", rate, "(0, 100]", 0 < rate <= 100)
    # Nesterov's form is defined for a positive momentum only.
    require("momentum", momentum, "(0, 1)", 0 < momentum < 1)
    require("weight_decay", decay, "[0, 1)", 0 <= decay < 1)


def require_width(width: float) -> None:
    """Raises UsageError for a width of the network that cannot be used."""
    require("width", width, "(0, 16]", 0 < width <= 16)


def require(name: str, value: object, expected: str, holds: bool) -> None:
    """Raises UsageError about an option unless its value is as expected."""
    if not holds:
        raise UsageError(f"bad --{name.replace('_', '-')}", expected=expected, found=value)


@dataclass(frozen=True)
class Preset:
    """A row of table 3.1.

    Attributes:
        training: how it is trained.
        budget: labels acquired in a cycle; the first, balanced, label set is of that size too.
        n_labels: after all cycles.
    """

    training: TrainingOptions
    budget: int
    n_labels: int


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "mnist": Preset(
            TrainingOptions(batch_size=10, semi_batch_size=64, semi_labeled=10, flip=False), 10, 50
        ),
        "svhn": Preset(TrainingOptions(flip=False), 100, 500),
        "cifar10-100": Preset(TrainingOptions(flip=True), 100, 500),
        "cifar10-1000": Preset(TrainingOptions(flip=True), 1000, 5000),
        "cifar100": Preset(TrainingOptions(flip=True), 1000, 5000),
    }
)
