"""Options of al-cycle that are about learning on frozen features, and those of predict."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any, ClassVar

from rrtool.errors import UsageError
from rrtool.options import (
    Command,
    DeviceOptions,
    OverwriteOptions,
    argument,
    artifact,
    declarations,
    option,
)
from rrtool.stages.learning.propagation_options import PropagationOptions
from rrtool.training.options import again

# Of the graph and of propagation on it, where a network is trained and on frozen features, where
# None is fitted to the images and labels.
_BY_FEATURES: Mapping[str, tuple[Any, Any]] = {
    "k": (50, None), "alpha": (0.99, 0.9), "symmetrize": ("mutual", "sum"),
}  # fmt: skip


def _by_features(name: str) -> Any:
    """An option of the graph whose default depends on what is learnt on."""
    declared = declarations(PropagationOptions)[name].declared
    trained, frozen = _BY_FEATURES[name]
    text = f"{declared.help.rstrip('.')}; by default {trained}, on frozen features "
    return again(
        PropagationOptions, name, None, help=f"{text}{frozen or 'as the images call for'}."
    )


@dataclass(frozen=True, kw_only=True)
class FrozenOptions(PropagationOptions):
    """Learning on frozen features, in seconds, in place of training a network."""

    features: str | None = artifact(
        None,
        "Learn on these frozen features in place of training a network, from extract of the "
        "images.",
    )
    frozen: bool = option(
        False,
        "Learn on frozen features of the default network: they are extracted once, kept beside the "
        "output, and brought up to date when photos come or go.",
        shapes=False, panel="Inputs",
    )  # fmt: skip
    k: int | None = _by_features("k")
    alpha: float = _by_features("alpha")
    symmetrize: str = _by_features("symmetrize")
    review: int | None = option(
        None,
        "List up to so many labels that look wrong, for a second look, in a CSV beside the output "
        "(frozen features).",
        least=1, panel="Labels",
    )  # fmt: skip

    def __post_init__(self) -> None:
        for name, defaults in _BY_FEATURES.items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, defaults[self.on_features])
        super().__post_init__()

    @property
    def on_features(self) -> bool:
        """Whether it learns on frozen features."""
        return self.frozen is True or self.features is not None

    def check(self) -> None:
        super().check()
        if self.frozen and self.features is not None:
            raise UsageError("--frozen and --features do not go together", todo="leave out one")
        if self.review is not None and not self.on_features:
            what = "--review is for frozen features"
            raise UsageError(what, expected="--features or --frozen")


@dataclass(frozen=True, kw_only=True)
class PredictOptions(DeviceOptions, OverwriteOptions):
    """Tell the classes of photos, by a state on frozen features (a CSV)."""

    COMMAND: ClassVar = Command(
        "predict", "rrtool.stages.learning.frozen.predict", "§3.3", "docs/few-labels.md",
        quick=False,
    )  # fmt: skip
    state: str = argument("A state, from al-cycle --features or --frozen.")
    images: str = argument(
        "A folder of photos or a list of them, described as those of the state were; or features "
        "(.h5).",
        role="images",
    )
    output: str = option(
        MISSING, "The table to write (CSV).", role="output", shapes=False, panel="Output",
        flags=("--output", "-o"),
    )  # fmt: skip
    sort_into: str | None = option(
        None,
        "Copy the photos into this folder too, each into a folder of its class; none is moved, and "
        "nothing is replaced.",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip
    link: bool = option(
        False, "Link the photos in --sort-into in place of copying them.", shapes=False,
        panel="Output",
    )  # fmt: skip
    photos: str | None = option(
        None, "Where the photos are that --sort-into copies, where features are given.",
        role="images", shapes=False, panel="Inputs",
    )  # fmt: skip

    def written(self) -> dict[str, str]:
        """The table; what is sorted is written into a folder."""
        return {"output": self.output}

    def check(self) -> None:
        super().check()
        if self.sort_into is None and (self.link or self.photos is not None):
            raise UsageError("--link and --photos go with --sort-into")
        if self.sort_into and self.images.endswith(".h5") and self.photos is None:
            raise UsageError("features alone have no photos to sort", expected="--photos")
        if self.images == "-":
            raise UsageError("photos on standard input", expected="a folder, a list or features")
