"""``rrtool al-cycle``: cycles of active learning → al-state (thesis §3.3, Algorithm 1).

The numbers of the comments are those of the lines of Algorithm 1, with X the images, L the labelled
ones, U the others, y the labels, θ the network and b the budget:

     1   U ← I \\ L                        Cycle.pool_ids
     2   θ₀ ← PRE(X)                      al-pretrain, which --pretrain takes
     3   for j ∈ {0, …} do                run; where people label, one cycle a call
     4     θ ← SUP(X, L, y; θ₀)           Cycle.train
    5–7    ŷ, w ← LP; θ ← SEMI            Cycle.train, with --semi
    8–10   S ← S ∪ a(X, L ∪ S, U \\ S)     Cycle.acquire, by the table of ``strategies``
    11     y ← (y, LABEL(S))              ``answers``: of people, or of an oracle
    12     L ← L ∪ S; U ← U \\ S           ``Labeling.extended``

Lines 11 and 12 are what the next cycle begins with: between lie the days that people take.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import AlPretraining, AlState, OutputFile, write_skipped_list
from rrtool.core.learning.acquisition import Acquisition, ceal_threshold, confident_pseudo_labels
from rrtool.core.learning.label_propagation import PseudoLabels
from rrtool.devices import resolve_device
from rrtool.progress import Progress
from rrtool.stages.driver import Wanted, make
from rrtool.stages.learning.answers import Oracle, People
from rrtool.stages.learning.labels import UNLABELED
from rrtool.stages.learning.model import Manifold, Model, new_learner
from rrtool.stages.learning.options import AlCycleOptions
from rrtool.stages.learning.queries import QueryFiles
from rrtool.stages.learning.state import Labeling, open_pretraining, open_state
from rrtool.stages.learning.strategies import acquire
from rrtool.stages.learning.study import Study, open_study
from rrtool.stages.learning.training_run import TrainingRun

_TRAINING, _ACQUISITION = 2, 3  # streams of the seed


def run(options: AlCycleOptions, progress: Progress) -> Path:
    """Take labels in, train, measure, acquire; write the state and the list of images to label.

    Without any label nothing is trained, and the first images are picked at random. With an oracle
    cycle j writes ``<stem>-c<j>.h5`` beside the output, the last one the output itself. Each is
    left alone where it is there already, so a killed run goes on with the cycle it was in.

    Returns:
        The path of the last ``al-state`` artifact.

    Raises:
        RrtoolError: no label can be used, an input does not fit, or see ``artifacts.create``.
    """
    options = replace(options, device=resolve_device(options.device))
    queries = QueryFiles.of(options)
    queries.check(options)
    study = open_study(options, progress)
    answers = (People if options.oracle is None else Oracle)(options, study, progress)
    output, state, is_new = Path(options.output), options.state, False
    with open_pretraining(options.pretrain) as pretraining:  # 2
        for cycles_left in range(options.cycles, 0, -1):  # 3
            with open_state(state, study.dataset.names) as previous:
                labeling = answers.label(previous, cycles_left)  # 11, 12 of the cycle before
                is_last = cycles_left == 1
                name = output.name if is_last else f"{output.stem}-c{labeling.cycle}.h5"
                cycle = Cycle(options, study, labeling, previous, answers, pretraining, progress)
                is_new = cycle.make(str(output.with_name(name)))
            state = str(output.with_name(name))
    queries.write(output, options.images, study, replace=is_new, progress=progress)
    return output


@dataclass(frozen=True)
class Cycle:
    """One cycle: the body of the loop of Algorithm 1.

    Attributes:
        options: as given.
        study: X.
        labeling: L and y.
        previous: the state of the cycle before; None in the first.
        answers: where the labels come from. A truth that an oracle knows measures pseudo-labels,
            and bounds the acquisition to images that it can answer.
        pretraining: θ₀; None starts at random.
        progress: to report to.
    """

    options: AlCycleOptions
    study: Study
    labeling: Labeling
    previous: AlState | None
    answers: People | Oracle
    pretraining: AlPretraining | None
    progress: Progress

    @cached_property
    def labeled_ids(self) -> np.ndarray:
        """L: ``(|L|,)`` int64, increasing."""
        return self.labeling.labeled_ids

    @cached_property
    def pool_ids(self) -> np.ndarray:
        """1: U ← I \\ L, of the images that could be read."""
        return np.flatnonzero(self.study.usable & (self.labeling.labels == UNLABELED))

    def make(self, path: str) -> bool:
        """Write the state, unless it is there already; returns whether it was not."""
        inputs = [*self.study.inputs, *self.answers.inputs]
        if self.previous is not None:
            inputs.append(self.previous.as_input("state"))
        if self.pretraining is not None:
            inputs.append(self.pretraining.as_input("pretrain"))
        is_new = False

        def work(outputs: list[OutputFile]) -> None:
            nonlocal is_new
            is_new = True
            self.work(outputs[0])

        make(
            self.options,
            Wanted(path, AlState, self.options.settings()),
            work,
            self.progress,
            inputs=inputs,
            device=self.options.device,
        )
        return is_new

    def work(self, output: OutputFile) -> None:
        """Train, acquire, publish."""
        history = list(self.previous.extra["history"]) if self.previous else []
        model = pseudo = None
        if len(self.labeled_ids):
            start = time.monotonic()
            model = self.train(TrainingRun(output))
            seconds = time.monotonic() - start
            if self.options.semi:
                pseudo = model.propagate(
                    self.labeled_ids, self.labels, len(self.labeling.class_names)
                )
            history.append(self.entry(model, pseudo, seconds))
        acquisition = self.acquire(model)
        skipped = [*self.study.mistakes, *self.answers.mistakes]
        write_skipped_list(output.path, [(mistake.name, mistake.reason) for mistake in skipped])
        output.publish(
            self.columns(model, pseudo, acquisition),
            extra={
                "cycle": self.labeling.cycle,
                **self.method(),
                "seed": self.options.seed,
                "n_images": len(self.study.dataset.names),
                "n_labeled": len(self.labeled_ids),
                "n_missing": self.labeling.n_missing,
                "n_test_images": len(self.study.test_classes),
                "n_skipped": len(skipped),
                "history": history,
                "log": model.log if model is not None else [],
            },
        )

    @property
    def labels(self) -> np.ndarray:
        """y: ``(|L|,)`` int32."""
        return self.labeling.labels[self.labeled_ids]

    def train(self, training: TrainingRun) -> Model:
        """Lines 4–7: SUP on L (and on what CEAL is sure of), then SEMI on L ∪ U."""
        options, study = self.options, self.study
        labeled_ids, labels = self.labeled_ids, self.labels
        n_classes = len(self.labeling.class_names)
        test_labels = study.test_labels(self.labeling.class_names)
        sure_ids, sure_labels = self.confident
        n_epochs = options.epochs + (options.semi_epochs if options.semi else 0)

        def propagate(features: np.ndarray) -> PseudoLabels:  # 6
            manifold = Manifold(features=features, k=options.k, device=options.device)
            return manifold.propagate(labeled_ids, labels, n_classes)

        with self.progress.task("train", n_epochs, "epochs") as advance:
            learner = new_learner(
                study.dataset,
                n_classes,
                options,
                int(self.generator(_TRAINING).integers(2**31)),
                initial=self.pretraining.parameters if self.pretraining else None,  # θ₀
                checkpoint=training,
                on_epoch=training.recorder(advance),
            )
            learner.fit_supervised(  # 4
                np.concatenate([labeled_ids, sure_ids]), np.concatenate([labels, sure_labels])
            )
            if options.semi:  # 5–7: the pseudo-labels are renewed in the course of the epochs
                learner.fit_semi_supervised(labeled_ids, labels, propagate)
        found = learner.predict()
        return Model(
            features=found.features,
            k=options.k,
            device=options.device,
            probabilities=found.probabilities,
            parameters=learner.parameters(),
            accuracy=learner.accuracy(study.test_images, test_labels) if len(test_labels) else None,
            log=training.log,
        )

    def acquire(self, model: Model | None) -> Acquisition:
        """Lines 8–10: S, b images of U."""
        pool_ids, truth = self.pool_ids, self.answers.truth
        if truth is not None:
            pool_ids = pool_ids[truth[pool_ids] != UNLABELED]
        if len(pool_ids) < self.options.budget:
            self.progress.message(f"only {len(pool_ids)} images are left to acquire")
        return acquire(
            self.options.strategy, model, self.labeled_ids, pool_ids, self.options.budget,
            self.generator(_ACQUISITION),
        )  # fmt: skip

    @cached_property
    def confident(self) -> tuple[np.ndarray, np.ndarray]:
        """CEAL's L̂ (3.7) and its labels, by the model of the cycle before; else none."""
        options, previous = self.options, self.previous
        if options.strategy != "ceal" or previous is None or AlState.probabilities not in previous:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
        threshold = ceal_threshold(self.labeling.cycle, options.epsilon, options.epsilon_decay)
        return confident_pseudo_labels(previous.probabilities, self.pool_ids, threshold)

    def generator(self, stream: int) -> np.random.Generator:
        """What is random in this cycle, one a stream."""
        return np.random.default_rng([self.options.seed, stream, self.labeling.cycle + 1])

    def method(self) -> dict[str, Any]:
        """What a learning curve is drawn for."""
        return {
            "strategy": self.options.strategy,
            "semi": self.options.semi,
            "pretrained": self.pretraining is not None,
        }

    def entry(self, model: Model, pseudo: PseudoLabels | None, seconds: float) -> dict[str, Any]:
        """Of the history: the accuracy, and how many pseudo-labels were right."""
        ids, labels = self.confident
        if pseudo is not None:
            ids, labels = self.pool_ids, pseudo.labels[self.pool_ids]
        right: Sequence[bool] | np.ndarray = ()
        if self.answers.truth is not None:
            truth = self.answers.truth[ids]
            right = (labels == truth)[truth != UNLABELED]
        return {
            "cycle": self.labeling.cycle,
            **self.method(),
            "n_labels": len(self.labeled_ids),
            "accuracy": model.accuracy,
            "n_pseudo_labels": len(ids),
            "pseudo_label_accuracy": float(np.mean(right)) if len(right) else None,
            "seconds": seconds,
        }

    def columns(
        self, model: Model | None, pseudo: PseudoLabels | None, acquisition: Acquisition
    ) -> dict[str, np.ndarray]:
        """The datasets of the state; those of the model are left out where there is none."""
        dataset, labeling = self.study.dataset, self.labeling
        return AlState.columns(
            names=dataset.names,
            reasons=dataset.reasons,
            status=dataset.status,
            class_names=labeling.class_names,
            labels=labeling.labels,
            labeled_cycle=labeling.labeled_cycle,
            acquired_ids=acquisition.ids.astype(np.int64),
            acquired_scores=acquisition.scores.astype(np.float64),
            probabilities=None if model is None else model.probabilities,
            features=None if model is None else model.features,
            parameters=None if model is None else model.parameters,
            pseudo_labels=None if pseudo is None else pseudo.labels,
            pseudo_weights=None if pseudo is None else pseudo.weights,
        )
