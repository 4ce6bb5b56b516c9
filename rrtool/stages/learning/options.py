"""Options of al-cycle, al-pretrain and al-agree (thesis ch. 3)."""

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, ClassVar

from rrtool.errors import OptionError, UsageError
from rrtool.options import (
    Command,
    OutputOptions,
    SeedOptions,
    argument,
    artifact,
    declarations,
    option,
)
from rrtool.stages.learning.acquisition_options import COMPARED, AcquisitionOptions
from rrtool.stages.learning.frozen.options import PredictOptions
from rrtool.stages.learning.frozen.training_options import LearningImagesOptions, TuningOptions
from rrtool.stages.learning.propagation_options import PropagationOptions
from rrtool.training.options import PretrainingOptions, TrainingOptions, again

__all__ = ["AlAgreeOptions", "AlCycleOptions", "AlPretrainOptions", "PredictOptions"]
_PAGE = "docs/active-learning.md"
# The rows of table 3.1, where they differ from the defaults.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "mnist": {
        "budget": 10, "batch_size": 10, "semi_batch_size": 64, "semi_labeled": 10, "flip": False,
    },
    "svhn": {"budget": 100, "flip": False},
    "cifar10-100": {"budget": 100, "flip": True},
    "cifar10-1000": {"budget": 1000, "flip": True},
    "cifar100": {"budget": 1000, "flip": True},
}  # fmt: skip
_BY_PRESET = ("budget", "batch_size", "semi_batch_size", "semi_labeled", "flip")
# What ``oracle`` says for the labels that the data set brings.
OWN_LABELS = "dataset"


def names_in(text: str) -> list[str]:
    """Comma-separated names."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _class_names(text: str) -> list[str]:
    """``a,b,c``, or the lines of a file."""
    if not Path(text).is_file():
        return names_in(text)
    from rrtool.tables import read_lines

    return [line for line in read_lines(Path(text)) if line]


def _by_preset(name: str) -> Any:
    """An option of training that the preset may set."""
    declared = declarations(TrainingOptions)[name]
    text = declared.declared.help.rstrip(".")
    return again(
        TrainingOptions, name, None,
        help=f"{text}; by default as --preset has it, else {declared.default}.",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AlCycleOptions(TuningOptions, AcquisitionOptions, SeedOptions, OutputOptions):
    """Learn from the labels so far, and ask for those that help most (al-state)."""

    COMMAND: ClassVar = Command(
        "al-cycle", "rrtool.stages.learning.cycle", "§3.3, Algorithm 1", _PAGE, quick=False
    )
    images: str = again(
        LearningImagesOptions, "images", None,
        help="A folder of images (with its subfolders), a text or CSV list of them, or a standard "
        "data set: mnist:FOLDER, cifar10:FOLDER, cifar100:FOLDER or svhn:FOLDER. With --features "
        "they may be left out: then the sheet to label from shows no pictures.",
    )  # fmt: skip
    classes: tuple[str, ...] = option(
        (), "Classes to add to those that are known: names, or a file with one name a line.",
        parse=_class_names, panel="Labels",
    )  # fmt: skip
    relabel: bool = option(
        False, "Let --labels replace labels of earlier cycles that differ.", panel="Labels"
    )
    oracle: str | None = option(
        None,
        "Answer what is asked from these labels, a CSV or another form of --labels, or with "
        "dataset from those that the data set brings; by default people answer.",
        role="file", panel="Labels",
    )  # fmt: skip
    cycles: int = option(
        1, "Cycles to run one after the other, with --oracle.", least=1, shapes=False,
        panel="Labels",
    )  # fmt: skip
    preset: str | None = option(
        None, "Take budget, batch sizes and flips from this row of table 3.1, where not given.",
        choices=tuple(PRESETS), shapes=False, panel="Training",
    )  # fmt: skip
    semi: bool = option(
        False,
        "Train on the unlabelled images too, by propagated labels; on frozen features it is always "
        "so, but with CEAL.",
        panel="Training",
    )
    batch_size: int = _by_preset("batch_size")
    semi_batch_size: int = _by_preset("semi_batch_size")
    semi_labeled: int = _by_preset("semi_labeled")
    flip: bool | None = again(
        TrainingOptions, "flip", None,
        help="Mirror images left and right at random; by default as --preset has it, else all but "
        "digits are.",
    )  # fmt: skip
    subset: int | None = option(
        None, "Use so many images alone, drawn by the seed; by default all.",
        least=2, panel="Images",
    )  # fmt: skip
    state: str | None = artifact(
        None, "The state of the cycle before, from al-cycle; by default this is the first cycle."
    )
    labels: str | None = option(
        None,
        "Labels that came back: a CSV with columns label and name or id, an export of Label "
        "Studio, COCO's JSON, labels.json of FiftyOne, or a folder with a folder of images for "
        "each class.",
        role="file", panel="Inputs",
    )  # fmt: skip
    pretrain: str | None = artifact(
        None, "Start the training from these parameters, from al-pretrain."
    )
    test: str | None = option(
        None, "Held-out images, given as IMAGES are; by default those that the data set brings.",
        shapes=False, names_file=True, panel="Inputs",
    )  # fmt: skip
    test_labels: str | None = option(
        None,
        "The labels of --test: a CSV name,label, or another form of --labels.",
        role="file",
        panel="Inputs",
    )
    to_label: str | None = option(
        None,
        "Write the list of images to label here, or beside it where labels or something else stand "
        "there; by default beside the output, and with --oracle nowhere.",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip
    sheet: str | None = option(
        None,
        "Write the contact sheet to label from here, or beside it where something else stands "
        "there; by default beside the output, and with --oracle nowhere.",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip

    def __post_init__(self) -> None:
        preset = PRESETS.get(self.preset, {}) if isinstance(self.preset, str) else {}
        if self.on_features:
            preset = {name: value for name, value in preset.items() if name == "budget"}
        for name in _BY_PRESET:
            if getattr(self, name) is None:
                known = declarations(TrainingOptions).get(name)
                default = None if known is None else known.default
                object.__setattr__(self, name, preset.get(name, default))
        if self.on_features and self.strategy != "ceal":  # which has pseudo-labels of its own
            object.__setattr__(self, "semi", True)
        super().__post_init__()

    def written(self) -> dict[str, str]:
        """The state, and what people label from: an oracle needs that on request alone."""
        stem = os.path.splitext(self.output)[0]
        found = {"output": self.output}
        for name, ending in (("to_label", ".csv"), ("sheet", ".html")):
            given = getattr(self, name)
            if given or self.oracle is None:
                found[name] = given or f"{stem}.to_label{ending}"
        return found

    def check(self) -> None:
        super().check()
        if self.images is None and self.features is None:
            raise UsageError("no images to learn from", expected="IMAGES or --features")
        if self.fine_tune and self.images is None:
            raise UsageError("--fine-tune learns from photos", expected="IMAGES beside --features")
        if self.fine_tune and (self.test or "").endswith(".h5"):
            what = "a network that is fine-tuned is tested on photos"
            raise UsageError(what, expected="photos in --test", found=self.test)
        if self.on_features and self.pretrain is not None:
            raise UsageError("--pretrain is for a network that is trained", found="frozen features")
        if self.semi and self.strategy == "ceal":
            raise UsageError(
                "--semi and --strategy ceal do not go together",
                expected="one of the two: each brings its own pseudo-labels",
            )
        if len(set(self.classes)) < len(self.classes) or not all(self.classes):
            raise OptionError(
                "bad --classes", option="classes", expected="different names",
                found=",".join(self.classes),
            )  # fmt: skip
        if self.oracle is None and self.cycles != 1:
            raise UsageError("--cycles needs --oracle", found=self.cycles)
        if self.images == "-":  # they are read a second time for the contact sheet
            raise UsageError("images on standard input", expected="a folder or a list file")
        if (self.test is None) != (self.test_labels is None):
            raise UsageError(
                "a held-out set needs images and labels",
                expected="--test and --test-labels",
                found="one of the two",
            )


@dataclass(frozen=True, kw_only=True)
class AlPretrainOptions(PretrainingOptions, LearningImagesOptions, SeedOptions, OutputOptions):
    """Learn a network's features from unlabelled images, by DeepCluster (al-pretraining)."""

    COMMAND: ClassVar = Command(
        "al-pretrain", "rrtool.stages.learning.pretrain", "§3.2–3.3", _PAGE, quick=False
    )
    classes: int | None = option(
        None, "How many classes there are, roughly; by default the data set's own number.",
        least=1, panel="Clusters",
    )  # fmt: skip
    limit: int | None = option(
        None, "Use only the first so many images; by default all.", least=1, panel="Images"
    )


