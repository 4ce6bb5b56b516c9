"""What a cycle begins with: labels, the state of the cycle before, a pre-training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from rrtool.artifacts import AlPretraining, AlState, open_artifact, require_same_names
from rrtool.errors import UsageError
from rrtool.stages.learning.labels import UNLABELED

COLD_START = -1


@dataclass(frozen=True)
class Labeling:
    """The labels that a cycle trains on.

    Attributes:
        cycle: the number of the cycle; −1 without any label.
        class_names: all classes known so far.
        labels, labeled_cycle: ``(n,)`` int32 and int16: label of each image and the cycle that
            first used it; −1 for none.
        n_missing: images that were asked for and are still without label.
    """

    cycle: int
    class_names: list[str]
    labels: np.ndarray
    labeled_cycle: np.ndarray
    n_missing: int = 0

    @staticmethod
    def nothing(n: int, class_names: list[str]) -> Labeling:
        """Of ``n`` images before the first label."""
        none = np.full(n, UNLABELED)
        return Labeling(COLD_START, class_names, none.astype(np.int32), none.astype(np.int16))

    @staticmethod
    def of(state: AlState) -> Labeling:
        """That of a finished cycle."""
        return Labeling(state.extra["cycle"], state.class_names, state.labels, state.labeled_cycle)

    def extended(
        self, rows: np.ndarray, labels: np.ndarray, class_names: list[str], asked: np.ndarray
    ) -> Labeling:
        """The labeling of the next cycle: L ← L ∪ S (Algorithm 1, line 12).

        Args:
            rows, labels: that came in; replaced where they were known.
            class_names: those known so far, and perhaps more.
            asked: rows that had been asked for.

        Raises:
            UsageError: none of the labels is new, or all labels are of one class alone.
        """
        changed = self.labels[rows] != labels
        if not changed.any():
            raise UsageError(
                "no new label that could be used",
                expected="a label of at least one more image",
                found=f"{len(rows)} labels that were known" if len(rows) else "none",
            )
        if len(class_names) < 2:
            raise UsageError(
                "labels of one class only",
                expected="at least two classes",
                found=", ".join(class_names),
                todo="label more images, or name the classes with --classes",
            )
        after, since = self.labels.copy(), self.labeled_cycle.copy()
        after[rows[changed]], since[rows[changed]] = labels[changed], self.cycle + 1
        n_missing = int((after[asked] == UNLABELED).sum())
        return Labeling(self.cycle + 1, class_names, after, since, n_missing)

    @property
    def labeled_ids(self) -> np.ndarray:
        """L: ``(|L|,)`` int64, increasing."""
        return np.flatnonzero(self.labels != UNLABELED)


@contextmanager
def open_state(path: str | None, names: Sequence[str]) -> Iterator[AlState | None]:
    """The state of the cycle before, if there is one.

    Args:
        names: of the images, which must be those of the state.

    Raises:
        RrtoolError: no such artifact, or of other images.
    """
    if path is None:
        yield None
        return
    with open_artifact(path, AlState) as state:
        require_same_names(state.names, path, names, "the images")
        yield state


@contextmanager
def open_pretraining(path: str | None) -> Iterator[AlPretraining | None]:
    """The pre-training, if there is one."""
    if path is None:
        yield None
        return
    with open_artifact(path, AlPretraining) as pretraining:
        yield pretraining
