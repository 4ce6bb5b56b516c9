"""Average precision, and precision and recall at k, of one ranked list without its junk (§2.5)."""

from collections.abc import Sequence

import numpy as np


def ranks_without_junk(is_positive: np.ndarray, is_junk: np.ndarray) -> np.ndarray:
    """Ranks of the positives of one list once its junk entries are taken out.

    Args:
        is_positive: `(n_ranked,)` bool, best first.
        is_junk: `(n_ranked,)` bool; an entry that is both is junk.

    Returns:
        `(n_found,)` int64, 0-based, increasing.
    """
    return np.flatnonzero(is_positive[~is_junk])


def average_precision(positive_ranks: np.ndarray, n_positives: int) -> float:
    """Area under the precision/recall curve by the trapezoid rule of the Oxford5k protocol.

    Philbin et al. (CVPR 2007), as in the revisited benchmarks' code (Radenović et al., CVPR 2018):
    the j-th positive found at rank r adds `(p0 + p1) / 2` times the recall step `1 / n_positives`,
    where `p0 = j / r` (1 at r = 0) is the precision just before it and `p1 = (j + 1) / (r + 1)` the
    precision with it. A positive that is never ranked adds nothing.

    Args:
        positive_ranks: `(n_found,)` integers, 0-based, strictly increasing, junk not counted.
        n_positives: number of positives, ranked or not.

    Returns:
        A value in [0, 1]; NaN when there is no positive.

    Raises:
        ValueError: the ranks are negative, not increasing, or more than `n_positives`.
    """
    ranks = _checked_ranks(positive_ranks, n_positives)
    if n_positives == 0:
        return float("nan")
    n_before = np.arange(len(ranks))
    before = np.where(ranks == 0, 1.0, n_before / np.maximum(ranks, 1))
    after = (n_before + 1) / (ranks + 1)
    return float((before + after).sum() / (2 * n_positives))


def precision_at(
    positive_ranks: np.ndarray, n_positives: int, cutoffs: Sequence[int]
) -> np.ndarray:
    """Precision at each cutoff `k`, or at the rank of the last positive when that comes first.

    Shortening k to the last positive is the revisited benchmarks' rule: a query with three
    positives can still reach a precision of 1 at 10. Their code only ever sees complete rankings;
    in a truncated one a positive that is not ranked lies beyond the end, so k is not shortened
    then. This way a list cut at k or later scores what the complete list would.

    Args:
        positive_ranks: `(n_found,)` integers, 0-based, strictly increasing, junk not counted.
        n_positives: number of positives, ranked or not.
        cutoffs: the values of k, each at least 1.

    Returns:
        `(len(cutoffs),)` float64 in [0, 1]; NaN when there is no positive.

    Raises:
        ValueError: a cutoff is below 1, or the ranks are invalid (see `average_precision`).
    """
    ranks, depths = _checked_ranks(positive_ranks, n_positives), _checked_cutoffs(cutoffs)
    if n_positives == 0:
        return np.full(len(depths), np.nan)
    if len(ranks) == n_positives:
        depths = np.minimum(depths, ranks[-1] + 1)
    return np.searchsorted(ranks, depths) / depths


def truncated_average_precision(
    positive_ranks: np.ndarray, n_positives: int, cutoffs: Sequence[int]
) -> np.ndarray:
    """Average precision of the first k entries, by rectangles (AP@k).

    `Σ_{r < k} (j + 1) / (r + 1) / min(k, n_positives)` over the positives at ranks r, as for the
    Google Landmarks and ILIAS: the most that k entries can hold scores 1.

    Args and errors are those of `precision_at`.

    Returns:
        `(len(cutoffs),)` float64 in [0, 1]; NaN when there is no positive.
    """
    ranks, depths = _checked_ranks(positive_ranks, n_positives), _checked_cutoffs(cutoffs)
    if n_positives == 0:
        return np.full(len(depths), np.nan)
    sums = np.append(0.0, np.cumsum((np.arange(len(ranks)) + 1) / (ranks + 1)))
    return sums[np.searchsorted(ranks, depths)] / np.minimum(depths, n_positives)


def recall_at(positive_ranks: np.ndarray, n_positives: int, cutoffs: Sequence[int]) -> np.ndarray:
    """Share of the positives that are among the first k entries.

    Args and errors are those of `precision_at`.

    Returns:
        `(len(cutoffs),)` float64 in [0, 1]; NaN when there is no positive.
    """
    ranks, depths = _checked_ranks(positive_ranks, n_positives), _checked_cutoffs(cutoffs)
    if n_positives == 0:
        return np.full(len(depths), np.nan)
    return np.searchsorted(ranks, depths) / n_positives


def micro_average_precision(scores: np.ndarray, is_positive: np.ndarray, n_positives: int) -> float:
    """Average precision of the pairs of all queries in one list, by their scores (μAP, GAP).

    `Σ_t P(t) (R(t) − R(t − 1))` over the distinct scores t, the largest first: pairs of equal
    scores are seen together, so their order counts nothing. Pairs of queries that have nothing to
    find are wrong ones.

    Args:
        scores: `(n_pairs,)` of the pairs of a query and an entry of its list, junk left out.
        is_positive: `(n_pairs,)` bool.
        n_positives: of all queries, ranked or not.

    Returns:
        A value in [0, 1]; NaN when there is no positive.

    Raises:
        ValueError: a score is NaN, or more pairs are right than there are positives.
    """
    if np.isnan(scores).any():
        raise ValueError("a score is not a number")
    order = np.argsort(-scores)
    n_right = np.cumsum(is_positive[order])
    if len(order) and n_right[-1] > n_positives:
        raise ValueError(f"{n_right[-1]} positives are ranked, but there are {n_positives}")
    if n_positives == 0:
        return float("nan")
    ordered = scores[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], [True] * (len(order) > 0)))
    steps = np.diff(n_right[ends], prepend=0)
    return float((n_right[ends] / (ends + 1) * steps).sum() / n_positives)


def _checked_ranks(positive_ranks: np.ndarray, n_positives: int) -> np.ndarray:
    ranks = np.asarray(positive_ranks, dtype=np.int64)
    if len(ranks) > n_positives:
        raise ValueError(f"{len(ranks)} positives are ranked, but there are {n_positives}")
    if len(ranks) and (ranks[0] < 0 or (np.diff(ranks) <= 0).any()):
        raise ValueError("positive ranks must be strictly increasing from 0 or more")
    return ranks


def _checked_cutoffs(cutoffs: Sequence[int]) -> np.ndarray:
    depths = np.asarray(cutoffs, dtype=np.int64)
    if (depths < 1).any():
        raise ValueError(f"cutoffs must be at least 1, got {list(cutoffs)}")
    return depths
