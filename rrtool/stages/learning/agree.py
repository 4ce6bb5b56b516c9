"""``rrtool al-agree``: do acquisition strategies lead to the same pseudo-labels? (thesis §3.6)"""

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
    open_artifact,
    source_input,
)
from rrtool.core.learning.agreement import acquisition_ranks, measure_agreement, rank_correlation
from rrtool.datasets import is_standard
from rrtool.devices import resolve_device
from rrtool.errors import OptionError, UsageError
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Wanted, make
from rrtool.stages.learning.labels import labels_input, read_truth
from rrtool.stages.learning.model import Model
from rrtool.stages.learning.options import COMPARED, AlAgreeOptions
from rrtool.stages.learning.strategies import STRATEGIES


@dataclass(frozen=True)
class _Study:
    """What the strategies choose from.

    Attributes:
        state: names and classes.
        model: of the state.
        labeled_ids, labels: usable images with a label, and the labels.
        truth: ``(n,)`` int32, −1 = unknown.
        pool_ids: ``(u,)`` usable images without a label, of known truth.
    """

    state: AlState
    model: Model
    labeled_ids: np.ndarray
    labels: np.ndarray
    truth: np.ndarray
    pool_ids: np.ndarray


@dataclass(frozen=True)
class _Outcome:
    """One strategy's picks, its ranks of the pool ``(u,)``, and what its labels propagate to."""

    acquired: np.ndarray
    ranks: np.ndarray
    pseudo_labels: np.ndarray
    pseudo_weights: np.ndarray


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
        return make(
            options,
            Wanted(options.output, AlAgreement, options.settings()),
            lambda outputs: _publish(outputs[0], study, options, progress),
            progress,
            amount=lambda outputs: Amount(len(study.state.names), "images"),
            inputs=[state.as_input("state"), _truth_input(options.truth)],
            network=state.network,
            device=options.device,
        )


def _truth_input(truth: str) -> InputRecord:
    return (source_input if is_standard(truth) else labels_input)("truth", truth)


def _publish(
    output: OutputFile, study: _Study, options: AlAgreeOptions, progress: Progress
) -> None:
    outcomes = {}
    with progress.task("al-agree", len(options.all()), "strategies") as advance:
        for name in options.all():
            outcomes[name] = _outcome(name, study, options)
            advance(1)
    by_strategy = {
        column: {name: getattr(outcome, column) for name, outcome in outcomes.items()}
        for column in ("acquired", "ranks", "pseudo_labels", "pseudo_weights")
    }
    output.publish(
        AlAgreement.columns(
            names=study.state.names, truth=study.truth, pool_ids=study.pool_ids, **by_strategy
        ),
        extra={
            "cycle": study.state.extra["cycle"],
            "n_labeled": len(study.labeled_ids),
            "n_pool": len(study.pool_ids),
            "agreement": [
                {"strategy": name, **_agreement(study, outcomes[name], outcomes[options.reference])}
                for name in options.strategies
            ],
            "correlations": _correlations(outcomes),
            "class_names": study.state.class_names,
            **study.model.graph_facts(progress),
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
    usable, labels, features = state.status == 0, state.labels, state.features
    if not np.isfinite(features[usable]).all():
        raise state.damaged("features that are not finite")
    model = Model(
        features=np.where(usable[:, None], features, np.float32(0)),
        options=options,
        probabilities=state.probabilities,
    )
    truth = read_truth(options.truth, state.names, state.class_names)
    unlabeled = usable & (labels < 0)
    if n_unknown := int((unlabeled & (truth < 0)).sum()):
        progress.message(f"{n_unknown} unlabelled images have no true label and take no part")
    labeled_ids = np.flatnonzero(usable & (labels >= 0))
    pool_ids = np.flatnonzero(unlabeled & (truth >= 0))
    return _Study(state, model, labeled_ids, labels[labeled_ids], truth, pool_ids)


def _outcome(name: str, study: _Study, options: AlAgreeOptions) -> _Outcome:
    # A generator of its own: what others draw does not change it.
    generator = np.random.default_rng([options.seed, COMPARED.index(name)])
    strategy, model, known, pool = STRATEGIES[name], study.model, study.labeled_ids, study.pool_ids
    scores = strategy.first_scores(model, known, pool, generator)
    acquired = strategy.acquire(model, known, pool, options.budget or 0, generator).ids
    propagated = model.propagate(
        np.concatenate([known, acquired]),
        np.concatenate([study.labels, study.truth[acquired]]),
        len(study.state.class_names),
        max_iter=options.max_iter,
    )
    return _Outcome(acquired, acquisition_ranks(scores), propagated.labels, propagated.weights)


def _agreement(study: _Study, own: _Outcome, reference: _Outcome) -> dict[str, Any]:
    """A row of table 3.4, JSON-compatible, None where a subset is empty."""
    both = np.setdiff1d(study.pool_ids, np.union1d(own.acquired, reference.acquired))
    reached = (own.pseudo_labels[both] >= 0) & (reference.pseudo_labels[both] >= 0)
    ids = both[reached]
    found = measure_agreement(
        (own.pseudo_labels[ids], reference.pseudo_labels[ids]),
        (own.pseudo_weights[ids], reference.pseudo_weights[ids]),
        study.truth[ids],
    )
    row = {name: _or_none(value) for name, value in found.items()}
    return {**row, "n_unreached": int((~reached).sum())}


def _correlations(outcomes: Mapping[str, _Outcome]) -> list[dict[str, Any]]:
    """Spearman's correlation of the ranks of every two strategies."""
    return [
        {
            "first": first,
            "second": second,
            "spearman": _or_none(rank_correlation(outcomes[first].ranks, outcomes[second].ranks)),
        }
        for first, second in combinations(outcomes, 2)
    ]


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
