"""The ``al-state`` artifact: what a cycle leaves for the next one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import InputRecord, encode_texts, open_artifact
from rrtool.artifacts.compatibility import require_same_names
from rrtool.core.learning.acquisition import Acquisition
from rrtool.errors import UsageError
from rrtool.stages.learning.labels import UNLABELED
from rrtool.stages.learning.study import Study
from rrtool.stages.learning.train import Model

KIND = "al-state"
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

    def extended(
        self, rows: np.ndarray, labels: np.ndarray, class_names: list[str], asked: np.ndarray
    ) -> Labeling:
        """The labeling of the next cycle.

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


@dataclass(frozen=True)
class State:
    """A finished cycle.

    Attributes:
        record: of the artifact, as an input.
        labeling: the labels that it was trained on.
        acquired_ids: ``(b,)`` int64, rows that it asked to be labelled, in order.
        probabilities: ``(n, c)`` float32 by its model; None if it trained none.
        history: one entry a cycle, this one last.
    """

    record: InputRecord
    labeling: Labeling
    acquired_ids: np.ndarray
    probabilities: np.ndarray | None
    history: list[dict[str, Any]]


def read_state(path: str, study: Study | None = None) -> State:
    """Read a state, and make sure that it is of the images of ``study``.

    Raises:
        RrtoolError: no such artifact, or of other images.
    """
    with open_artifact(path, KIND) as artifact:
        if study is not None:
            names = artifact.read_texts("names")
            require_same_names(names, path, study.dataset.names, "the images")
        return State(
            artifact.as_input("state"),
            Labeling(
                artifact.extra["cycle"],
                artifact.read_texts("class_names"),
                artifact.read("labels"),
                artifact.read("labeled_cycle"),
            ),
            artifact.read("acquired_ids"),
            artifact.read("probabilities") if "probabilities" in artifact else None,
            artifact.extra["history"],
        )


def state_datasets(
    study: Study, labeling: Labeling, model: Model | None, acquisition: Acquisition
) -> dict[str, np.ndarray]:
    """The datasets of the artifact; those of the model are left out where there is none."""
    dataset = study.dataset
    columns = {
        **encode_texts(dataset.names, "names"),
        **encode_texts(dataset.reasons, "reasons"),
        "status": dataset.status,
        **encode_texts(labeling.class_names, "class_names"),
        "labels": labeling.labels,
        "labeled_cycle": labeling.labeled_cycle,
        "acquired_ids": acquisition.ids.astype(np.int64),
        "acquired_scores": acquisition.scores.astype(np.float64),
    }
    if model is not None:
        columns["probabilities"] = model.probabilities
        columns["features"] = model.features
        columns |= {f"parameters/{name}": value for name, value in model.parameters.items()}
        if model.propagated is not None:
            columns["pseudo_labels"] = model.propagated.labels
            columns["pseudo_weights"] = model.propagated.weights
    return columns
