"""The scores of one ranking: what ``evaluate`` prints, and what it stores of every query."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import Ranking
from rrtool.core.evaluation.evaluation import (
    MORE_RULES,
    QueryGroundTruth,
    RetrievalScores,
    mean_of_known,
    retrieval_scores,
    right_among_first,
)
from rrtool.ground_truth import UKBENCH, GroundTruthSource
from rrtool.stages.driver import Datasets
from rrtool.stages.evaluation.options import EvaluateOptions

Setups = Mapping[str, Sequence[QueryGroundTruth]]
_OBJECT = 4  # images of an object of UKBench


@dataclass(frozen=True)
class RankingScores:
    """Scores of one ranking.

    Attributes:
        summary: JSON-compatible, with everything that the scores depend on.
        values: of every query, by ``<setup>/<score>``.
        of_setups: one a setup of the protocol.
    """

    summary: dict[str, Any]
    values: Datasets
    of_setups: Sequence[RetrievalScores]

    @property
    def news(self) -> list[str]:
        """What people should know about these scores."""
        first, found = self.of_setups[0], []
        missing = max(each.n_missing_positives for each in self.of_setups)
        if missing:
            found.append(
                f"{missing} positives of the ground truth are not in the database"
                " and take no part; these are not the scores of the full benchmark"
            )
        n_left_out = min(each.n_left_out for each in self.of_setups)
        if 2 * n_left_out >= first.n_queries > 0:
            found.append(
                f"{n_left_out} of {first.n_queries} queries have nothing to find in the"
                " database, and take no part"
            )
        return found


def score_ranking(
    ranking: Ranking, truth: GroundTruthSource, setups: Setups, options: EvaluateOptions
) -> RankingScores:
    """The scores by each setup of a protocol.

    Raises:
        ArtifactError: the ranking is damaged, or does not say how it was made.
    """
    ids, more = ranking.ids, options.scores == "all"
    try:
        of_setups = [
            retrieval_scores(
                ids, queries, protocol=truth.protocol, setup=setup, cutoffs=options.at,
                scores=ranking.scores if more else None,
            )
            for setup, queries in setups.items()
        ]  # fmt: skip
    except ValueError as error:
        raise ranking.damaged(error) from None
    rules = truth.describe() | (MORE_RULES if more else {})
    entries = [_entry(scores) for scores in of_setups]
    values: Datasets = {}
    for scores in of_setups:
        values |= _of_queries(scores, more)
    if truth.protocol == UKBENCH:
        right = right_among_first(ids, setups["all"], _OBJECT)
        values[f"all/right_among_first_{_OBJECT}"] = right
        entries[0]["N-S"] = _number(mean_of_known(right))
        rules["N-S_rule"] = f"mean number of positives among the first {_OBJECT} entries"
    summary = {"ranking": ranking.path, "description": ranking.described(), "rules": rules,
               "scores": entries}  # fmt: skip
    return RankingScores(summary, values, of_setups)


def _of_queries(scores: RetrievalScores, more: bool) -> Datasets:
    at_cutoffs = {"precisions": scores.query_precisions}
    if more:
        at_cutoffs["average_precisions"] = scores.query_truncated
        at_cutoffs["recalls"] = scores.query_recalls
    values = {f"{scores.setup}/average_precisions": scores.average_precisions}
    for name, by_cutoff in at_cutoffs.items():
        values |= {f"{scores.setup}/{name}_at_{k}": found for k, found in by_cutoff.items()}
    return values


def _entry(scores: RetrievalScores) -> dict[str, Any]:
    """The means of one setup, JSON-compatible."""
    return {
        "protocol": scores.protocol,
        "setup": scores.setup,
        **_means(scores),
        "n_queries": scores.n_queries,
        "n_left_out": scores.n_left_out,
        "n_missing_positives": scores.n_missing_positives,
    }


def _means(scores: RetrievalScores) -> dict[str, float | None]:
    """By the name of the score, as the table has it."""
    found = {"mAP": scores.mean_average_precision}
    found |= {f"mP@{k}": value for k, value in scores.precisions.items()}
    if scores.micro_average_precision is not None:
        more = {"mAP": scores.query_truncated, "recall": scores.query_recalls}
        for name, by_cutoff in more.items():
            found |= {f"{name}@{k}": mean_of_known(each) for k, each in by_cutoff.items()}
        found["microAP"] = scores.micro_average_precision
    return {name: _number(value) for name, value in found.items()}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
