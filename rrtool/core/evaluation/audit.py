"""What a ranking scores under the other readings of a protocol that are in use.

Papers and programs differ in what they do with the query's own photo and with junk, in how they
add up average precision, in what they divide by and over which queries they average. One ranking
scores several points more or less by these alone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rrtool.core.evaluation.average_precision import (
    ranks_without_junk,
    truncated_average_precision,
)
from rrtool.core.evaluation.evaluation import (
    JUNK,
    POSITIVE,
    QueryGroundTruth,
    labelled,
    mean_of_known,
    retrieval_scores,
)

_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True)
class Reading:
    """A score as somebody else would count it.

    Attributes:
        reading: what is done otherwise.
        score: its name, such as ``mAP``.
        value: under this reading; NaN where no query has a positive.
        difference: to the value by the rules of the protocol.
    """

    reading: str
    score: str
    value: float
    difference: float


def audit(
    ranks: np.ndarray,
    queries: Sequence[QueryGroundTruth],
    itself: Sequence[Sequence[int]],
    cutoffs: Sequence[int] = (1, 5, 10),
) -> list[Reading]:
    """The scores of a ranking under each reading; first by the rules themselves.

    Readings of the query's own photo and of junk are left out where they change nothing.

    Args:
        ranks, cutoffs: see ``retrieval_scores``.
        queries: what each should find, by the rules.
        itself: rows of the database that are the query's own photo, of each query.

    Raises:
        ValueError: see ``retrieval_scores``.
    """
    scores = retrieval_scores(ranks, queries, protocol="", setup="", cutoffs=cutoffs)
    right = scores.mean_average_precision
    found = [("by the rules", "mAP", right)]
    found += _of_other_truths(ranks, queries, itself)
    found += _of_other_sums(ranks, queries, scores.average_precisions)
    readings = [Reading(name, score, value, value - right) for name, score, value in found]
    always = _precisions_over_k(ranks, queries, cutoffs)
    return readings + [
        Reading("over k, however few positives there are", f"mP@{k}", value,
                value - scores.precisions[k])
        for k, value in always.items()
    ]  # fmt: skip


class _Changed(Sequence[QueryGroundTruth]):
    """The ground truths with a change each, made when asked for as theirs are."""

    def __init__(
        self,
        queries: Sequence[QueryGroundTruth],
        itself: Sequence[Sequence[int]],
        change: Callable[[QueryGroundTruth, np.ndarray], tuple[np.ndarray, np.ndarray]],
    ) -> None:
        self._queries, self._itself, self._change = queries, itself, change

    def __len__(self) -> int:
        return len(self._queries)

    def __getitem__(self, query):  # untyped: a Sequence has one overload for ids, one for slices
        truth, rows = self._queries[query], np.unique(np.array(self._itself[query], dtype=np.int64))
        positives, junk = self._change(truth, rows)
        return QueryGroundTruth(positives, junk, truth.n_missing_positives, truth.is_query)

    def changes(self) -> bool:
        """Whether any of them is another one."""
        return any(
            truth.is_query
            and not (np.array_equal(truth.positives, changed.positives)
                     and np.array_equal(truth.junk, changed.junk))
            for truth, changed in zip(self._queries, self, strict=True)
        )  # fmt: skip


def _right(truth: QueryGroundTruth, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.union1d(truth.positives, rows), np.setdiff1d(truth.junk, rows)


def _wrong(truth: QueryGroundTruth, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.setdiff1d(truth.positives, rows), np.setdiff1d(truth.junk, rows)


def _out(truth: QueryGroundTruth, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.setdiff1d(truth.positives, rows), np.union1d(truth.junk, rows)


def _junk_wrong(truth: QueryGroundTruth, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return truth.positives, np.intersect1d(truth.junk, rows)


_OTHER_TRUTHS = {
    "the query's own photo counts as right": _right,
    "the query's own photo counts as wrong": _wrong,
    "the query's own photo is taken out": _out,
    "junk counts as wrong": _junk_wrong,
}


def _of_other_truths(
    ranks: np.ndarray, queries: Sequence[QueryGroundTruth], itself: Sequence[Sequence[int]]
) -> Iterator[tuple[str, str, float]]:
    for name, change in _OTHER_TRUTHS.items():
        changed = _Changed(queries, itself, change)
        if changed.changes():
            scores = retrieval_scores(ranks, changed, protocol="", setup="", cutoffs=())
            yield name, "mAP", scores.mean_average_precision


def _of_other_sums(
    ranks: np.ndarray, queries: Sequence[QueryGroundTruth], average_precisions: np.ndarray
) -> Iterator[tuple[str, str, float]]:
    by_rectangles, cut, of_found, n_queries = [], [], [], 0
    for query, truth, labels in labelled(ranks, queries):
        n, n_queries = len(truth.positives), n_queries + 1
        if n == 0:
            continue
        found, n_kept = _found(labels), int((labels != JUNK).sum())
        by_rectangles.append(truncated_average_precision(found, n, [max(n, n_kept)])[0])
        total = average_precisions[query] * n
        cut.append(total / max(1, min(n, n_kept)))
        of_found.append(total / max(1, len(found)))
    yield "area by rectangles: the precisions at the positives", "mAP", _mean(by_rectangles)
    yield "over the positives that a list of this length can hold", "mAP", _mean(cut)
    yield "over the positives that are in the list", "mAP", _mean(of_found)
    known = np.nan_to_num(average_precisions)
    every = known.sum() / n_queries if n_queries else float("nan")
    yield "mean over all queries, also those with nothing to find", "mAP", float(every)


def _precisions_over_k(
    ranks: np.ndarray, queries: Sequence[QueryGroundTruth], cutoffs: Sequence[int]
) -> dict[int, float]:
    found = [
        _found(labels) for _, truth, labels in labelled(ranks, queries) if len(truth.positives)
    ]
    return {k: _mean([np.searchsorted(each, k) / k for each in found]) for k in cutoffs}


def _found(labels: np.ndarray) -> np.ndarray:
    return ranks_without_junk(labels == POSITIVE, labels == JUNK)


def _mean(values: Sequence[float]) -> float:
    return mean_of_known(np.array(values, dtype=np.float64))
