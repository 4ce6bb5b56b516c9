"""Options of training: on which images, all of a network, or with --fine-tune its last stage."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any

from rrtool.errors import OptionError, UsageError
from rrtool.options import DeviceOptions, again, declarations, option
from rrtool.stages.activations.options import MAX_PIXELS, DecodingOptions
from rrtool.stages.learning.frozen.options import FrozenOptions
from rrtool.training.options import DescentOptions, TrainingOptions

# Where the defaults are others with --fine-tune.
_FINE_TUNED: Mapping[str, Any] = {"epochs": 20, "learning_rate": 0.01, "image_size": 224}


@dataclass(frozen=True, kw_only=True)
class LearningImagesOptions(DecodingOptions):
    """Images to learn from."""

    # Read by the stage itself: a standard data set is no collection of image files.
    images: str = option(
        MISSING,
        "A folder of images (with its subfolders), a text or CSV list of them, or a standard data "
        "set: mnist:FOLDER, cifar10:FOLDER, cifar100:FOLDER or svhn:FOLDER.",
        shapes=False, positional=True, names_file=True,
    )  # fmt: skip
    image_size: int = option(
        32, "Bring photos to squares, so many pixels wide; standard data sets keep their size.",
        least=16, most=1024, panel="Images",
    )  # fmt: skip
    max_pixels: int = again(DecodingOptions, "max_pixels", MAX_PIXELS, shapes=False)


@dataclass(frozen=True, kw_only=True)
class _FromScratch(TrainingOptions, LearningImagesOptions):
    """What training from scratch depends on."""


def _by_fine_tuning(name: str) -> Any:
    """An option whose default is another with --fine-tune."""
    declared = declarations(_FromScratch)[name]
    text = f"{declared.declared.help.rstrip('.')}; by default {declared.default}"
    tuned = _FINE_TUNED[name]
    return again(_FromScratch, name, None, help=f"{text}, with --fine-tune {tuned}.")


@dataclass(frozen=True, kw_only=True)
class TuningOptions(FrozenOptions, _FromScratch):
    """Learning on frozen features, and training of all of a network or of its last stage."""

    fine_tune: bool = option(
        False,
        "After a cycle on frozen features, train the last stage of their network on the photos: on "
        "those with labels, and on those that the classifier is sure of. It takes minutes, or a "
        "GPU.",
        panel="Training",
    )  # fmt: skip
    epochs: int = _by_fine_tuning("epochs")
    learning_rate: float = _by_fine_tuning("learning_rate")
    image_size: int = _by_fine_tuning("image_size")

    def __post_init__(self) -> None:
        if self.on_features:
            self._refuse_unused()
        for name, tuned in _FINE_TUNED.items():
            if getattr(self, name) is None:
                plain = declarations(_FromScratch)[name].default
                object.__setattr__(self, name, tuned if self.fine_tune is True else plain)
        super().__post_init__()

    def _refuse_unused(self) -> None:
        """Options of training have no effect on frozen features, but those of SGD to fine-tune.

        Raises:
            OptionError: such a one is given.
        """
        elsewhere = declarations(DeviceOptions).keys()
        of_tuning = (declarations(DescentOptions).keys() | _FINE_TUNED.keys()) - elsewhere
        unused = (declarations(TrainingOptions).keys() | of_tuning) - elsewhere
        if self.fine_tune is True:
            unused -= of_tuning
        for name in sorted(unused):
            default = declarations(_FromScratch)[name].default
            if getattr(self, name) not in (None, default):
                todo = "leave it out" + (" or give --fine-tune" if name in of_tuning else "")
                what = f"{self.typed(name)} has no effect on frozen features"
                raise OptionError(what, option=name, found=getattr(self, name), todo=todo)

    def check(self) -> None:
        super().check()
        if self.fine_tune and not self.on_features:
            what = "--fine-tune is for frozen features"
            raise UsageError(what, expected="--features or --frozen")
