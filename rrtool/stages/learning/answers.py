"""LABEL of Algorithm 1, line 11: people answer by a file, or an oracle by itself (§3.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rrtool.artifacts import AlState, InputRecord
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.learning.labels import (
    UNLABELED,
    Mistake,
    TakenLabels,
    in_few_words,
    labels_input,
    take_labels,
)
from rrtool.stages.learning.options import OWN_LABELS, AlCycleOptions
from rrtool.stages.learning.study import Study

_FIRST_LABELS = 4  # stream of the seed
_COLD_START = -1


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
    def before(previous: AlState | None, n: int, class_names: list[str]) -> Labeling:
        """That of a finished cycle; without one of ``n`` images that have no label."""
        labels, since = np.full(n, UNLABELED, np.int32), np.full(n, UNLABELED, np.int16)
        if previous is None:
            return Labeling(_COLD_START, class_names, labels, since)
        known = previous.lengths["n"]  # images that have come since have rows behind
        labels[:known], since[:known] = previous.labels, previous.labeled_cycle
        return Labeling(previous.extra["cycle"], previous.class_names, labels, since)

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
        options, dataset = self._options, self._study.dataset
        before = Labeling.before(previous, len(dataset), [])
        class_names = _joined(before.class_names or dataset.class_names, options.classes)
        if options.labels is None:
            if previous is not None:
                raise UsageError("no labels for the next cycle", expected="--labels", found="none")
            return Labeling.before(None, len(dataset), class_names)
        fixed = {row: class_names[before.labels[row]] for row in before.labeled_ids.tolist()}
        taken = take_labels(options.labels, dataset, class_names, {} if options.relabel else fixed)
        self._take(taken, "labels", options.labels)
        taken.require_some(f"not one of {len(taken.mistakes)} labels can be used", options.labels)
        asked = previous.acquired_ids if previous else np.zeros(0, dtype=np.int64)
        labeling = before.extended(taken.rows, taken.labels, taken.class_names, asked)
        self._tell_mistakes()
        if not class_names:
            counts = np.bincount(taken.labels, minlength=len(taken.class_names)).tolist()
            found = [f"{name} ({n})" for name, n in zip(taken.class_names, counts, strict=True)]
            text = f"classes from now on: {', '.join(found)}; --classes adds others"
            self._progress.message(text)
        self._tell_unseen(labeling)
        if labeling.n_missing:
            self._progress.message(
                f"{labeling.n_missing} of {len(asked)} images that were asked for have no label "
                "yet; they stay among the unlabelled"
            )
        return labeling

    def _take(self, taken: TakenLabels, role: str, path: str) -> None:
        self.mistakes, self.inputs = taken.mistakes, [labels_input(role, path)]

    def _tell_unseen(self, labeling: Labeling) -> None:
        """Classes that no usable image is of, as far as people have said."""
        usable = labeling.labels[self._study.dataset.status == 0]
        seen = set(usable.tolist())
        unseen = [name for label, name in enumerate(labeling.class_names) if label not in seen]
        if unseen:
            self._progress.message(
                f"no image is labelled {in_few_words(unseen)} yet: none can be told to be that"
            )

    def share_right(self, ids: np.ndarray, labels: np.ndarray) -> float | None:
        """Of labels of images, as far as the truth is known."""
        if self.truth is None:
            return None
        right = (labels == self.truth[ids])[self.truth[ids] >= 0]
        return float(right.mean()) if len(right) else None

    def _tell_mistakes(self) -> None:
        for mistake in self.mistakes:
            self._progress.message(mistake.reason)


class Oracle(People):
    """What is true, from a file of labels or from the data set's own.

    Attributes:
        truth: ``(n,)`` int32, −1 where it does not know.
        inputs: the record of its file; none for the data set's own labels.
        mistakes: rows of its file that cannot be used.

    Raises:
        UsageError: the data set brings no labels, or the file cannot be read.
    """

    truth: np.ndarray

    def __init__(self, options: AlCycleOptions, study: Study, progress: Progress) -> None:
        super().__init__(options, study, progress)
        dataset, source = study.dataset, str(options.oracle)
        self._class_names = _joined(dataset.class_names, options.classes)
        self.truth = dataset.labels
        if source != OWN_LABELS:
            taken = take_labels(source, dataset, self._class_names)
            self.truth = np.full(len(dataset), UNLABELED, dtype=np.int32)
            self.truth[taken.rows] = taken.labels
            self._class_names = taken.class_names
            self._take(taken, "oracle", source)
            self._tell_mistakes()
        elif (dataset.labels == UNLABELED).all():
            raise UsageError(
                "these images bring no labels", expected="--oracle with a labels file",
                found=f"--oracle {OWN_LABELS}",
            )  # fmt: skip

    def label(self, previous: AlState | None, cycles_left: int) -> Labeling:
        """The labels of the next cycle: what the last one asked for, or the first ones.

        Raises:
            UsageError: it knows too few labels for the cycles that are left, or other classes.
        """
        truth, class_names = self.truth, self._class_names
        before = Labeling.before(previous, len(truth), class_names)
        if previous is None and self._options.on_features:
            return before  # the first images are acquired, as where people label
        if previous is None:
            rows = asked = self._first_ids()
        else:
            asked = previous.acquired_ids
            rows = asked[truth[asked] != UNLABELED]
            if before.class_names and before.class_names != class_names:
                raise UsageError(
                    "the state has other classes than the oracle", where=previous.path,
                    expected=", ".join(class_names), found=", ".join(before.class_names),
                )  # fmt: skip
        n_known = int((truth != UNLABELED).sum() - len(before.labeled_ids))
        coming = range(before.cycle + 1, before.cycle + cycles_left)
        steps = (self._options.step(cycle, has_model=True) for cycle in coming)
        n_wanted = len(rows) + sum(step.budget for step in steps)
        if n_wanted > n_known:
            raise UsageError(
                "the oracle knows too few labels for so many cycles",
                expected=f"{n_wanted} more labels",
                found=n_known,
                todo="lower --cycles or --budget",
            )
        labeling = before.extended(rows, truth[rows], class_names, asked)
        self._progress.message(f"cycle {labeling.cycle}: {len(labeling.labeled_ids)} labels")
        return labeling

    def _first_ids(self) -> np.ndarray:
        """L₀: as many rows of every class, or one more, increasing.

        Raises:
            UsageError: a class has too few images.
        """
        budget, n_classes = self._options.step(-1, has_model=True).budget, len(self._class_names)
        generator = np.random.default_rng([self._options.seed, _FIRST_LABELS])
        shares = np.full(n_classes, budget // n_classes)
        if budget % n_classes:  # the rest goes to classes drawn, one each
            shares[generator.permutation(n_classes)[: budget % n_classes]] += 1
        rows = []
        for label, name in enumerate(self._class_names):
            members = np.flatnonzero(self.truth == label)
            if len(members) < shares[label]:
                what = f"too few images of class {name}"
                raise UsageError(what, expected=f"at least {shares[label]}", found=len(members))
            rows.append(generator.choice(members, shares[label], replace=False))
        return np.sort(np.concatenate(rows))


def _joined(known: Sequence[str], added: Sequence[str]) -> list[str]:
    """The known classes in their order, then those that are new."""
    return [*known, *(name for name in added if name not in known)]
