"""Options of ``rrtool al-cycle``, and what it reads."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rrtool.errors import UsageError
from rrtool.ground_truth.tables import read_lines
from rrtool.training.options import TrainingOptions

STRATEGIES = ("random", "entropy", "coreset", "ceal", "jlp")


@dataclass(frozen=True)
class CycleOptions:
    """What a cycle does (METHODS §8, Algorithm 1).

    Attributes:
        training: of the network.
        budget: images to acquire, b.
        strategy: one of ``STRATEGIES``.
        semi: train on the unlabelled images too (SEMI with label propagation).
        k: neighbours in the graph of label propagation and of jLP.
        classes: names of classes to add to those that are known.
        relabel: new labels replace earlier ones that differ.
        subset: use this many images only, drawn by the seed.
        image_size: side to which the images of a folder are resized.
        epsilon, epsilon_decay: CEAL's ε (3.7) in cycle 0, and by how much it falls a cycle.
        seed: of the subset, the first labels, the training and the acquisition.
    """

    training: TrainingOptions
    budget: int
    strategy: str = "random"
    semi: bool = False
    k: int = 50
    classes: tuple[str, ...] = ()
    relabel: bool = False
    subset: int | None = None
    image_size: int = 32
    epsilon: float = 0.005
    epsilon_decay: float = 0.00033
    seed: int = 0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise UsageError(
                "unknown --strategy", expected=", ".join(STRATEGIES), found=self.strategy
            )
        if self.semi and self.strategy == "ceal":
            raise UsageError(
                "--semi and --strategy ceal do not go together",
                expected="one of the two: each brings its own pseudo-labels",
            )
        for name, least in (("budget", 1), ("k", 1), ("subset", 2), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"bad --{name}", expected=f"at least {least}", found=value)
        if not self.epsilon >= 0 or not self.epsilon_decay >= 0:
            raise UsageError(
                "bad --epsilon or --epsilon-decay", expected="at least 0",
                found=f"{self.epsilon} and {self.epsilon_decay}",
            )  # fmt: skip
        if len(set(self.classes)) < len(self.classes) or not all(self.classes):
            raise UsageError(
                "bad --classes", expected="different names", found=",".join(self.classes)
            )

    def identity(self) -> dict[str, Any]:
        """Option values that the result depends on, under the names of the command line."""
        options = {**asdict(self), **self.training.identity(), "classes": list(self.classes)}
        del options["training"]
        return options


def class_list(text: str | None) -> tuple[str, ...]:
    """``a,b,c``, or the lines of a file."""
    if text is None:
        return ()
    if Path(text).is_file():
        return tuple(line for line in read_lines(Path(text)) if line)
    return tuple(name.strip() for name in text.split(","))


@dataclass(frozen=True)
class CycleSources:
    """What a cycle reads; all as the user wrote it.

    Attributes:
        images: a folder or list of images, or a data set such as ``mnist:FOLDER``.
        state: the ``al-state`` of the cycle before.
        labels: what came back since.
        pretrain: ``al-pretraining`` whose parameters start the training.
        test, test_labels: a held-out set, where the data set brings none.
    """

    images: str
    state: str | None = None
    labels: str | None = None
    pretrain: str | None = None
    test: str | None = None
    test_labels: str | None = None

    def __post_init__(self) -> None:
        if self.images == "-":  # they are read a second time for the contact sheet
            raise UsageError("images on standard input", expected="a folder or a list file")
        if (self.test is None) != (self.test_labels is None):
            raise UsageError(
                "a held-out set needs images and labels",
                expected="--test and --test-labels",
                found="one of the two",
            )
