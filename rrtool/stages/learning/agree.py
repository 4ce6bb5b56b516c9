"""``rrtool al-agree``: do acquisition strategies lead to the same pseudo-labels? (thesis §3.6)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from rrtool.artifacts import Artifact, Provenance, create, encode_texts, open_artifact
from rrtool.core.learning import acquisition
from rrtool.core.learning.agreement import (
    acquisition_ranks,
    measure_agreement,
    rank_correlation,
)
from rrtool.core.learning.joint_label_propagation import (
    acquire_joint_propagation,
    manifold_similarity,
)
from rrtool.core.learning.label_propagation import (
    PseudoLabels,
    feature_graph,
    propagate_labels,
)
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Progress
from rrtool.stages.learning.truth import read_truth, truth_input

STRATEGIES = ("random", "entropy", "coreset", "jlp")


@dataclass(frozen=True)
class AgreeOptions:
    """Options of ``al-agree``.

    Attributes:
        strategies: those compared with the reference.
        reference: the strategy they are compared with.
        budget: images that each acquires; None: as many as the state has acquired.
        k: neighbours in the graph of features.
        max_iter: of the label propagation.
        seed: of the random strategy and of ties.
        device: of search and label propagation.
    """

    strategies: tuple[str, ...] = ("random", "coreset", "jlp")
    reference: str = "entropy"
    budget: int | None = None
    k: int = 50
    max_iter: int = 20
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in (*self.strategies, self.reference):
            if name not in STRATEGIES:
                raise UsageError("unknown strategy", expected=", ".join(STRATEGIES), found=name)
        if not self.strategies or len(set(self.all())) < len(self.all()):
            raise UsageError(
                "bad --strategies",
                expected=f"some strategies, each once, other than {self.reference}",
                found=",".join(self.strategies) or "none",
            )
        for name, least in (("k", 1), ("max_iter", 1), ("seed", 0)):
            if getattr(self, name) < least:
                raise UsageError(
                    f"bad --{name.replace('_', '-')}",
                    expected=f"at least {least}",
                    found=getattr(self, name),
                )
        if self.budget is not None and self.budget < 1:
            raise UsageError("bad --budget", expected="at least 1", found=self.budget)

    def all(self) -> tuple[str, ...]:
        """The reference first."""
        return (self.reference, *self.strategies)


@dataclass(frozen=True)
class _Study:
    """What the strategies choose from.

    Attributes:
        features, probabilities: ``(n, …)`` of all images.
        labels: ``(n,)`` int32 of the state, −1 = none.
        truth: ``(n,)`` int32, −1 = unknown.
        pool_ids: ``(u,)`` usable images without a label, of known truth.
        class_names: of the ``c`` classes.
    """

    features: np.ndarray
    probabilities: np.ndarray
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


def run(
    state: str,
    output: str | Path,
    options: AgreeOptions,
    *,
    truth: str,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Acquire by every strategy, propagate the labels, and compare with the reference.

    Ranks are by each strategy's score before its first pick: entropy, distance to the nearest
    labelled image, manifold similarity (the smallest first), or a permutation (random). Compared
    are the images that neither strategy acquired and that both propagations reach.

    Args:
        state: an ``al-state`` artifact.
        truth: of the labels, see ``read_truth``.

    Returns:
        The path of the ``al-agreement`` artifact.

    Raises:
        RrtoolError: the state or the truth is unusable, or the budget larger than the pool.
    """
    device = resolve_device(options.device)
    with open_artifact(state, "al-state") as source:
        names = source.read_texts("names")
        study = _read_study(source, names, truth, progress)
        options = _with_budget(options, source, len(study.pool_ids))
        identity = {key: value for key, value in asdict(options).items() if key != "device"}
        records = [
            source.as_input("state"),
            truth_input(truth),
        ]
        provenance = Provenance(
            "al-agreement",
            {**identity, "strategies": list(options.strategies)},
            records,
            source.network,
            device,
        )
        cycle = source.extra.get("cycle")
    with create(output, provenance, overwrite=overwrite) as target:
        if target.is_current:
            progress.message(f"{target.path} is up to date")
            return target.path
        outcomes = _outcomes(study, options, device, progress)
        extra = {
            "cycle": cycle,
            "n_labeled": len(study.labeled_ids),
            "n_pool": len(study.pool_ids),
            "agreement": _agreement_rows(study, options, outcomes),
            "correlations": _correlations(outcomes),
            "class_names": study.class_names,
        }
        return target.publish(
            {**encode_texts(names, "names"), **_columns(study, outcomes)}, extra=extra
        )


