"""Options of train (thesis §4.5)."""

import os
from dataclasses import dataclass
from typing import ClassVar

from rrtool.errors import OptionError, UsageError
from rrtool.networks.names import ONNX
from rrtool.options import Command, OutputOptions, argument, option
from rrtool.stages.activations.options import DecodingOptions, NamedNetworkOptions
from rrtool.training.retrieval.options import RetrievalTrainingOptions

POOLINGS = ("gem", "mac")


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RetrievalTrainingOptions, NamedNetworkOptions, DecodingOptions, OutputOptions):
    """Train a network for retrieval on tuples of photos, or on photos in groups (safetensors).

    What is learnt is what extract and index take as --weights: the network's layers, the exponent
    of its pooling, and with --whiten a whitening.
    """

    COMMAND: ClassVar = Command(
        "train", "rrtool.stages.training.train", "§4.5", "docs/training.md", quick=False
    )
    examples: str = argument(
        "Tuples, from rrtool mine; or photos, with --groups: a folder of images (with its "
        "subfolders), a text or CSV list of them, or - for a list on standard input.",
        role="images",
    )
    groups: str | None = option(
        None,
        "Which photos show the same: those of one label, by prefix:REGEX, folder, or a CSV "
        "name,label; an empty label makes a distractor.",
        role="file", panel="Inputs",
    )  # fmt: skip
    images: str | None = option(
        None, "The photos of the tuples, where they are not where the tuples say.",
        role="images", panel="Inputs",
    )  # fmt: skip
    validate: str | None = option(
        None,
        "Hold photos out, score the network on them after every epoch (mAP), and keep the best: a "
        "share of the groups, such as 0.2, or a rule as --groups whose photos with a label are "
        "held out.",
        role="file", panel="Validation",
    )  # fmt: skip
    validation_scales: tuple[float, ...] = option(
        (1.0,), "Factors of --image-size at which photos are described to validate.",
        above=0, most=4, panel="Validation",
    )  # fmt: skip
    image_size: int = option(
        362, "Shrink the longer side of photos to this many pixels; smaller ones stay as they are.",
        least=16, most=4096, panel="Images",
    )  # fmt: skip
    pool: str | None = option(
        None, "Pooling of the maps; by default the checkpoint's own, else gem.",
        choices=POOLINGS, panel="Network",
    )  # fmt: skip
    gem_exponent: float | None = option(
        None, "Exponent ω of GeM to begin with; by default the checkpoint's own, else 3.",
        above=0, most=100, panel="Network",
    )  # fmt: skip
    train_from: str | None = option(
        None,
        "Freeze the layers before this one, such as layer4 or features.10, by its name in the "
        "weights; last is the last stage. What they give is made once, as far as it fits in "
        "--keep. By default all layers learn.",
        panel="Network",
    )  # fmt: skip
    whiten: bool = option(
        False,
        "When training is done, learn a whitening from the photos and pairs that were trained on, "
        "and give it to the network as its last layer: extract and index then whiten by it.",
        panel="Training",
    )  # fmt: skip
    keep: float | None = option(
        None,
        "Memory, in GB, for photos or for maps of frozen layers that are kept between epochs; by "
        "default half of what is free.",
        least=0, shapes=False, panel="Running",
    )  # fmt: skip
    record: str | None = option(
        None,
        "Where the record of the training goes (training); by default beside the output, under "
        "its name with .training.h5.",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.network.startswith(ONNX):
            raise OptionError(
                "a graph in a file cannot be trained", option="network", found=self.network,
                todo="use a network of torch (see rrtool networks)",
            )  # fmt: skip
        if self.pool == "mac" and self.gem_exponent is not None:
            raise UsageError("--gem-exponent has no effect on --pool mac")
        if self.groups is not None and self.images is not None:
            raise UsageError("--images is for tuples, --groups for photos", found="both")
        if self.validate is None and self.validation_scales != (1.0,):
            raise OptionError(
                "--validation-scales has no effect alone", option="validation_scales",
                todo="give --validate",
            )  # fmt: skip
        if not self.validation_scales:
            raise OptionError(
                "bad --validation-scales", option="validation_scales", expected="a factor or more"
            )

    @property
    def record_path(self) -> str:
        """Of the ``training`` artifact."""
        return self.record or f"{os.path.splitext(self.output)[0]}.training.h5"

    def written(self) -> dict[str, str]:
        """The network and its record."""
        return {"output": self.output, "record": self.record_path}
