"""``rrtool evaluate``: rankings + ground truth → scores that carry their protocol."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rrtool import ground_truth
from rrtool.artifacts import Evaluation, Ranking, open_artifact, source_input
from rrtool.core.evaluation.evaluation import (
    MORE_RULES,
    QueryGroundTruth,
    RetrievalScores,
    mean_of_known,
    retrieval_scores,
)
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Datasets, Wanted, make
from rrtool.stages.evaluation.options import EvaluateOptions


def run(options: EvaluateOptions, progress: Progress) -> list[dict[str, Any]]:
    """Score rankings by a protocol (METHODS §10), or saliency by true boxes.

    With ``--output`` the scores of every query are recorded in an ``evaluation`` artifact.

    Returns:
        JSON-compatible scores of each artifact, with everything that they depend on.

    Raises:
        RrtoolError: an artifact or the ground truth is unusable, or they are of other images.
    """
    if options.boxes is not None:
        from rrtool.stages.evaluation import evaluate_saliency  # numba takes its time to import

        return evaluate_saliency.run(options, progress)
    source = str(options.ground_truth)
    truth = ground_truth.load(source, options.protocol)
    values: Datasets = {}
    summary, inputs, n_queries = [], [], 0
    for position, path in enumerate(options.rankings):
        with open_artifact(path, Ranking) as ranking:
            inputs.append(ranking.as_input(f"ranking {position}"))
            n_queries += ranking.lengths["q"]
            setups = _resolved(ranking, truth, progress)
            if options.dry_run:
                continue
            scores = _evaluate(ranking, truth.protocol, setups, options)
            rules = truth.describe() | (MORE_RULES if options.scores == "all" else {})
            summary.append(_summary(ranking, scores, rules))
        missing = max(each.n_missing_positives for each in scores)
        if missing:
            progress.message(
                f"{path}: {missing} positives of the ground truth are not in the database"
                " and take no part; these are not the scores of the full benchmark"
            )
        n_left_out = min(each.n_left_out for each in scores)
        if 2 * n_left_out >= scores[0].n_queries > 0:
            progress.message(
                f"{path}: {n_left_out} of {scores[0].n_queries} queries have nothing to find in the"
                " database, and take no part"
            )
        values |= _of_queries(position, scores, options)
    if options.output is not None:
        columns = Evaluation.columns(scores=values)
        make(
            options, Wanted(options.output, Evaluation, _settings(options)),
            lambda outputs: outputs[0].publish(columns, extra={"rankings": summary}), progress,
            amount=lambda outputs: Amount(n_queries, "queries"),
            inputs=[*inputs, source_input("ground-truth", source)],
        )  # fmt: skip
    elif options.dry_run:
        progress.message("without -o nothing is written")
    return summary


def _resolved(
    ranking: Ranking, truth: ground_truth.GroundTruthSource, progress: Progress
) -> Mapping[str, Sequence[QueryGroundTruth]]:
    """What each query should find, by setup of the protocol."""
    return ground_truth.resolve(
        truth, ranking.query_names, ranking.database_names, ranking.query_boxes, progress.message
    )


def _settings(options: EvaluateOptions) -> dict[str, Any]:
    """What tells one evaluation from another; without the defaults of newer options."""
    more = {"all": True} if options.scores != "short" else {}
    return {"cutoffs": list(options.at), **more}


def _evaluate(
    ranking: Ranking,
    protocol: str,
    setups: Mapping[str, Sequence[QueryGroundTruth]],
    options: EvaluateOptions,
) -> list[RetrievalScores]:
    """One per setup of the protocol."""
    ids = ranking.ids
    try:
        return [
            retrieval_scores(
                ids, queries, protocol=protocol, setup=setup, cutoffs=options.at,
                scores=ranking.scores if options.scores == "all" else None,
            )
            for setup, queries in setups.items()
        ]  # fmt: skip
    except ValueError as error:
        raise ranking.damaged(error) from None


def _of_queries(
    position: int, all_scores: Sequence[RetrievalScores], options: EvaluateOptions
) -> Datasets:
    values = {}
    for scores in all_scores:
        at_cutoffs = {"precisions": scores.query_precisions}
        if options.scores == "all":
            at_cutoffs |= {
                "average_precisions": scores.query_truncated, "recalls": scores.query_recalls
            }  # fmt: skip
        base = f"{position}/{scores.setup}"
        values[f"{base}/average_precisions"] = scores.average_precisions
        for name, by_cutoff in at_cutoffs.items():
            values |= {f"{base}/{name}_at_{k}": found for k, found in by_cutoff.items()}
    return values


def _summary(
    ranking: Ranking, all_scores: Sequence[RetrievalScores], rules: dict[str, str]
) -> dict[str, Any]:
    """JSON-compatible scores, with everything they depend on.

    Args:
        rules: of the protocol: what counts as positive and as junk, how precision is averaged.
    """
    return {
        "ranking": ranking.path,
        "description": ranking.described(),
        "rules": rules,
        "scores": [
            {
                "protocol": scores.protocol,
                "setup": scores.setup,
                **_means(scores),
                "n_queries": scores.n_queries,
                "n_left_out": scores.n_left_out,
                "n_missing_positives": scores.n_missing_positives,
            }
            for scores in all_scores
        ],
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
    return {name: None if np.isnan(value) else float(value) for name, value in found.items()}
