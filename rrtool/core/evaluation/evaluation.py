"""Retrieval scores of many queries: average precisions and precisions at k, with their means."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rrtool.core.evaluation.average_precision import (
    average_precision,
    precision_at,
    ranks_without_junk,
)

# What a score means, in words, for whoever compares it with another tool's.
SCORING_RULES = {
    "average_precision_rule": "trapezoid rule of the Oxford5k protocol, junk removed first; "
    "a positive that is not ranked adds nothing",
    "precision_rule": "share of positives among the first min(k, rank of the last positive) "
    "entries, junk removed first; among the first k where a positive is not ranked",
    "mean_rule": "over the queries with a positive in the database",
}

_IRRELEVANT, _POSITIVE, _JUNK = 0, 1, 2


@dataclass(frozen=True, eq=False)
class QueryGroundTruth:
    """What one query should find, as row ids of the database.

    Attributes:
        positives: `(n_positives,)` int64, strictly increasing.
        junk: `(n_junk,)` int64, strictly increasing; neither right nor wrong, so left out of the
            list before ranks are counted.
        n_missing_positives: positives of the source that the database does not hold; they are
            known, and take no part in the scores.

    Raises:
        ValueError: ids are negative, not increasing, or both positive and junk.
    """

    positives: np.ndarray
    junk: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    n_missing_positives: int = 0

    def __post_init__(self) -> None:
        for name in ("positives", "junk"):
            ids = np.asarray(getattr(self, name), dtype=np.int64)
            if ids.ndim != 1 or (len(ids) and (ids[0] < 0 or (np.diff(ids) <= 0).any())):
                raise ValueError(f"{name} must be strictly increasing ids, none negative")
            object.__setattr__(self, name, ids)
        both = self.junk[np.isin(self.junk, self.positives)]
        if len(both):
            raise ValueError(f"database id {both[0]} is both positive and junk")


@dataclass(frozen=True, eq=False)
class RetrievalScores:
    """Scores of one protocol in one setup; every mean is over the queries that have positives.

    Attributes:
        protocol: name of the protocol, e.g. `revisited`.
        setup: name of its setup, e.g. `medium`.
        average_precisions: `(n_queries,)` float64, NaN for the queries left out.
        mean_average_precision: NaN when all queries are left out, as are the mean precisions.
        precisions: mean precision at k by k (mP@k).
        query_precisions: `(n_queries,)` float64 by k, NaN for the queries left out.
        n_queries: all queries, those left out too.
        n_left_out: queries without a positive in the database.
        n_missing_positives: positives the database does not hold, over all queries.
    """

    protocol: str
    setup: str
    average_precisions: np.ndarray
    mean_average_precision: float
    precisions: dict[int, float]
    query_precisions: dict[int, np.ndarray]
    n_queries: int
    n_left_out: int
    n_missing_positives: int


def retrieval_scores(
    ranks: np.ndarray,
    ground_truth: Sequence[QueryGroundTruth],
    *,
    protocol: str,
    setup: str,
    cutoffs: Sequence[int] = (1, 5, 10),
) -> RetrievalScores:
    """Scores the ranked lists of all queries against their ground truth (thesis §2.5).

    Args:
        ranks: `(n_queries, n_ranked)` integer database ids, best first, ties resolved; -1 stands
            for no entry and is skipped wherever it is.
        ground_truth: one per row of `ranks`. A positive that is not ranked counts as not found.
        protocol: recorded in the result.
        setup: recorded in the result.
        cutoffs: the values of k for the precisions at k.

    Raises:
        ValueError: shapes do not agree, an id is below -1, or a row holds an id twice.
    """
    ranks = _checked_ranks(ranks, len(ground_truth))
    average_precisions = np.full(len(ranks), np.nan)
    precisions = np.full((len(ranks), len(cutoffs)), np.nan)
    n_missing = 0
    for query, (truth, found) in enumerate(_positive_ranks(ranks, ground_truth)):
        average_precisions[query] = average_precision(found, len(truth.positives))
        precisions[query] = precision_at(found, len(truth.positives), cutoffs)
        n_missing += truth.n_missing_positives
    by_cutoff = dict(zip(cutoffs, precisions.T, strict=True))
    return RetrievalScores(
        protocol=protocol,
        setup=setup,
        average_precisions=average_precisions,
        mean_average_precision=_mean_of_known(average_precisions),
        precisions={k: _mean_of_known(values) for k, values in by_cutoff.items()},
        query_precisions=by_cutoff,
        n_queries=len(ranks),
        n_left_out=int(np.isnan(average_precisions).sum()),
        n_missing_positives=n_missing,
    )


def _positive_ranks(
    ranks: np.ndarray, ground_truth: Sequence[QueryGroundTruth]
) -> Iterator[tuple[QueryGroundTruth, np.ndarray]]:
    """Each query's ground truth with the junk-free ranks of its positives.

    One label per database id is written and wiped query by query: a gather per row, where set
    membership would sort the row each time.
    """
    n_ids = int(ranks.max(initial=-1)) + 1
    labels = np.zeros(n_ids + 1, dtype=np.uint8)
    labels[-1] = _JUNK  # where the id -1 looks: no entry is taken out as junk is
    position_of = np.empty(n_ids + 1, dtype=np.int64)
    for query, (row, truth) in enumerate(zip(ranks, ground_truth, strict=True)):
        _refuse_duplicates(row, position_of, query)
        positives = truth.positives[truth.positives < n_ids]
        junk = truth.junk[truth.junk < n_ids]
        labels[positives], labels[junk] = _POSITIVE, _JUNK
        row_labels = labels[row]
        labels[positives] = labels[junk] = _IRRELEVANT
        yield truth, ranks_without_junk(row_labels == _POSITIVE, row_labels == _JUNK)


def _refuse_duplicates(row: np.ndarray, position_of: np.ndarray, query: int) -> None:
    """`position_of` is scratch space: an id's second entry overwrites its first one's position."""
    ids = row[row >= 0]
    positions = np.arange(len(ids))
    position_of[ids] = positions
    repeated = ids[position_of[ids] != positions]
    if len(repeated):
        raise ValueError(f"query {query} ranks database id {repeated[0]} more than once")


def _checked_ranks(ranks: np.ndarray, n_queries: int) -> np.ndarray:
    ranks = np.asarray(ranks)
    if ranks.ndim != 2 or len(ranks) != n_queries:
        raise ValueError(f"ranks have shape {ranks.shape}, expected ({n_queries}, n_ranked)")
    if ranks.dtype.kind not in "iu":
        raise ValueError(f"ranks must be integer ids, not {ranks.dtype}")
    if ranks.min(initial=0) < -1:
        raise ValueError("ranks hold an id below -1")
    return ranks


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