@dataclass(frozen=True, kw_only=True)
class AlAgreeOptions(PropagationOptions, SeedOptions, OutputOptions):
    """Measure how far acquisition strategies agree (al-agreement)."""

    COMMAND: ClassVar = Command(
        "al-agree", "rrtool.stages.learning.agree", "§3.6, table 3.4, figure 3.6", _PAGE,
        quick=False,
    )  # fmt: skip
    state: str = argument("A state, from al-cycle.")
    truth: str = option(
        MISSING,
        "True labels: a CSV name,label or another form of al-cycle --labels, or a data set such as "
        "mnist:FOLDER.",
        role="file", panel="Inputs",
    )  # fmt: skip
    strategies: tuple[str, ...] = option(
        ("random", "coreset", "jlp"),
        f"Strategies to compare with the reference, of {', '.join(COMPARED)}.",
        choices=COMPARED, parse=names_in,
    )  # fmt: skip
    reference: str = option("entropy", "What they are compared with.", choices=COMPARED)
    budget: int | None = option(
        None, "Images that each strategy acquires; by default as many as the state did.", least=1
    )
    max_iter: int = option(20, "Iterations of label propagation at most.", least=1)

    def check(self) -> None:
        super().check()
        if not self.strategies or len(set(self.all())) < len(self.all()):
            raise OptionError(
                "bad --strategies", option="strategies",
                expected=f"some strategies, each once, other than {self.reference}",
                found=",".join(self.strategies) or "none",
            )  # fmt: skip

    def all(self) -> tuple[str, ...]:
        """The reference first."""
        return (self.reference, *self.strategies)
