"""How far two acquisition strategies lead to the same pseudo-labels (thesis §3.6, table 3.4)."""

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


def measure_agreement(
    labels: tuple[np.ndarray, np.ndarray], weights: tuple[np.ndarray, np.ndarray], truth: np.ndarray
) -> dict[str, float]:
    """Compare the pseudo-labels of a strategy with those of the reference: a row of table 3.4.

    Args:
        labels: ``(m,)`` each: of the strategy, of the reference.
        weights: ``(m,)`` each, β (3.10); all weights below are the mean of both.
        truth: ``(m,)`` true labels.

    Returns:
        By name, NaN where a subset is empty; ŷ and ŷ_ref the pseudo-labels, t the truth:
        n_images: unlabelled images compared.
        share: of them on whose pseudo-labels both agree, unweighted.
        weighted: the same weighted (3.13), A_w(ŷ, ŷ_ref).
        accuracy, accuracy_reference: A_w(ŷ, t) and A_w(ŷ_ref, t).
        accuracy_agree: of both, where they agree.
        accuracy_disagree, accuracy_disagree_reference: of each, where they disagree.
        weight_agree, weight_disagree: mean weights there.
    """
    own, reference, truth = *map(np.asarray, labels), np.asarray(truth)
    w = (np.asarray(weights[0], dtype=np.float64) + np.asarray(weights[1])) / 2
    same = own == reference
    differ = ~same
    return {
        "n_images": len(truth),
        "share": _mean(same),
        "weighted": weighted_accuracy(own, reference, w),
        "accuracy": weighted_accuracy(own, truth, w),
        "accuracy_reference": weighted_accuracy(reference, truth, w),
        "accuracy_agree": weighted_accuracy(own[same], truth[same], w[same]),
        "accuracy_disagree": weighted_accuracy(own[differ], truth[differ], w[differ]),
        "accuracy_disagree_reference": weighted_accuracy(
            reference[differ], truth[differ], w[differ]
        ),
        "weight_agree": _mean(w[same]),
        "weight_disagree": _mean(w[differ]),
    }


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
