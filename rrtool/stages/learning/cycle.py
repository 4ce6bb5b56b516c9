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

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    AlPretraining,
    AlState,
    InputRecord,
    OutputFile,
    open_artifact,
    require_same_names,
    write_skipped_list,
)
from rrtool.core.learning.acquisition import Acquisition, ceal_threshold, confident_pseudo_labels
from rrtool.devices import resolve_device
from rrtool.images.folder import kinds_of
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Wanted, as_inputs, make
from rrtool.stages.learning.answers import Labeling, Oracle, People
from rrtool.stages.learning.frozen.outlook import outlook
from rrtool.stages.learning.frozen.review import Review, write_review
from rrtool.stages.learning.frozen.study import FrozenStudy, open_frozen_study
from rrtool.stages.learning.model import Model, PseudoLabels
from rrtool.stages.learning.options import AlCycleOptions
from rrtool.stages.learning.queries import QueryFiles, Question, cards_of
from rrtool.stages.learning.strategies import STRATEGIES
from rrtool.stages.learning.study import Study, open_study
from rrtool.stages.learning.training_run import TrainingRun

_TRAINING, _ACQUISITION = 2, 3  # streams of the seed


def run(options: AlCycleOptions, progress: Progress) -> Path:
    """Take labels in, train, measure, acquire; write the state and the list of images to label.

    Without any label nothing is trained, and the first images are picked at random. The list is
    there before its state is, so no kill leaves a state with the list of another. With an oracle
    cycle j writes ``<stem>-c<j>.h5`` beside the output, the last one the output itself. Each is
    left alone where it is there already, so a killed run goes on with the cycle it was in.

    Returns:
        The path of the last ``al-state`` artifact.

    Raises:
        RrtoolError: no label can be used, an input does not fit, or see ``artifacts.create``.
    """
    options = replace(options, device=resolve_device(options.device))
    study: Study = (open_frozen_study if options.on_features else open_study)(options, progress)
    queries = QueryFiles(options, study, progress)
    answers = (People if options.oracle is None else Oracle)(options, study, progress)
    pretrain, state, output = options.pretrain, options.state, Path(options.output)
    with open_artifact(pretrain, AlPretraining) if pretrain else nullcontext() as start:  # 2
        cycles = options.cycles + (options.on_features and bool(options.oracle) and not state)
        for left in range(cycles, 0, -1):  # 3
            with open_artifact(state, AlState) if state else nullcontext() as previous:
                if previous is not None and not options.on_features:
                    require_same_names(
                        previous.names, previous.path, study.dataset.names, "the images"
                    )
                labeling = answers.label(previous, left)  # 11, 12 of the cycle before
                number = "start" if labeling.cycle < 0 else f"c{labeling.cycle}"
                name = f"{output.stem}-{number}.h5" if left > 1 else output.name
                state = str(output.with_name(name))
                cycle = Cycle(
                    options, study, labeling, previous, answers, start,
                    queries if left == 1 else None, progress,
                )  # fmt: skip
                make(
                    options, Wanted(state, AlState, options.settings()), cycle.work, progress,
                    amount=cycle.amount,
                    inputs=cycle.inputs(), network=study.network, device=options.device,
                )  # fmt: skip
                if options.dry_run and cycle.is_new:
                    break  # those after it are made of what is not there
    if not cycle.is_new and not options.dry_run:
        with open_artifact(output, AlState) as there:
            queries.write(Question.of(there), is_new=False)
    return output


