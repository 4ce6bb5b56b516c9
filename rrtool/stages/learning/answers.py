"""LABEL of Algorithm 1, line 11: people answer by a file, or an oracle by itself (§3.5.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rrtool.artifacts import AlState, InputRecord, file_input
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.learning.labels import UNLABELED, KnownImages, Mistake, take_labels
from rrtool.stages.learning.options import OWN_LABELS, AlCycleOptions
from rrtool.stages.learning.state import Labeling
from rrtool.stages.learning.study import Study

_FIRST_LABELS = 4  # stream of the seed


class People:
    """Labels that came back in a file, for one cycle.

    Attributes:
        truth: None: nobody knows it.
        inputs: the record of the file.
        mistakes: rows of it that cannot be used.
    """

    truth: np.ndarray | None = None

    def __init__(self, options: AlCycleOptions, study: Study, progress: Progress) -> None:
        self._options, self._study, self._progress = options, study, progress
        self.inputs: list[InputRecord] = []
        self.mistakes: Sequence[Mistake] = ()

    def label(self, previous: AlState | None, cycles_left: int) -> Labeling:
        """The labels of the next cycle; none at all in a first one without a file.

        Raises:
            UsageError: there is no file for a later cycle, or no label in it that can be used.
        """
        dataset, path = self._study.dataset, self._options.labels
        before = Labeling.of(previous) if previous else Labeling.nothing(len(dataset), [])
        class_names = with_classes(before.class_names or dataset.class_names, self._options.classes)
        if path is None:
            if previous is not None:
                raise UsageError("no labels for the next cycle", expected="--labels", found="none")
            return Labeling.nothing(len(dataset), class_names)
        self.inputs = [file_input("labels", path)]
        known = KnownImages(
            dataset.names, before.labels, class_names, self._study.failures, self._options.relabel
        )
        taken = take_labels(path, known)
        self.mistakes = taken.mistakes
        if not len(taken.rows):
            raise UsageError(
                f"not one of {len(taken.mistakes)} labels can be used",
                where=path,
                found=taken.mistakes[0].reason if taken.mistakes else "no rows",
            )
        asked = previous.acquired_ids if previous else np.zeros(0, dtype=np.int64)
        labeling = before.extended(taken.rows, taken.labels, taken.class_names, asked)
        for mistake in taken.mistakes:
            self._progress.message(mistake.reason)
        if not class_names:
            self._tell_classes(taken.labels, taken.class_names)
        if labeling.n_missing:
            self._progress.message(
                f"{labeling.n_missing} of {len(asked)} images that were asked for have no label "
                "yet; they stay among the unlabelled"
            )
        return labeling

    def _tell_classes(self, labels: np.ndarray, class_names: list[str]) -> None:
        counts = np.bincount(labels, minlength=len(class_names)).tolist()
        found = (f"{name} ({n})" for name, n in zip(class_names, counts, strict=True))
        self._progress.message(f"classes from now on: {', '.join(found)}; --classes adds others")


class Oracle:
    """What is true, from a file of labels or from the data set's own.

    Attributes:
        truth: ``(n,)`` int32, −1 where it does not know.
        inputs: the record of its file; none for the data set's own labels.
        mistakes: rows of its file that cannot be used.

    Raises:
        UsageError: the data set brings no labels, or the file cannot be read.
    """

    def __init__(self, options: AlCycleOptions, study: Study, progress: Progress) -> None:
        self._options, self._progress = options, progress
        self.inputs: list[InputRecord] = []
        self.mistakes: Sequence[Mistake] = ()
        dataset, source = study.dataset, str(options.oracle)
        self._class_names = with_classes(dataset.class_names, options.classes)
        self.truth = dataset.labels
        if source == OWN_LABELS:
            if not (dataset.labels != UNLABELED).any():
                raise UsageError(
                    "these images bring no labels", expected="--oracle with a labels file",
                    found=f"--oracle {OWN_LABELS}",
                )  # fmt: skip
            return
        self.truth = np.full(len(dataset), UNLABELED, dtype=np.int32)
        known = KnownImages(dataset.names, self.truth, self._class_names, study.failures)
        taken = take_labels(source, known)
        self.truth[taken.rows] = taken.labels
        self._class_names, self.mistakes = taken.class_names, taken.mistakes
        self.inputs = [file_input("oracle", source)]
        for mistake in self.mistakes:
            progress.message(mistake.reason)

    def label(self, previous: AlState | None, cycles_left: int) -> Labeling:
        """The labels of the next cycle: what the last one asked for, or the first ones.

        Raises:
            UsageError: it knows too few labels for the cycles that are left, or other classes.
        """
        truth, budget = self.truth, self._options.budget
        if previous is None:
            rows = asked = self._first_ids()
            before = Labeling.nothing(len(truth), self._class_names)
        else:
            before, asked = Labeling.of(previous), previous.acquired_ids
            rows = asked[truth[asked] != UNLABELED]
            self._require_classes(before.class_names, previous.path)
        n_known = int((truth != UNLABELED).sum() - (before.labels != UNLABELED).sum())
        n_wanted = len(rows) + (cycles_left - 1) * budget
        if n_wanted > n_known:
            raise UsageError(
                "the oracle knows too few labels for so many cycles",
                expected=f"{n_wanted} more labels",
                found=n_known,
                todo="lower --cycles or --budget",
            )
        labeling = before.extended(rows, truth[rows], self._class_names, asked)
        self._progress.message(f"cycle {labeling.cycle}: {len(labeling.labeled_ids)} labels")
        return labeling

    def _require_classes(self, class_names: list[str], path: str) -> None:
        if class_names and class_names != self._class_names:
            raise UsageError(
                "the state has other classes than the oracle", where=path,
                expected=", ".join(self._class_names), found=", ".join(class_names),
            )  # fmt: skip

    def _first_ids(self) -> np.ndarray:
        """L₀: as many rows of every class, increasing.

        Raises:
            UsageError: the budget does not divide, or a class has too few images.
        """
        budget, n_classes = self._options.budget, len(self._class_names)
        if budget % n_classes:
            raise UsageError(
                "the first labels are balanced over classes", where="--budget",
                expected=f"a multiple of the {n_classes} classes", found=budget,
            )  # fmt: skip
        generator = np.random.default_rng([self._options.seed, _FIRST_LABELS])
        rows = []
        for label, name in enumerate(self._class_names):
            members = np.flatnonzero(self.truth == label)
            if len(members) < budget // n_classes:
                raise UsageError(
                    f"too few images of class {name}", expected=f"at least {budget // n_classes}",
                    found=len(members),
                )  # fmt: skip
            rows.append(generator.choice(members, budget // n_classes, replace=False))
        return np.sort(np.concatenate(rows))


def with_classes(known: Sequence[str], added: Sequence[str]) -> list[str]:
    """The known classes in their order, then those that are new."""
    return [*known, *(name for name in added if name not in known)]
