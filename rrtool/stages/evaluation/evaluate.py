"""``rrtool evaluate``: rankings, saliency or objects + what is true → scores with their rules."""

from typing import Any, Protocol

from rrtool.artifacts import Evaluation, InputRecord, Objects, Ranking, open_artifact
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Datasets, Wanted, make
from rrtool.stages.evaluation.options import EvaluateOptions
from rrtool.stages.evaluation.scored import Scored


class _Scorer(Protocol):
    """Scores artifacts of some kinds.

    Attributes:
        kinds: that it scores.
        role: of these artifacts as inputs.
        counted: the length that says how much there is to do, and its name.
        settings: what tells one evaluation from another, beside its inputs.
        inputs: what is true, and other files that are read.
    """

    kinds: Any
    role: str
    counted: tuple[str, str]
    settings: dict[str, Any]
    inputs: list[InputRecord]

    def score(self, artifact: Any) -> list[Scored]: ...


def run(options: EvaluateOptions, progress: Progress) -> list[dict[str, Any]]:
    """Score rankings by a protocol (METHODS §10), or saliency and objects by boxes (§13).

    With ``--output`` the scores of every query, image or object are recorded in an ``evaluation``
    artifact.

    Returns:
        JSON-compatible scores of each artifact, with everything that they depend on.

    Raises:
        RrtoolError: an artifact or what is true is unusable, or they are of other images.
    """
    with open_artifact(options.rankings[0]) as first:
        scorer = _scorer_of(first.kind, options, progress)
    summary: list[dict[str, Any]] = []
    values: Datasets = {}
    inputs, n_items = [], 0
    for position, path in enumerate(options.rankings):
        with open_artifact(path, *scorer.kinds) as artifact:
            inputs.append(artifact.as_input(f"{scorer.role} {position}"))
            n_items += artifact.lengths[scorer.counted[0]]
            found = scorer.score(artifact)
        for scored in found:
            for line in scored.news:
                progress.message(f"{path}: {line}")
            values |= {f"{len(summary)}/{name}": each for name, each in scored.values.items()}
            summary.append(scored.summary)
    if options.output is not None:
        make(
            options, Wanted(options.output, Evaluation, scorer.settings),
            lambda outputs: outputs[0].publish(
                Evaluation.columns(scores=values), extra={_EXTRA[scorer.role]: summary}
            ),
            progress, amount=lambda outputs: Amount(n_items, scorer.counted[1]),
            inputs=[*inputs, *scorer.inputs],
        )  # fmt: skip
    elif options.dry_run:
        progress.message("without -o nothing is written")
    return summary


_EXTRA = {"ranking": "rankings", "saliency": "saliencies", "objects": "objects"}


def _scorer_of(kind: str, options: EvaluateOptions, progress: Progress) -> _Scorer:
    """By the kind of the first artifact, which all others must have.

    Raises:
        UsageError: an option is for rankings alone.
    """
    if kind == Objects.KIND or (kind != Ranking.KIND and options.boxes is not None):
        options.require_defaults(kind)
    if kind == Objects.KIND:
        from rrtool.stages.evaluation.object_scores import ObjectScorer

        return ObjectScorer(options, progress)
    if kind == Ranking.KIND or options.boxes is None:
        from rrtool.stages.evaluation.ranking_scores import RankingScorer

        return RankingScorer(options, progress)
    from rrtool.stages.evaluation.saliency_scores import SaliencyScorer  # numba takes its time

    return SaliencyScorer(options, progress)
