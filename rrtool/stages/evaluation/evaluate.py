"""``rrtool evaluate``: rankings + ground truth → scores that carry their protocol."""

from typing import Any

from rrtool import ground_truth
from rrtool.artifacts import Evaluation, Ranking, open_artifact, source_input
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Datasets, Wanted, make
from rrtool.stages.evaluation.options import EvaluateOptions
from rrtool.stages.evaluation.ranking_scores import score_ranking


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
            names = ranking.query_names, ranking.database_names
            setups = ground_truth.resolve(truth, *names, ranking.query_boxes, progress.message)
            if options.dry_run:
                continue
            scored = score_ranking(ranking, truth, setups, options)
        for line in scored.news:
            progress.message(f"{path}: {line}")
        summary.append(scored.summary)
        values |= {f"{position}/{name}": found for name, found in scored.values.items()}
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


def _settings(options: EvaluateOptions) -> dict[str, Any]:
    """What tells one evaluation from another; without the defaults of newer options."""
    more = {"all": True} if options.scores == "all" else {}
    return {"cutoffs": list(options.at), **more}
