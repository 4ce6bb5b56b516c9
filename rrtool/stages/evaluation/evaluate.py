"""``rrtool evaluate``: rankings + ground truth → scores that carry their protocol."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import Artifact, InputRecord, Provenance, create, open_artifact
from rrtool.core.evaluation.evaluation import RetrievalScores, retrieval_scores
from rrtool.errors import UsageError
from rrtool.networks.checkpoints import digest_of_file
from rrtool.progress import Progress

CUTOFFS = (1, 5, 10)


@dataclass(frozen=True)
class EvaluatedRanking:
    """Scores of one ranking.

    Attributes:
        path: of the ranking.
        description: how it was made (network, scales, query crop, …).
        scores: one per setup of the protocol.
        rules: of the protocol: what counts as positive and as junk, how precision is averaged.
    """

    path: str
    description: dict[str, Any]
    scores: list[RetrievalScores]
    rules: dict[str, str]


def run(
    rankings: Sequence[str],
    output: str | Path | None,
    *,
    ground_truth: str,
    protocol: str | None = None,
    overwrite: bool = False,
    progress: Progress,
) -> list[EvaluatedRanking]:
    """Score rankings by a protocol (METHODS §10), and record both in an ``evaluation`` artifact.

    Args:
        rankings: ``ranking`` artifacts.
        output: the artifact to write; None writes none.
        ground_truth: see ``ground_truth.load``.
        protocol: see ``ground_truth.load``.

    Raises:
        RrtoolError: a ranking or the ground truth is unusable, or they are of other images.
    """
    if not rankings:
        raise UsageError("no ranking to evaluate")
    truth = ground_truths.load(ground_truth, protocol)
    evaluated, records = [], []
    for position, path in enumerate(rankings):
        with open_artifact(path, "ranking") as ranking:
            records.append(ranking.as_input(f"ranking {position}"))
            evaluated.append(_evaluate(ranking, truth))
    _mention_missing(evaluated, progress)
    if output is not None:
        records.append(_truth_record(ground_truth))
        _write(output, evaluated, records, overwrite, progress)
    return evaluated


def _evaluate(ranking: Artifact, truth: ground_truths.GroundTruthSource) -> EvaluatedRanking:
    setups = truth.resolve(
        ranking.read_texts("query_names"),
        ranking.read_texts("database_names"),
        ranking.read("query_boxes"),
    )
    ids = ranking.read("ids")
    return EvaluatedRanking(
        ranking.path,
        ranking.extra["description"],
        [
            retrieval_scores(ids, queries, protocol=truth.protocol, setup=setup, cutoffs=CUTOFFS)
            for setup, queries in setups.items()
        ],
        truth.describe(),
    )


def _mention_missing(evaluated: Sequence[EvaluatedRanking], progress: Progress) -> None:
    for ranking in evaluated:
        missing = max(scores.n_missing_positives for scores in ranking.scores)
        if missing:
            progress.message(
                f"{ranking.path}: {missing} positives of the ground truth are not in the database"
                " and take no part; these are not the scores of the full benchmark"
            )


def _truth_record(source: str) -> InputRecord:
    if os.path.isdir(source):  # of Oxford5k: many small files
        files = sorted(Path(source).glob("*.txt"))
        lines = "".join(f"{digest_of_file(str(path))} {path.name}\n" for path in files)
        digest = hashlib.blake2b(os.fsencode(lines), digest_size=16).hexdigest()
    else:
        digest = digest_of_file(source) if os.path.isfile(source) else source
    return InputRecord("ground-truth", source, "ground-truth", "", digest)


def _write(
    output: str | Path,
    evaluated: Sequence[EvaluatedRanking],
    records: list[InputRecord],
    overwrite: bool,
    progress: Progress,
) -> None:
    provenance = Provenance("evaluation", {"cutoffs": list(CUTOFFS)}, records)
    with create(output, provenance, overwrite=overwrite) as target:
        if target.is_current:
            progress.message(f"{target.path} is up to date")
            return
        columns = {}
        for position, ranking in enumerate(evaluated):
            for scores in ranking.scores:
                base = f"{position}/{scores.setup}"
                columns[f"{base}/average_precisions"] = scores.average_precisions
                for k, values in scores.query_precisions.items():
                    columns[f"{base}/precisions_at_{k}"] = values
        target.publish(columns, extra={"rankings": summarize(evaluated)})


def summarize(evaluated: Sequence[EvaluatedRanking]) -> list[dict[str, Any]]:
    """JSON-compatible scores, each with everything it depends on."""
    return [
        {
            "ranking": ranking.path,
            "description": ranking.description,
            "rules": ranking.rules,
            "scores": [
                {
                    "protocol": scores.protocol,
                    "setup": scores.setup,
                    "mAP": _number(scores.mean_average_precision),
                    **{f"mP@{k}": _number(value) for k, value in scores.precisions.items()},
                    "n_queries": scores.n_queries,
                    "n_left_out": scores.n_left_out,
                    "n_missing_positives": scores.n_missing_positives,
                }
                for scores in ranking.scores
            ],
        }
        for ranking in evaluated
    ]


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
