"""The training of one cycle: SUP, then SEMI or CEAL's pseudo-labels (Algorithm 1, lines 4–7)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from rrtool.artifacts import InputRecord, open_artifact
from rrtool.core.learning.acquisition import ceal_threshold, confident_pseudo_labels
from rrtool.core.learning.label_propagation import (
    PseudoLabels,
    feature_graph,
    propagate_labels,
)
from rrtool.progress import Progress
from rrtool.stages.learning.al_options import CycleOptions
from rrtool.stages.learning.study import Study
from rrtool.stages.learning.training_run import TrainingRun

LearnerFactory = Callable[..., Any]


@dataclass(frozen=True)
class Lesson:
    """What a cycle learns from.

    Attributes:
        labeled_ids, labels: L and its labels.
        n_classes: c.
        confident_ids, confident_labels: CEAL's L̂ and its pseudo-labels; empty otherwise.
        test_labels: of the held-out images.
        initial: parameters to start from.
        seed: of the training.
    """

    labeled_ids: np.ndarray
    labels: np.ndarray
    n_classes: int
    confident_ids: np.ndarray
    confident_labels: np.ndarray
    test_labels: np.ndarray
    initial: Mapping[str, np.ndarray] | None
    seed: int


@dataclass(frozen=True)
class Model:
    """A trained network, and what it says about the images.

    Attributes:
        probabilities: ``(n, c)`` float32.
        features: ``(n, d)`` float32.
        parameters: by name.
        accuracy: on the held-out set; None without one.
        lesson, options: what it learnt from, and how.
        log: one entry an epoch.
    """

    probabilities: np.ndarray
    features: np.ndarray
    parameters: dict[str, np.ndarray]
    accuracy: float | None
    lesson: Lesson
    options: CycleOptions
    log: list[dict[str, Any]]

    @cached_property
    def graph(self) -> sparse.csr_array:
        """Reciprocal nearest neighbours of the features."""
        return _graph(self.features, self.options)

    @cached_property
    def propagated(self) -> PseudoLabels | None:
        """Pseudo-labels of all images by the final features; None without SEMI."""
        if not self.options.semi:
            return None
        return _propagate(self.graph, self.lesson, self.options)


def confident(
    probabilities: np.ndarray | None, pool_ids: np.ndarray, cycle: int, epsilon: float, decay: float
) -> tuple[np.ndarray, np.ndarray]:
    """CEAL's L̂ (3.7) by the model of the cycle before; none in cycle 0, which has no such model.

    Args:
        pool_ids: U of this cycle.
    """
    if probabilities is None:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
    threshold = ceal_threshold(cycle, epsilon, decay)
    return confident_pseudo_labels(probabilities, pool_ids, threshold)


def read_pretraining(path: str) -> tuple[InputRecord, dict[str, np.ndarray]]:
    """The record of a pre-training as an input, and its parameters."""
    prefix = "parameters/"
    with open_artifact(path, "al-pretraining") as artifact:
        names = [name for name in artifact.dataset_names() if name.startswith(prefix)]
        parameters = {name.removeprefix(prefix): artifact.read(name) for name in names}
        return artifact.as_input("pretraining"), parameters


def train(
    study: Study,
    lesson: Lesson,
    options: CycleOptions,
    training: TrainingRun,
    progress: Progress,
    learner_factory: LearnerFactory,
) -> Model:
    """SUP on L (and L̂), then SEMI with pseudo-labels of its own renewed every epoch."""
    n_epochs = options.training.epochs + (options.training.semi_epochs if options.semi else 0)
    with progress.task("train", n_epochs, "epochs") as advance:
        learner = learner_factory(
            study.dataset,
            lesson.n_classes,
            options.training,
            lesson.seed,
            initial=lesson.initial,
            on_epoch=training.recorder(advance),
        )
        learner.fit_supervised(
            np.concatenate([lesson.labeled_ids, lesson.confident_ids]),
            np.concatenate([lesson.labels, lesson.confident_labels]),
            checkpoint=training,
        )
        if options.semi:
            learner.fit_semi_supervised(
                lesson.labeled_ids,
                lesson.labels,
                lambda features: _propagate(_graph(features, options), lesson, options),
                checkpoint=training,
            )
    return _model(learner, study, lesson, options, training.log)


def _graph(features: np.ndarray, options: CycleOptions) -> sparse.csr_array:
    return feature_graph(features, k=options.k, device=options.training.device)


def _propagate(graph: sparse.csr_array, lesson: Lesson, options: CycleOptions) -> PseudoLabels:
    return propagate_labels(
        graph,
        lesson.labeled_ids,
        lesson.labels,
        lesson.n_classes,
        device=options.training.device,
    )


def _model(
    learner: Any, study: Study, lesson: Lesson, options: CycleOptions, log: list[dict[str, Any]]
) -> Model:
    predictions = learner.predict()
    labels = lesson.test_labels
    return Model(
        predictions.probabilities,
        predictions.features,
        learner.parameters(),
        learner.accuracy(study.test_images, labels) if len(labels) else None,
        lesson,
        options,
        log,
    )
