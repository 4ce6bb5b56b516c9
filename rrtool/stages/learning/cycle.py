"""``rrtool al-cycle``: one cycle of active learning → al-state (thesis ch. 3, Algorithm 1)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import InputRecord, OutputFile, Provenance, create
from rrtool.core.learning.acquisition import Acquisition
from rrtool.datasets import load_dataset
from rrtool.devices import resolve_device
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.activations.run import write_skipped_list
from rrtool.stages.learning.al_options import CycleOptions, CycleSources
from rrtool.stages.learning.labels import UNLABELED, KnownImages, Mistake, take_labels
from rrtool.stages.learning.queries import QueryFiles
from rrtool.stages.learning.state import KIND, Labeling, State, read_state, state_datasets
from rrtool.stages.learning.strategies import acquire
from rrtool.stages.learning.study import Load, Study, file_input, open_study
from rrtool.stages.learning.train import (
    LearnerFactory,
    Lesson,
    Model,
    confident,
    read_pretraining,
    train,
)
from rrtool.stages.learning.training_run import TrainingRun

_TRAINING, _ACQUISITION = 2, 3  # streams of the seed


@dataclass(frozen=True)
class Turn:
    """What a cycle begins with.

    Attributes:
        labeling: its labels.
        previous: the state of the cycle before; None in the first.
        truth: ``(n,)`` int32 where an oracle knows it, else −1: measures pseudo-labels, and
            bounds the pool to images that the oracle can answer. None without an oracle.
        mistakes: rows of the labels file that cannot be used.
        inputs: records of the state and of the labels.
    """

    labeling: Labeling
    previous: State | None
    truth: np.ndarray | None
    mistakes: Sequence[Mistake]
    inputs: Sequence[InputRecord]


@dataclass(frozen=True)
class Bench:
    """What all cycles of a run share.

    Attributes:
        study: the images.
        options: of the cycles.
        pretrain: path of the pre-training, or None.
        learner_factory: makes the learner of a cycle.
        overwrite: replace states made with other options or inputs.
        progress: to report to.
    """

    study: Study
    options: CycleOptions
    pretrain: str | None
    learner_factory: LearnerFactory
    overwrite: bool
    progress: Progress


def run(
    sources: CycleSources,
    output: str | Path,
    options: CycleOptions,
    *,
    queries: QueryFiles | None = None,
    overwrite: bool = False,
    progress: Progress,
    load: Load | None = None,
    learner_factory: LearnerFactory | None = None,
) -> Path:
    """Take labels in, train, measure, acquire; write the state and the list of images to label.

    Without any label nothing is trained, and the first images are picked at random.

    Args:
        queries: where the list and the contact sheet go; default: beside the output.
        load: in place of ``datasets.load_dataset``.
        learner_factory: in place of ``training.learner.Learner``.

    Returns:
        The path of the ``al-state`` artifact.

    Raises:
        RrtoolError: no label can be used, an input does not fit, or see ``artifacts.create``.
    """
    bench = open_bench(sources, options, overwrite, progress, load, learner_factory)
    queries = queries or QueryFiles.beside(Path(output))
    queries.check(Path(output), sources.labels, overwrite)
    turn = _begin(sources, bench)
    for mistake in turn.mistakes:
        progress.message(mistake.reason)
    is_new = run_cycle(bench, turn, output)
    queries.write(output, sources.images, bench.study, replace=is_new, progress=progress)
    return Path(output)


def open_bench(
    sources: CycleSources,
    options: CycleOptions,
    overwrite: bool,
    progress: Progress,
    load: Load | None,
    learner_factory: LearnerFactory | None,
) -> Bench:
    """Load the images; torch is imported only where the learner is not given."""
    device = resolve_device(options.training.device)
    options = replace(options, training=replace(options.training, device=device))
    study = open_study(sources, options, load or load_dataset, progress)
    learner = learner_factory or _default_learner()
    return Bench(study, options, sources.pretrain, learner, overwrite, progress)


def _default_learner() -> LearnerFactory:
    from rrtool.training.learner import Learner

    return Learner


def _begin(sources: CycleSources, bench: Bench) -> Turn:
    study, options = bench.study, bench.options
    names = study.dataset.names
    previous = read_state(sources.state, study) if sources.state is not None else None
    before = previous.labeling if previous else Labeling.nothing(len(names), [])
    class_names = with_classes(before.class_names or study.dataset.class_names, options.classes)
    inputs = [previous.record] if previous else []
    if sources.labels is None:
        if previous is not None:
            raise UsageError("no labels for the next cycle", expected="--labels", found="none")
        return Turn(Labeling.nothing(len(names), class_names), None, None, [], inputs)
    inputs.append(file_input("labels", sources.labels))
    known = KnownImages(names, before.labels, class_names, study.failures, options.relabel)
    taken = take_labels(sources.labels, known)
    if not len(taken.rows):
        raise UsageError(
            f"not one of {len(taken.mistakes)} labels can be used",
            where=sources.labels,
            found=taken.mistakes[0].reason if taken.mistakes else "no rows",
        )
    if not class_names:
        counts = np.bincount(taken.labels, minlength=len(taken.class_names)).tolist()
        found = (f"{name} ({n})" for name, n in zip(taken.class_names, counts, strict=True))
        bench.progress.message(f"classes from now on: {', '.join(found)}; --classes adds others")
    asked = previous.acquired_ids if previous else np.zeros(0, dtype=np.int64)
    labeling = before.extended(taken.rows, taken.labels, taken.class_names, asked)
    if labeling.n_missing:
        bench.progress.message(
            f"{labeling.n_missing} of {len(asked)} images that were asked for have no label yet; "
            "they stay among the unlabelled"
        )
    return Turn(labeling, previous, None, taken.mistakes, inputs)


def with_classes(known: Sequence[str], added: Sequence[str]) -> list[str]:
    """The known classes in their order, then those that are new."""
    return [*known, *(name for name in added if name not in known)]


def run_cycle(bench: Bench, turn: Turn, output: str | Path) -> bool:
    """One cycle from its labels to its state; whether it was not there already."""
    inputs, initial = [*bench.study.inputs, *turn.inputs], None
    if bench.pretrain is not None:
        record, initial = read_pretraining(bench.pretrain)
        inputs.append(record)
    options = bench.options
    provenance = Provenance(KIND, options.identity(), inputs, {}, options.training.device)
    with create(output, provenance, overwrite=bench.overwrite) as target:
        if target.is_current:
            bench.progress.message(f"{target.path} is up to date")
            return False
        history = list(turn.previous.history) if turn.previous else []
        model = None
        if len(turn.labeling.labeled_ids):
            start = time.monotonic()
            model = _train(bench, turn, initial, target)
            history.append(_history_entry(bench, turn, model, time.monotonic() - start))
        _publish(bench, turn, target, model, _acquire(bench, turn, model), history)
        return True


def _train(
    bench: Bench, turn: Turn, initial: dict[str, np.ndarray] | None, target: OutputFile
) -> Model:
    options, labeling = bench.options, turn.labeling
    confident_ids, confident_labels = confident(
        turn.previous.probabilities if turn.previous and options.strategy == "ceal" else None,
        _pool(bench.study, turn),
        labeling.cycle,
        options.epsilon,
        options.epsilon_decay,
    )
    lesson = Lesson(
        labeling.labeled_ids,
        labeling.labels[labeling.labeled_ids],
        len(labeling.class_names),
        confident_ids,
        confident_labels,
        bench.study.test_labels(labeling.class_names),
        initial,
        int(_generator(options.seed, _TRAINING, labeling.cycle).integers(2**31)),
    )
    training = TrainingRun(target)
    return train(bench.study, lesson, options, training, bench.progress, bench.learner_factory)


def _acquire(bench: Bench, turn: Turn, model: Model | None) -> Acquisition:
    pool = _pool(bench.study, turn)
    if turn.truth is not None:
        pool = pool[turn.truth[pool] != UNLABELED]
    if len(pool) < bench.options.budget:
        bench.progress.message(f"only {len(pool)} images are left to acquire")
    cycle = turn.labeling.cycle
    generator = _generator(bench.options.seed, _ACQUISITION, cycle)
    return acquire(
        bench.options.strategy, model, turn.labeling.labeled_ids, pool, bench.options.budget,
        generator,
    )  # fmt: skip


def _pool(study: Study, turn: Turn) -> np.ndarray:
    """U: the usable images without label."""
    return np.flatnonzero(study.usable & (turn.labeling.labels == UNLABELED))


def _generator(seed: int, stream: int, cycle: int) -> np.random.Generator:
    return np.random.default_rng([seed, stream, cycle + 1])


def _history_entry(bench: Bench, turn: Turn, model: Model, seconds: float) -> dict[str, Any]:
    pseudo_ids, pseudo_labels = model.lesson.confident_ids, model.lesson.confident_labels
    if model.propagated is not None:
        pseudo_ids = _pool(bench.study, turn)
        pseudo_labels = model.propagated.labels[pseudo_ids]
    right = None
    if turn.truth is not None:
        known = turn.truth[pseudo_ids] != UNLABELED
        right = pseudo_labels[known] == turn.truth[pseudo_ids[known]]
    return {
        "cycle": turn.labeling.cycle,
        "strategy": bench.options.strategy,
        "semi": bench.options.semi,
        "pretrained": bench.pretrain is not None,
        "n_labels": len(turn.labeling.labeled_ids),
        "accuracy": model.accuracy,
        "n_pseudo_labels": len(pseudo_ids),
        "pseudo_label_accuracy": float(right.mean()) if right is not None and len(right) else None,
        "seconds": seconds,
    }


def _publish(
    bench: Bench,
    turn: Turn,
    target: OutputFile,
    model: Model | None,
    acquisition: Acquisition,
    history: list[dict[str, Any]],
) -> None:
    skipped = [*bench.study.mistakes, *turn.mistakes]
    write_skipped_list(target.path, [(mistake.name, mistake.reason) for mistake in skipped])
    target.publish(
        state_datasets(bench.study, turn.labeling, model, acquisition),
        extra={
            "cycle": turn.labeling.cycle,
            "strategy": bench.options.strategy,
            "semi": bench.options.semi,
            "pretrained": bench.pretrain is not None,
            "seed": bench.options.seed,
            "n_images": len(bench.study.dataset.names),
            "n_labeled": len(turn.labeling.labeled_ids),
            "n_missing": turn.labeling.n_missing,
            "n_test_images": len(bench.study.test_classes),
            "n_skipped": len(skipped),
            "history": history,
            "log": model.log if model is not None else [],
        },
    )
