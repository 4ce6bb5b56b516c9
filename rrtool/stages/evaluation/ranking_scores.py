"""The scores of one ranking: what ``evaluate`` prints, and what it stores of every query."""

from collections.abc import Mapping, Sequence
from typing import Any

from rrtool import ground_truth
from rrtool.artifacts import (
    InputRecord,
    LocalFeaturesFile,
    Ranking,
    open_artifact,
    source_input,
)
from rrtool.core.evaluation.audit import audit
from rrtool.core.evaluation.evaluation import (
    MORE_RULES,
    QueryGroundTruth,
    RetrievalScores,
    mean_of_known,
    retrieval_scores,
    right_among_first,
)
from rrtool.errors import UsageError
from rrtool.ground_truth import UKBENCH, GroundTruthSource
from rrtool.ground_truth.matching import rows_of_same
from rrtool.progress import Progress
from rrtool.stages.driver import Datasets
from rrtool.stages.evaluation.hit_regions import REGION_RULE, score_regions
from rrtool.stages.evaluation.options import EvaluateOptions
from rrtool.stages.evaluation.scored import Scored, number

Setups = Mapping[str, Sequence[QueryGroundTruth]]
_OBJECT = 4  # images of an object of UKBench


class RankingScorer:
    """Scores rankings by a protocol (METHODS §10), and verified regions by true boxes (§13)."""

    kinds = (Ranking,)
    role, counted = "ranking", ("q", "queries")

    def __init__(self, options: EvaluateOptions, progress: Progress) -> None:
        if options.ground_truth is None:
            raise UsageError("rankings are scored by what each query should find",
                             expected="--ground-truth")  # fmt: skip
        self._options, self._progress = options, progress
        self._truth = ground_truth.load(options.ground_truth, options.protocol)
        self.inputs = [source_input("ground-truth", options.ground_truth)]
        # Without the defaults of newer options, so that older evaluations stay up to date.
        self.settings: dict[str, Any] = {"cutoffs": list(options.at)}
        if options.scores == "all":
            self.settings["all"] = True
        if options.audit:
            self.settings["audited"] = True
        if options.boxes is not None:
            self.inputs += _inputs_of_regions(options.boxes, options)

    def score(self, ranking: Ranking) -> list[Scored]:
        """One row.

        Raises:
            RrtoolError: the names don't fit the ground truth, or the ranking is damaged.
        """
        names = ranking.query_names, ranking.database_names
        tell = self._progress.message
        setups = ground_truth.resolve(self._truth, *names, ranking.query_boxes, tell)
        if self._options.dry_run:
            return []
        scored = score_ranking(ranking, self._truth, setups, self._options)
        if self._options.audit:
            scored.summary["audit"] = _audit(ranking, setups, self._options.at)
        if self._options.boxes is not None:
            rows, values = score_regions(ranking, _marked(setups), self._options, tell)
            scored.summary["regions"] = rows
            scored.summary["rules"]["regions_rule"] = REGION_RULE
            scored.values.update(values)
        return [scored]


def _inputs_of_regions(boxes: str, options: EvaluateOptions) -> list[InputRecord]:
    if options.query_local is None or options.database_local is None:
        return [source_input("boxes", boxes)]
    with (
        open_artifact(options.query_local, LocalFeaturesFile) as queries,
        open_artifact(options.database_local, LocalFeaturesFile) as database,
    ):
        records = queries.as_input("query-local"), database.as_input("database-local")
    return [source_input("boxes", boxes), *records]


def _audit(ranking: Ranking, setups: Setups, cutoffs: Sequence[int]) -> list[dict[str, Any]]:
    """Rows of setup, reading, score, value and difference, JSON-compatible."""
    itself = rows_of_same(ranking.query_names, ranking.database_names)
    return [
        {"setup": setup, "reading": each.reading, "score": each.score,
         "value": number(each.value), "difference": number(each.difference)}
        for setup, queries in setups.items()
        for each in audit(ranking.ids, queries, itself, cutoffs)
    ]  # fmt: skip


def _marked(setups: Setups) -> Sequence[QueryGroundTruth]:
    """The setup whose positives are looked at: medium, or the first."""
    return setups["medium" if "medium" in setups else next(iter(setups))]


def score_ranking(
    ranking: Ranking, truth: GroundTruthSource, setups: Setups, options: EvaluateOptions
) -> Scored:
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
        entries[0]["N-S"] = number(mean_of_known(right))
        rules["N-S_rule"] = f"mean number of positives among the first {_OBJECT} entries"
    summary = {"ranking": ranking.path, "description": ranking.described(), "rules": rules,
               "scores": entries}  # fmt: skip
    return Scored(summary, values, _news(of_setups))


def _news(of_setups: Sequence[RetrievalScores]) -> list[str]:
    first, found = of_setups[0], []
    missing = max(each.n_missing_positives for each in of_setups)
    if missing:
        found.append(
            f"{missing} positives of the ground truth are not in the database"
            " and take no part; these are not the scores of the full benchmark"
        )
    n_left_out = min(each.n_left_out for each in of_setups)
    if 2 * n_left_out >= first.n_queries > 0:
        found.append(
            f"{n_left_out} of {first.n_queries} queries have nothing to find in the"
            " database, and take no part"
        )
    return found


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
    return {name: number(value) for name, value in found.items()}