def _with_budget(options: AgreeOptions, state: Artifact, n_pool: int) -> AgreeOptions:
    budget = options.budget
    if budget is None:
        budget = state.shape("acquired_ids")[0] if "acquired_ids" in state else 0
        if not budget:
            raise UsageError(
                "the state has acquired nothing", where=state.path, todo="say --budget"
            )
    if budget > n_pool:
        raise UsageError(
            "bad --budget",
            where=state.path,
            expected=f"at most the {n_pool} unlabelled images of known truth",
            found=budget,
        )
    return replace(options, budget=budget)


def _read_study(state: Artifact, names: list[str], truth: str, progress: Progress) -> _Study:
    columns = {name: state.read(name) for name in ("features", "probabilities", "labels", "status")}
    class_names = state.read_texts("class_names")
    n = len(names)
    shapes = {name: values.shape for name, values in columns.items()}
    fits = all(shape[:1] == (n,) for shape in shapes.values())
    if not fits or shapes["probabilities"] != (n, len(class_names)):
        raise ArtifactError(
            "damaged state",
            where=state.path,
            expected=f"{n} rows, {len(class_names)} classes",
            found=", ".join(f"{name} {shape}" for name, shape in shapes.items()),
            todo="make it again",
        )
    labels, usable = columns["labels"].astype(np.int32), columns["status"] == 0
    true_labels = read_truth(truth, names, class_names)
    unlabeled = usable & (labels < 0)
    if n_unknown := int((unlabeled & (true_labels < 0)).sum()):
        progress.message(f"{n_unknown} unlabelled images have no true label and take no part")
    return _Study(
        np.where(usable[:, None], columns["features"], 0),
        columns["probabilities"],
        np.where(usable, labels, -1),
        true_labels,
        np.flatnonzero(unlabeled & (true_labels >= 0)),
        class_names,
    )


def _outcomes(
    study: _Study, options: AgreeOptions, device: str, progress: Progress
) -> dict[str, _Outcome]:
    graph = feature_graph(study.features, k=options.k, device=device)
    outcomes = {}
    with progress.task("al-agree", len(options.all()), "strategies") as advance:
        for name in options.all():
            outcomes[name] = _outcome(name, study, options, graph, device)
            advance(1)
    return outcomes


def _outcome(
    name: str, study: _Study, options: AgreeOptions, graph: csr_array, device: str
) -> _Outcome:
    # A generator of its own: what others draw does not change it.
    generator = np.random.default_rng([options.seed, STRATEGIES.index(name)])
    scores = _first_scores(name, study, graph, generator)
    acquired = _acquire(name, study, options, graph, generator)
    ids = np.concatenate([study.labeled_ids, acquired])
    labels = np.concatenate([study.labels[study.labeled_ids], study.truth[acquired]])
    propagated = propagate_labels(
        graph,
        ids,
        labels,
        len(study.class_names),
        max_iterations=options.max_iter,
        device=device,
    )
    return _Outcome(acquired, acquisition_ranks(scores), propagated)


def _first_scores(
    name: str, study: _Study, graph: csr_array, generator: np.random.Generator
) -> np.ndarray:
    """By which a strategy ranks the pool before its first pick, ``(u,)``, the largest first."""
    pool = study.pool_ids
    if name == "entropy":
        return acquisition.entropy(study.probabilities[pool])
    if name == "coreset":
        return acquisition.nearest_labeled_distance(study.features, study.labeled_ids, pool)
    if name == "jlp":
        return -manifold_similarity(graph, study.labeled_ids)[pool]
    return generator.permutation(len(pool)).astype(np.float64)


def _acquire(
    name: str,
    study: _Study,
    options: AgreeOptions,
    graph: csr_array,
    generator: np.random.Generator,
) -> np.ndarray:
    pool, labeled, budget = study.pool_ids, study.labeled_ids, options.budget or 0
    if name == "entropy":
        found = acquisition.acquire_uncertain(study.probabilities, pool, budget, generator)
    elif name == "coreset":
        found = acquisition.acquire_coreset(study.features, labeled, pool, budget, generator)
    elif name == "jlp":
        found = acquire_joint_propagation(graph, labeled, pool, budget, generator)
    else:
        found = acquisition.acquire_random(pool, budget, generator)
    return found.ids


def _agreement_rows(
    study: _Study, options: AgreeOptions, outcomes: Mapping[str, _Outcome]
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
            for key, value in asdict(found).items()
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


def _columns(study: _Study, outcomes: Mapping[str, _Outcome]) -> dict[str, np.ndarray]:
    columns = {"pool_ids": study.pool_ids, "truth": study.truth}
    for name, outcome in outcomes.items():
        columns[f"acquired/{name}"] = outcome.acquired
        columns[f"ranks/{name}"] = outcome.ranks
        columns[f"pseudo_labels/{name}"] = outcome.pseudo_labels.labels
        columns[f"pseudo_weights/{name}"] = outcome.pseudo_labels.weights
    return columns
