"""Retrieval scores of many queries: average precisions and precisions at k, with their means."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from rrtool.core.evaluation.average_precision import (
    average_precision,
    micro_average_precision,
    precision_at,
    ranks_without_junk,
    recall_at,
    truncated_average_precision,
)

# What a score means, in words, for whoever compares it with another tool's.
SCORING_RULES = {
    "average_precision_rule": "trapezoid rule of the Oxford5k protocol, junk removed first; "
    "a positive that is not ranked adds nothing",
    "precision_rule": "share of positives among the first min(k, rank of the last positive) "
    "entries, junk removed first; among the first k where a positive is not ranked",
    "mean_rule": "over the queries with a positive in the database",
}
# Of the scores that are given on request.
MORE_RULES = {
    "mAP@k_rule": "sum of the precisions at each positive among the first k entries, over "
    "min(k, positives), junk removed first",
    "recall_rule": "share of the positives that are among the first k entries, junk removed first",
    "microAP_rule": "pairs of a query and an entry in one list by score, no entry above one that "
    "its query ranks before it, equal scores seen together, junk removed; sum of precision × "
    "recall step over all positives; every entry of a query without a positive is wrong",
}

_IRRELEVANT, POSITIVE, JUNK = 0, 1, 2


@dataclass(frozen=True, eq=False)
class QueryGroundTruth:
    """What one query should find, as row ids of the database.

    Attributes:
        positives: `(n_positives,)` int64, strictly increasing.
        junk: `(n_junk,)` int64, strictly increasing; neither right nor wrong, so left out of the
            list before ranks are counted.
        n_missing_positives: positives of the source that the database does not hold; they are
            known, and take no part in the scores.
        is_query: False for an image that is no query of the protocol; it counts nowhere.

    Raises:
        ValueError: ids are negative, not increasing, or both positive and junk.
    """

    positives: np.ndarray
    junk: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    n_missing_positives: int = 0
    is_query: bool = True

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
        query_truncated: average precisions of the first k entries (AP@k), likewise.
        query_recalls: recall at k, likewise.
        n_queries: all queries of the protocol, those left out too.
        n_left_out: queries without a positive in the database.
        n_missing_positives: positives the database does not hold, over all queries.
        micro_average_precision: of all pairs in one list; None where no scores are given.
    """

    protocol: str
    setup: str
    average_precisions: np.ndarray
    mean_average_precision: float
    precisions: dict[int, float]
    query_precisions: dict[int, np.ndarray]
    query_truncated: dict[int, np.ndarray]
    query_recalls: dict[int, np.ndarray]
    n_queries: int
    n_left_out: int
    n_missing_positives: int
    micro_average_precision: float | None = None


def retrieval_scores(
    ranks: np.ndarray,
    ground_truth: Sequence[QueryGroundTruth],
    *,
    protocol: str,
    setup: str,
    cutoffs: Sequence[int] = (1, 5, 10),
    scores: np.ndarray | None = None,
) -> RetrievalScores:
    """Scores the ranked lists of all queries against their ground truth (thesis §2.5).

    Args:
        ranks: `(n_queries, n_ranked)` integer database ids, best first, ties resolved; -1 stands
            for no entry and is skipped wherever it is.
        ground_truth: one per row of `ranks`. A positive that is not ranked counts as not found.
        protocol: recorded in the result.
        setup: recorded in the result.
        cutoffs: the values of k for the precisions at k, and the other scores at k.
        scores: `(n_queries, n_ranked)` of the entries, for the micro average precision. An entry
            counts by the least of its own score and those before it, so that no list changes its
            order: what ranks a shortlist may be no score of what follows it.

    Raises:
        ValueError: shapes do not agree, an id is below -1, a row holds an id twice, or the score
            of an entry is NaN.
    """
    ranks = _checked_ranks(ranks, len(ground_truth))
    average_precisions = np.full(len(ranks), np.nan)
    at_cutoffs = np.full((3, len(ranks), len(cutoffs)), np.nan)
    n_queries = n_positives = n_missing = 0
    pairs = []
    for query, truth, labels in labelled(ranks, ground_truth):
        found, n = ranks_without_junk(labels == POSITIVE, labels == JUNK), len(truth.positives)
        average_precisions[query] = average_precision(found, n)
        for values, function in zip(at_cutoffs, _AT_CUTOFFS, strict=True):
            values[query] = function(found, n, cutoffs)
        n_queries, n_positives = n_queries + 1, n_positives + n
        n_missing += truth.n_missing_positives
        if scores is not None:
            pairs.append(_pairs(scores[query], labels))
    precisions, truncated, recalls = (dict(zip(cutoffs, v.T, strict=True)) for v in at_cutoffs)
    return RetrievalScores(
        protocol=protocol,
        setup=setup,
        average_precisions=average_precisions,
        mean_average_precision=mean_of_known(average_precisions),
        precisions={k: mean_of_known(values) for k, values in precisions.items()},
        query_precisions=precisions,
        query_truncated=truncated,
        query_recalls=recalls,
        n_queries=n_queries,
        n_left_out=n_queries - int((~np.isnan(average_precisions)).sum()),
        n_missing_positives=n_missing,
        micro_average_precision=None if scores is None else _micro(pairs, n_positives),
    )


