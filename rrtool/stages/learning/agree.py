"""``rrtool al-agree``: do acquisition strategies lead to the same pseudo-labels? (thesis §3.6)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    AlAgreement,
    AlState,
    InputRecord,
    OutputFile,
    digest_of_source,
    open_artifact,
)
from rrtool.core.learning.agreement import acquisition_ranks, measure_agreement, rank_correlation
from rrtool.core.learning.label_propagation import PseudoLabels
from rrtool.devices import resolve_device
from rrtool.errors import OptionError, UsageError
from rrtool.progress import Progress
from rrtool.stages.driver import Wanted, make
from rrtool.stages.learning.labels import UNLABELED, read_truth
from rrtool.stages.learning.model import Model
from rrtool.stages.learning.options import COMPARED, AlAgreeOptions
from rrtool.stages.learning.strategies import STRATEGIES


@dataclass(frozen=True)
class _Study:
    """What the strategies choose from.

    Attributes:
        names: of the images.
        model: of the state.
        labels: ``(n,)`` int32 of the state, −1 = none.
        truth: ``(n,)`` int32, −1 = unknown.
        pool_ids: ``(u,)`` usable images without a label, of known truth.
        class_names: of the ``c`` classes.
    """

    names: list[str]
    model: Model
    labels: np.ndarray
    truth: np.ndarray
    pool_ids: np.ndarray
    class_names: list[str]

    @property
    def labeled_ids(self) -> np.ndarray:
        return np.flatnonzero(self.labels >= 0)


@dataclass(frozen=True)
class _Outcome:
    """One strategy's picks, its ranks of the pool ``(u,)``, and what its labels propagate to."""

    acquired: np.ndarray
    ranks: np.ndarray
    pseudo_labels: PseudoLabels


def run(options: AlAgreeOptions, progress: Progress) -> Path:
    """Acquire by every strategy, propagate the labels, and compare with the reference.

    Ranks are by each strategy's score before its first pick: entropy, distance to the nearest
    labelled image, manifold similarity (the smallest first), or a permutation (random). Compared
    are the images that neither strategy acquired and that both propagations reach.

    Returns:
        The path of the ``al-agreement`` artifact.

    Raises:
        RrtoolError: the state or the truth is unusable, or the budget larger than the pool.
    """
    options = replace(options, device=resolve_device(options.device))
    with open_artifact(options.state, AlState) as state:
        study = _read_study(state, options, progress)
        options = _with_budget(options, state, len(study.pool_ids))
        source, cycle = options.truth, state.extra["cycle"]
        return make(
            options,
            Wanted(options.output, AlAgreement, options.settings()),
            lambda outputs: _publish(outputs[0], study, options, cycle, progress),
            progress,
            inputs=[
                state.as_input("state"),
                InputRecord("truth", source, "labels", "", digest_of_source(source)),
            ],
            network=state.network,
            device=options.device,
        )


def _publish(
    output: OutputFile, study: _Study, options: AlAgreeOptions, cycle: int, progress: Progress
) -> None:
    outcomes = _outcomes(study, options, progress)
    pseudo = {name: outcome.pseudo_labels for name, outcome in outcomes.items()}
    output.publish(
        AlAgreement.columns(
            names=study.names,
            truth=study.truth,
            pool_ids=study.pool_ids,
            acquired={name: outcome.acquired for name, outcome in outcomes.items()},
            ranks={name: outcome.ranks for name, outcome in outcomes.items()},
            pseudo_labels={name: found.labels for name, found in pseudo.items()},
            pseudo_weights={name: found.weights for name, found in pseudo.items()},
        ),
        extra={
            "cycle": cycle,
            "n_labeled": len(study.labeled_ids),
            "n_pool": len(study.pool_ids),
            "agreement": _agreement_rows(study, options, outcomes),
            "correlations": _correlations(outcomes),
            "class_names": study.class_names,
        },
    )


def _with_budget(options: AlAgreeOptions, state: AlState, n_pool: int) -> AlAgreeOptions:
    budget = state.lengths["b"] if options.budget is None else options.budget
    if not budget:
        raise UsageError("the state has acquired nothing", where=state.path, todo="say --budget")
    if budget > n_pool:
        raise OptionError(
            "bad --budget",
            option="budget",
            where=state.path,
            expected=f"at most the {n_pool} unlabelled images of known truth",
            found=budget,
        )
    return replace(options, budget=budget)


def _read_study(state: AlState, options: AlAgreeOptions, progress: Progress) -> _Study:
    names, class_names = state.names, state.class_names
    usable = state.status == 0
    model = Model(
        features=np.where(usable[:, None], state.features, np.float32(0)),
        k=options.k,
        device=options.device,
        probabilities=state.probabilities,
    )
    truth = read_truth(options.truth, names, class_names)
    labels = np.where(usable, state.labels, UNLABELED)
    unlabeled = usable & (labels < 0)
    if n_unknown := int((unlabeled & (truth < 0)).sum()):
        progress.message(f"{n_unknown} unlabelled images have no true label and take no part")
    pool_ids = np.flatnonzero(unlabeled & (truth >= 0))
    return _Study(names, model, labels, truth, pool_ids, class_names)


def _outcomes(study: _Study, options: AlAgreeOptions, progress: Progress) -> dict[str, _Outcome]:
    outcomes = {}
    with progress.task("al-agree", len(options.all()), "strategies") as advance:
        for name in options.all():
            outcomes[name] = _outcome(name, study, options)
            advance(1)
    return outcomes


def _outcome(name: str, study: _Study, options: AlAgreeOptions) -> _Outcome:
    # A generator of its own: what others draw does not change it.
    generator = np.random.default_rng([options.seed, COMPARED.index(name)])
    strategy, known = STRATEGIES[name], study.labeled_ids
    scores = strategy.first_scores(study.model, known, study.pool_ids, generator)
    acquired = strategy.acquire(
        study.model, known, study.pool_ids, options.budget or 0, generator
    ).ids
    propagated = study.model.propagate(
        np.concatenate([known, acquired]),
        np.concatenate([study.labels[known], study.truth[acquired]]),
        len(study.class_names),
        max_iter=options.max_iter,
    )
    return _Outcome(acquired, acquisition_ranks(scores), propagated)


def _agreement_rows(
    study: _Study, options: AlAgreeOptions, outcomes: Mapping[str, _Outcome]
) -> list[dict[str, Any]]:
    """Table 3.4, JSON-compatible, None where a subset is empty."""
    reference = outcomes[options.reference]
    rows = []
    for name in options.strategies:
        own = outcomes[name]
        both = np.setdiff1d(study.pool_ids, np.union1d(own.acquired, reference.acquired))
        sides = [own.pseudo_labels, reference.pseudo_labels]
        reached = (sides[0].labels[both] >= 0) & (sides[1].labels[both] >= 0)
        ids = both[reached]
        found = measure_agreement(
            (sides[0].labels[ids], sides[1].labels[ids]),
            (sides[0].weights[ids], sides[1].weights[ids]),
            study.truth[ids],
        )
        values = {
            key: None if isinstance(value, float) and np.isnan(value) else value
            for key, value in found.items()
        }
        rows.append({"strategy": name, **values, "n_unreached": int((~reached).sum())})
    return rows


def _correlations(outcomes: Mapping[str, _Outcome]) -> list[dict[str, Any]]:
    """Spearman's correlation of the ranks of every two strategies."""
    found = []
    for first, second in combinations(outcomes, 2):
        value = rank_correlation(outcomes[first].ranks, outcomes[second].ranks)
        found.append(
            {"first": first, "second": second, "spearman": None if np.isnan(value) else value}
        )
    return found
