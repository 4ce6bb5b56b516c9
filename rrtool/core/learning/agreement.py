"""How far two acquisition strategies lead to the same pseudo-labels (thesis §3.6, table 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata


def weighted_accuracy(z: np.ndarray, z2: np.ndarray, weights: np.ndarray) -> float:
    """``A_w(z, z') = Σ_i η[w]_i δ(z_i, z'_i)`` (eq. 3.13); NaN where no weight is positive.

    Args:
        z, z2: ``(m,)`` class labels.
        weights: ``(m,)``, not negative.
    """
    weights = np.asarray(weights, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError("a weight is negative")
    total = weights.sum()
    return float(weights[np.asarray(z) == np.asarray(z2)].sum() / total) if total else float("nan")


@dataclass(frozen=True)
class Agreement:
    """One strategy against a reference: a row of table 3.4. NaN where a subset is empty.

    Attributes:
        n_images: unlabelled images compared.
        share: of them on whose pseudo-labels both agree, unweighted.
        weighted: the same weighted (3.13), A_w(ŷ, ŷ_ref); all weights here are the mean of both.
        accuracy: A_w(ŷ, t) of the strategy against the truth.
        accuracy_reference: A_w(ŷ_ref, t).
        accuracy_agree: of both, where they agree.
        accuracy_disagree: of the strategy, where they disagree.
        accuracy_disagree_reference: of the reference there.
        weight_agree, weight_disagree: mean weights there.
    """

    n_images: int
    share: float
    weighted: float
    accuracy: float
    accuracy_reference: float
    accuracy_agree: float
    accuracy_disagree: float
    accuracy_disagree_reference: float
    weight_agree: float
    weight_disagree: float


def measure_agreement(
    labels: tuple[np.ndarray, np.ndarray],
    weights: tuple[np.ndarray, np.ndarray],
    truth: np.ndarray,
) -> Agreement:
    """Compare the pseudo-labels of a strategy with those of the reference.

    Args:
        labels: ``(m,)`` each: of the strategy, of the reference.
        weights: ``(m,)`` each, β (3.10).
        truth: ``(m,)`` true labels.
    """
    own, reference, truth = *map(np.asarray, labels), np.asarray(truth)
    w = (np.asarray(weights[0], dtype=np.float64) + np.asarray(weights[1])) / 2
    same = own == reference
    differ = ~same
    return Agreement(
        n_images=len(truth),
        share=_mean(same),
        weighted=weighted_accuracy(own, reference, w),
        accuracy=weighted_accuracy(own, truth, w),
        accuracy_reference=weighted_accuracy(reference, truth, w),
        accuracy_agree=weighted_accuracy(own[same], truth[same], w[same]),
        accuracy_disagree=weighted_accuracy(own[differ], truth[differ], w[differ]),
        accuracy_disagree_reference=weighted_accuracy(reference[differ], truth[differ], w[differ]),
        weight_agree=_mean(w[same]),
        weight_disagree=_mean(w[differ]),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def acquisition_ranks(scores: np.ndarray) -> np.ndarray:
    """Ranks from 1, the largest score first, ties the mean of their ranks; ``(m,)`` float64."""
    return rankdata(-np.asarray(scores, dtype=np.float64))


def rank_correlation(ranks: np.ndarray, ranks2: np.ndarray) -> float:
    """Spearman's correlation: Pearson's of ranks in which ties have their mean rank.

    NaN with fewer than two images, or where one side is all ties.
    """
    centred = [np.asarray(side, dtype=np.float64) - np.mean(side) for side in (ranks, ranks2)]
    norms = np.linalg.norm(centred[0]) * np.linalg.norm(centred[1])
    return float(np.dot(*centred) / norms) if norms else float("nan")
