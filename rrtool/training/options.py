"""How the network is trained (METHODS §8): options of al-cycle and of al-pretrain."""

from dataclasses import dataclass
from typing import ClassVar

from rrtool.errors import OptionError
from rrtool.options import DeviceOptions, again, option

_PANEL = "Training"


@dataclass(frozen=True, kw_only=True)
class DescentOptions(DeviceOptions):
    """SGD with momentum, of any network."""

    epochs: int = option(200, "Passes over the labelled images.", least=0, panel=_PANEL)
    batch_size: int = option(32, "Images in a mini-batch.", least=1, panel=_PANEL)
    learning_rate: float = option(
        0.2, "Learning rate at the start; it falls as a cosine.",
        above=0, most=100, panel=_PANEL, flags=("--learning-rate", "--lr"),
    )  # fmt: skip
    # Nesterov's form is defined for a positive momentum only.
    momentum: float = option(
        0.9, "Momentum of gradient descent (Nesterov's form).", above=0, below=1, panel=_PANEL
    )
    weight_decay: float = option(
        2e-4, "Weight decay of all parameters of the network.", least=0, below=1, panel=_PANEL
    )


@dataclass(frozen=True, kw_only=True)
class GradientOptions(DescentOptions):
    """What training on labels and pre-training without them have in common."""

    NESTEROV: ClassVar = True
    translate: int = option(
        4, "Shift images at random by up to so many pixels along each axis.", least=0, panel=_PANEL
    )
    flip: bool | None = option(
        None, "Mirror images left and right at random; by default all but digits are.",
        panel=_PANEL,
    )  # fmt: skip
    width: float = option(
        1.0, "Factor on the network's channel counts: 1 is the thesis's, less is faster.",
        above=0, most=16, panel=_PANEL,
    )  # fmt: skip
    checkpoint_seconds: float = option(
        60.0, "Least time between two checkpoints, in seconds; a killed run goes on from the last.",
        least=0, shapes=False, panel="Running",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(GradientOptions):
    """Training on labels (SUP) and on labels and pseudo-labels (SEMI)."""

    semi_epochs: int = option(
        200, "Epochs of --semi, after those on labels.", least=0, panel=_PANEL
    )
    semi_batch_size: int = option(
        128, "Images in a mini-batch of --semi, more than --semi-labeled.", least=1, panel=_PANEL
    )
    semi_labeled: int = option(
        50, "Labelled images in a mini-batch of --semi.", least=1, panel=_PANEL
    )
    semi_epoch_fraction: float = option(
        0.5, "An epoch of --semi ends when it has drawn this share of the number of unlabelled "
        "images.",
        above=0, most=100, panel=_PANEL,
    )  # fmt: skip
    renew: int = option(
        1, "Renew the pseudo-labels of --semi every so many epochs.", least=1, panel=_PANEL
    )
    rampdown: float = option(
        1.05, "The learning rate would reach zero after so many times the number of epochs.",
        least=1, below=float("inf"), panel=_PANEL,
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.semi_batch_size <= self.semi_labeled:
            raise OptionError(
                "bad --semi-batch-size", option="semi_batch_size",
                expected=f"more than the {self.semi_labeled} labelled", found=self.semi_batch_size,
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PretrainingOptions(GradientOptions):
    """PRE; what the thesis leaves open is as in the code of Caron et al."""

    NESTEROV: ClassVar = False
    epochs: int = again(
        GradientOptions, "epochs", 250, help="Rounds of clustering and of learning the clusters."
    )
    clusters_per_class: int = option(
        5, "Clusters of k-means for each of the --classes.", least=1, panel="Clusters"
    )
    kmeans_iterations: int = option(10, "Iterations of each k-means.", least=1, panel="Clusters")
    batch_size: int = again(GradientOptions, "batch_size", 128)
    learning_rate: float = again(
        GradientOptions, "learning_rate", 0.02, help="Learning rate; it stays the same."
    )
    momentum: float = again(
        GradientOptions, "momentum", 0.9, help="Momentum of gradient descent (the plain form)."
    )
    weight_decay: float = again(GradientOptions, "weight_decay", 1e-5)