_AT_CUTOFFS = precision_at, truncated_average_precision, recall_at


def _pairs(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores that never rise, and whether each entry is right, without junk."""
    kept = labels != JUNK
    return np.minimum.accumulate(scores[kept]), labels[kept] == POSITIVE


def _micro(pairs: Sequence[tuple[np.ndarray, np.ndarray]], n_positives: int) -> float:
    scores = np.concatenate([scores for scores, _ in pairs] or [np.zeros(0)])
    is_positive = np.concatenate([right for _, right in pairs] or [np.zeros(0, dtype=bool)])
    return micro_average_precision(scores, is_positive, n_positives)


def right_among_first(
    ranks: np.ndarray, ground_truth: Sequence[QueryGroundTruth], k: int
) -> np.ndarray:
    """How many positives are among the first k entries of each query, junk removed first.

    Args:
        ranks, ground_truth: see `retrieval_scores`.

    Returns:
        `(n_queries,)` float64; NaN for an image that is no query.
    """
    ranks = _checked_ranks(ranks, len(ground_truth))
    counts = np.full(len(ranks), np.nan)
    for query, _, labels in labelled(ranks, ground_truth):
        counts[query] = (labels[labels != JUNK][:k] == POSITIVE).sum()
    return counts


def labelled(
    ranks: np.ndarray, ground_truth: Sequence[QueryGroundTruth]
) -> Iterator[tuple[int, QueryGroundTruth, np.ndarray]]:
    """Each query's row and ground truth with what each of its entries is; -1 is as junk.

    Images that are no query are passed over.

    Args:
        ranks: `(n_queries, n_ranked)` as `retrieval_scores` checks them.
        ground_truth: one per row.

    Yields:
        Row, ground truth, and `(n_ranked,)` uint8: `POSITIVE`, `JUNK`, or 0.

    Raises:
        ValueError: a row holds an id twice.

    One label per database id is written and wiped query by query: a gather per row, where set
    membership would sort the row each time.
    """
    n_ids = int(ranks.max(initial=-1)) + 1
    labels = np.zeros(n_ids + 1, dtype=np.uint8)
    labels[-1] = JUNK  # where the id -1 looks: no entry is taken out as junk is
    position_of = np.empty(n_ids + 1, dtype=np.int64)
    for query, (row, truth) in enumerate(zip(ranks, ground_truth, strict=True)):
        _refuse_duplicates(row, position_of, query)
        if not truth.is_query:
            continue
        positives = truth.positives[truth.positives < n_ids]
        junk = truth.junk[truth.junk < n_ids]
        labels[positives], labels[junk] = POSITIVE, JUNK
        row_labels = labels[row]
        labels[positives] = labels[junk] = _IRRELEVANT
        yield query, truth, row_labels


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


def mean_of_known(values: np.ndarray) -> float:
    """The mean of those that are not NaN; NaN where all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
