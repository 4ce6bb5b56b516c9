"""``rrtool al-cycle --oracle``: cycles that answer their own questions, for benchmarks (§3.5.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rrtool.artifacts import InputRecord
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.learning.al_options import CycleOptions, CycleSources
from rrtool.stages.learning.cycle import Bench, Turn, open_bench, run_cycle, with_classes
from rrtool.stages.learning.labels import UNLABELED, KnownImages, Mistake, take_labels
from rrtool.stages.learning.queries import QueryFiles
from rrtool.stages.learning.state import Labeling, read_state
from rrtool.stages.learning.study import Load, Study, file_input
from rrtool.stages.learning.train import LearnerFactory

OWN_LABELS = "dataset"
_FIRST_LABELS = 4  # stream of the seed


@dataclass(frozen=True)
class Oracle:
    """What is true.

    Attributes:
        class_names: of the labels.
        truth: ``(n,)`` int32, −1 where it does not know.
        mistakes: rows of its file that cannot be used.
        record: its file as an input; none for the data set's own labels.
    """

    class_names: list[str]
    truth: np.ndarray
    mistakes: Sequence[Mistake]
    record: Sequence[InputRecord]


def run(
    sources: CycleSources,
    oracle: str,
    output: str | Path,
    options: CycleOptions,
    *,
    cycles: int,
    queries: QueryFiles | None = None,
    overwrite: bool = False,
    progress: Progress,
    load: Load | None = None,
    learner_factory: LearnerFactory | None = None,
) -> Path:
    """Run ``cycles`` cycles; the first labels are balanced over classes and drawn by the seed.

    Cycle j writes ``<stem>-c<j>.h5`` beside the output, the last one the output itself. Each is
    left alone where it is there already, so a killed run goes on with the cycle it was in.

    Args:
        oracle: a labels file, or ``dataset`` for the labels that the data set brings.
        queries: where the last cycle's list and contact sheet go; default: none is written.

    Raises:
        RrtoolError: as ``al_cycle.run``; or the oracle knows too few labels for the cycles.
    """
    output = Path(output)
    if cycles < 1:
        raise UsageError("bad --cycles", expected="at least 1", found=cycles)
    if queries is not None:
        queries.check(output, None, overwrite)
    bench = open_bench(sources, options, overwrite, progress, load, learner_factory)
    answers = _open_oracle(oracle, bench.study, options.classes)
    for mistake in answers.mistakes:
        progress.message(mistake.reason)
    path, is_new = sources.state, False
    for number in range(cycles):
        turn = _turn(bench, answers, path, cycles - number)
        last = number == cycles - 1
        cycle = turn.labeling.cycle
        path = str(output if last else output.with_name(f"{output.stem}-c{cycle}.h5"))
        progress.message(f"cycle {cycle}: {len(turn.labeling.labeled_ids)} labels")
        is_new = run_cycle(bench, turn, path)
    if queries is not None:
        queries.write(output, sources.images, bench.study, replace=is_new, progress=progress)
    return output


def _open_oracle(source: str, study: Study, classes: Sequence[str]) -> Oracle:
    dataset = study.dataset
    if source == OWN_LABELS:
        if not (dataset.labels != UNLABELED).any():
            raise UsageError(
                "these images bring no labels", expected="--oracle with a labels file",
                found=f"--oracle {OWN_LABELS}",
            )  # fmt: skip
        return Oracle(with_classes(dataset.class_names, classes), dataset.labels, [], [])
    nothing = np.full(len(dataset.names), UNLABELED, dtype=np.int32)
    known = with_classes(dataset.class_names, classes)
    taken = take_labels(source, KnownImages(dataset.names, nothing, known, study.failures))
    nothing[taken.rows] = taken.labels
    return Oracle(taken.class_names, nothing, taken.mistakes, [file_input("oracle", source)])


def _turn(bench: Bench, oracle: Oracle, path: str | None, cycles_left: int) -> Turn:
    """The next cycle: from the state at ``path``, or the first with balanced labels."""
    previous = None
    if path is None:
        rows = _balanced(oracle, bench.options.budget, bench.options.seed)
        before, asked = Labeling.nothing(len(oracle.truth), oracle.class_names), rows
    else:
        previous = read_state(path, bench.study)
        before, asked = previous.labeling, previous.acquired_ids
        rows = asked[oracle.truth[asked] != UNLABELED]
        if before.class_names and before.class_names != oracle.class_names:
            raise UsageError(
                "the state has other classes than the oracle", where=path,
                expected=", ".join(oracle.class_names), found=", ".join(before.class_names),
            )  # fmt: skip
    known = int((oracle.truth != UNLABELED).sum() - (before.labels != UNLABELED).sum())
    wanted = len(rows) + (cycles_left - 1) * bench.options.budget
    if wanted > known:
        raise UsageError(
            "the oracle knows too few labels for so many cycles",
            expected=f"{wanted} more labels",
            found=known,
            todo="lower --cycles or --budget",
        )
    labeling = before.extended(rows, oracle.truth[rows], oracle.class_names, asked)
    records = [*oracle.record, *([previous.record] if previous else [])]
    return Turn(labeling, previous, oracle.truth, oracle.mistakes, records)


def _balanced(oracle: Oracle, budget: int, seed: int) -> np.ndarray:
    """L₀: as many rows of every class, increasing.

    Raises:
        UsageError: the budget does not divide, or a class has too few images.
    """
    n_classes = len(oracle.class_names)
    if budget % n_classes:
        raise UsageError(
            "the first labels are balanced over classes", where="--budget",
            expected=f"a multiple of the {n_classes} classes", found=budget,
        )  # fmt: skip
    generator = np.random.default_rng([seed, _FIRST_LABELS])
    rows = []
    for label, name in enumerate(oracle.class_names):
        members = np.flatnonzero(oracle.truth == label)
        if len(members) < budget // n_classes:
            raise UsageError(
                f"too few images of class {name}", expected=f"at least {budget // n_classes}",
                found=len(members),
            )  # fmt: skip
        rows.append(generator.choice(members, budget // n_classes, replace=False))
    return np.sort(np.concatenate(rows))