@dataclass
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
        queries: what is written for people; None after all cycles but the last.
        progress: to report to.
        is_new: whether there was anything to do.
    """

    options: AlCycleOptions
    study: Study
    labeling: Labeling
    previous: AlState | None
    answers: People
    pretraining: AlPretraining | None
    queries: QueryFiles | None
    progress: Progress
    is_new: bool = False

    def __post_init__(self) -> None:
        labels, ids = self.labeling.labels, self.labeling.labeled_ids
        # L: (|L|,) int64, increasing; an image that has gone keeps its label for when it is back.
        self.labeled_ids = ids[self.study.dataset.status[ids] == 0]
        self.labels = labels[self.labeled_ids]  # y: (|L|,) int32
        self.pool_ids = np.flatnonzero((self.study.dataset.status == 0) & (labels < 0))  # 1: U
        self.n_classes = len(self.labeling.class_names)
        self.method = {  # what a learning curve is drawn for
            "strategy": self.options.strategy,
            "semi": self.options.semi,
            "pretrained": self.pretraining is not None,
        }

    def inputs(self) -> list[InputRecord]:
        """Of the provenance."""
        given = as_inputs(state=self.previous, pretrain=self.pretraining)
        return [*self.study.inputs, *self.answers.inputs, *given]

    def amount(self, outputs: Sequence[OutputFile]) -> Amount:
        """What there would be to do, in a dry run."""
        self.is_new = True
        return Amount(len(self.study.dataset), "images")

    def work(self, outputs: list[OutputFile]) -> None:
        """Train, acquire, publish."""
        (output,), self.is_new = outputs, True
        history = list(self.previous.extra["history"]) if self.previous else []
        training, model, pseudo = TrainingRun(output), None, None
        if len(self.labeled_ids):
            sure = self.confident()
            model = self.train(training, *sure)
            seconds = training.seconds()
            if self.options.semi:
                pseudo = model.propagate(self.labeled_ids, self.labels, self.n_classes)
                sure = self.pool_ids, pseudo.labels[self.pool_ids]
            history.append(self.entry(model, *sure) | {"seconds": seconds, **model.facts})
            n_next = self.options.step(self.labeling.cycle, has_model=True).budget
            tested = len(self.study.test_classes), self.study.n_tested_twice(self.labeled_ids)
            for text in outlook(history, tested, n_next, self.n_classes):
                self.progress.message(text)
        acquisition = self.acquire(model)
        skipped = [*self.study.skipped, *self.answers.mistakes]
        write_skipped_list(output.path, skipped + self.study.dataset.passed_over)
        if self.options.review and model:
            review = Review(self.study.dataset.names, self.labeling, model.suspects)
            write_review(Path(output.path), review, self.options.review, self.progress)
        if self.queries:
            self.queries.write(self.question(output, model, acquisition), is_new=True)
        output.publish(
            self.columns(model, pseudo, acquisition),
            extra={
                "cycle": self.labeling.cycle,
                **self.method,
                **self.study.facts(),
                "seed": self.options.seed,
                "n_images": len(self.study.dataset),
                "n_labeled": len(self.labeled_ids),
                "n_missing": self.labeling.n_missing,
                "n_test_images": len(self.study.test_classes),
                "n_skipped": len(skipped),
                "passed_over": kinds_of(self.study.dataset.passed_over),
                "history": history,
                "log": training.log,
                **(model.graph_facts(self.progress) if model else {}),
            },
        )

    def confident(self) -> tuple[np.ndarray, np.ndarray]:
        """CEAL's L̂ (3.7) and its labels, by the model of the cycle before; else none."""
        options, previous = self.options, self.previous
        if options.strategy != "ceal" or previous is None or AlState.probabilities not in previous:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32)
        threshold = ceal_threshold(self.labeling.cycle, options.epsilon, options.epsilon_decay)
        pool_ids = self.pool_ids[self.pool_ids < previous.lengths["n"]]
        return confident_pseudo_labels(previous.probabilities, pool_ids, threshold)

    def train(self, training: TrainingRun, sure_ids: np.ndarray, sure_labels: np.ndarray) -> Model:
        """Lines 4–7: SUP on L (and on what CEAL is sure of), then SEMI on L ∪ U."""
        options, study, labeled = self.options, self.study, (self.labeled_ids, self.labels)
        ids, known = map(np.concatenate, ((self.labeled_ids, sure_ids), (self.labels, sure_labels)))
        if isinstance(study, FrozenStudy):
            classes = self.labeling.class_names
            return study.learn((ids, known), classes, options, training, self.progress)
        from rrtool.training.learner import Learner  # late: a state that is there needs no torch

        test_labels = study.test_labels(self.labeling.class_names)
        n_epochs = options.epochs + (options.semi_epochs if options.semi else 0)

        def propagate(features: np.ndarray) -> PseudoLabels:  # 6
            return Model(features=features, options=options).propagate(*labeled, self.n_classes)

        with self.progress.task("train", n_epochs, "epochs") as advance:
            learner = Learner(
                study.dataset,
                self.n_classes,
                options,
                int(self.generator(_TRAINING).integers(2**31)),
                initial=self.pretraining.parameters if self.pretraining else None,  # θ₀
                checkpoint=training,
                on_epoch=training.recorder(advance),
            )
            learner.fit_supervised(ids, known)  # 4
            if options.semi:  # 5–7: the pseudo-labels are renewed in the course of the epochs
                learner.fit_semi_supervised(*labeled, propagate)
        found = learner.predict()
        return Model(
            features=found.features,
            options=options,
            probabilities=found.probabilities,
            parameters=learner.parameters(),
            accuracy=learner.accuracy(study.test_images, test_labels) if len(test_labels) else None,
        )

    def acquire(self, model: Model | None) -> Acquisition:
        """Lines 8–10: S, b images of U, or all where there are fewer; at random without a θ."""
        pool_ids, truth = self.pool_ids, self.answers.truth
        name, budget = self.options.step(self.labeling.cycle, has_model=model is not None)
        if isinstance(self.study, FrozenStudy):
            model = model or self.study.unlabeled(self.options)
        if truth is not None:
            pool_ids = pool_ids[truth[pool_ids] >= 0]
        if (n := len(pool_ids)) < budget:
            self.progress.message(f"{f'only {n}' if n else 'no'} images are left to acquire")
        return STRATEGIES[name if model else "random"].acquire(
            model, self.labeled_ids, pool_ids, min(budget, len(pool_ids)),
            self.generator(_ACQUISITION),
        )  # fmt: skip

    def generator(self, stream: int) -> np.random.Generator:
        """What is random in this cycle, one a stream."""
        return np.random.default_rng([self.options.seed, stream, self.labeling.cycle + 1])

    def entry(self, model: Model, ids: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
        """Of the history: the accuracy, and how many pseudo-labels (of these ids) were right."""
        return {
            "cycle": self.labeling.cycle,
            **self.method,
            "n_labels": len(self.labeled_ids),
            "accuracy": model.accuracy,
            "n_pseudo_labels": len(ids),
            "pseudo_label_accuracy": self.answers.share_right(ids, labels),
        }

    def question(
        self, output: OutputFile, model: Model | None, acquisition: Acquisition
    ) -> Question:
        """What the state that is being written asks for."""
        classes, found = self.labeling.class_names, model.probabilities if model else None
        cards = cards_of(acquisition.ids, self.study.dataset.names, classes, found)
        scores = acquisition.scores.astype(np.float64).tolist()
        return Question(output.uuid, str(output.path), classes, cards, scores)

    def columns(
        self, model: Model | None, pseudo: PseudoLabels | None, acquisition: Acquisition
    ) -> dict[str, np.ndarray]:
        """The datasets of the state; those of the model are left out where there is none."""
        dataset, labeling = self.study.dataset, self.labeling
        found: dict[str, Any] = model.columns() if model else {}
        if pseudo is not None:
            found |= {"pseudo_labels": pseudo.labels, "pseudo_weights": pseudo.weights}
        return AlState.columns(
            names=dataset.names,
            reasons=dataset.reasons,
            status=dataset.status,
            class_names=labeling.class_names,
            labels=labeling.labels,
            labeled_cycle=labeling.labeled_cycle,
            acquired_ids=acquisition.ids,
            acquired_scores=acquisition.scores,
            **found,
        )
