"""A classifier from few labels on frozen descriptors, that learns from the unlabelled ones too.

SEMI's idea (thesis §3.3) without a network to train: labels are propagated on the graph of all
images (3.9), and a ridge classifier is fitted to all of them at once, each image with the weight of
its certainty (3.10), 1 where it is labelled. What propagation says and what the classifier says are
then joined as a product of powers whose exponents held-out labels decide; they calibrate it, too.
Measured against its parts in docs/frozen-features.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import log2

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

from rrtool.core.learning.label_propagation import PseudoLabels
from rrtool.core.retrieval.whitening import l2_normalize

Propagate = Callable[[np.ndarray, np.ndarray], PseudoLabels]
STRENGTHS = (0.1, 0.3, 1.0, 3.0)  # of the ridge
SHARES = (1.0, 0.2, 0.0)  # of pseudo-labels, beside 1 of labels
_USUAL_STRENGTH = 1  # its place
# Before any label is held out: scores of a class are about 1 where it is, and 0 elsewhere.
_USUAL_EXPONENTS = (8.0, 0.3)
_TRUST_IN_USUAL = 0.02  # of the penalty on leaving them, by the square of the ratio's logarithm
_TRUST_IN_PSEUDO = 2.0  # log-odds of a share of pseudo-labels over the next smaller one
_LEAST_SHARE = 1e-3  # of the probability that a class has whatever propagation says
_FOLDS = 5
_LARGE = 20_000_000  # entries of a matrix from which on two folds have to do


def fitted_k(n_images: int, n_labels: int) -> int:
    """Neighbours of an image in the graph that labels are propagated on.

    The more images there are to a label, the farther its label has to go: ``2 log2(n / m)``, from 4
    to 15. Without labels as with one in 16 images.
    """
    ratio = n_images / n_labels if n_labels else 16
    return int(np.clip(round(2 * log2(max(ratio, 1))), 4, 15))


def directions(descriptors: np.ndarray, center: np.ndarray) -> np.ndarray:
    """Descriptors about a centre, l2-normalised, float32; a zero descriptor stays zero."""
    found = l2_normalize(np.asarray(descriptors, dtype=np.float32) - center.astype(np.float32))
    found[~np.asarray(descriptors).any(axis=1)] = 0
    return found


@dataclass(frozen=True)
class HeldOut:
    """How well labels are told that were held out.

    Attributes:
        n: how many.
        likelihood: mean log-likelihood.
        accuracy: share that was told right.
        calibration_error: see ``expected_calibration_error``.
    """

    n: int
    likelihood: float
    accuracy: float
    calibration_error: float


@dataclass(frozen=True)
class Suspects:
    """Labels that classifier and propagation contradict together, where they were held out.

    Attributes:
        ids: ``(s,)`` int64, the surest first.
        labels: ``(s,)`` int64, what both say.
        confidences: ``(s,)`` float32, probabilities of that.
    """

    ids: np.ndarray
    labels: np.ndarray
    confidences: np.ndarray

    @staticmethod
    def none() -> Suspects:
        nothing = np.zeros(0, np.int64)
        return Suspects(nothing, nothing, nothing.astype(np.float32))


@dataclass(frozen=True)
class FewLabels:
    """What has been learnt.

    Attributes:
        weights: ``(d, c)`` float32, of the ridge classifier on ``directions``.
        strength: of the ridge.
        share: what a pseudo-label of full certainty weighs, beside 1 of a label.
        exponents: of the classifier (on the scale of its scores) and of propagation.
        pseudo: what propagation says of all images.
        probabilities: ``(n, c)`` float32 of all images, both joined.
        held_out: None where no class has two labels.
        suspects: labels for a second look; those that are alone in their class are never among
            them.
    """

    weights: np.ndarray
    strength: float
    share: float
    exponents: tuple[float, float]
    pseudo: PseudoLabels
    probabilities: np.ndarray
    held_out: HeldOut | None
    suspects: Suspects


def learn_few_labels(
    vectors: np.ndarray,
    labeled_ids: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    propagate: Propagate,
    *,
    semi: bool = True,
) -> FewLabels:
    """Fit on the labels and, with ``semi``, on what they propagate to.

    Args:
        vectors: ``(n, d)`` float32, from ``directions``.
        labeled_ids: ``(m,)``, none twice.
        labels: ``(m,)`` in ``0 … n_classes − 1``.
        propagate: from ids and labels to the pseudo-labels of all images.
    """
    held_ids, truth, evidence = [], [], []
    n_folds = 2 if len(vectors) * n_classes > _LARGE else _FOLDS
    for held in held_out_folds(labels, n_folds):
        kept = np.setdiff1d(np.arange(len(labels)), held)
        known = labeled_ids[kept], labels[kept]
        pseudo = propagate(*known)
        asked = labeled_ids[held]
        fits = [
            weights
            for share in (SHARES if semi else SHARES[-1:])
            for weights in fit_ridges(vectors, *training_set(pseudo, *known, share), n_classes)
        ]
        scores = np.stack([vectors[asked] @ weights for weights in fits])
        evidence.append((scores, pseudo.probabilities[asked]))
        held_ids.append(asked)
        truth.append(labels[held])
    place, exponents, held_out = _USUAL_STRENGTH, _USUAL_EXPONENTS, None
    suspects = Suspects.none()
    if truth:
        scores = np.concatenate([score for score, _ in evidence], axis=1)
        propagated = np.concatenate([probability for _, probability in evidence])
        true = np.concatenate(truth)
        place, exponents, held_out = _choose(scores, propagated, true)
        suspects = _suspects(np.concatenate(held_ids), true, scores[place], propagated, exponents)
    pseudo = propagate(labeled_ids, labels)
    share = SHARES[place // len(STRENGTHS)] if semi else SHARES[-1]
    strength = STRENGTHS[place % len(STRENGTHS)]
    chosen = training_set(pseudo, labeled_ids, labels, share)
    (weights,) = fit_ridges(vectors, *chosen, n_classes, (strength,))
    probabilities = joined(vectors @ weights, pseudo.probabilities, exponents)
    return FewLabels(weights, strength, share, exponents, pseudo, probabilities, held_out, suspects)


def _suspects(
    ids: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    propagated: np.ndarray,
    exponents: tuple[float, float],
) -> Suspects:
    told, spread = scores.argmax(axis=1), propagated.argmax(axis=1)
    confidences = joined(scores, propagated, exponents)[np.arange(len(ids)), told]
    doubted = (told == spread) & (told != labels) & propagated.any(axis=1) & (confidences > 0.5)
    order = np.flatnonzero(doubted)[np.argsort(-confidences[doubted], kind="stable")]
    return Suspects(ids[order], told[order], confidences[order])


def held_out_folds(labels: np.ndarray, n_folds: int = _FOLDS) -> list[np.ndarray]:
    """Places of the labels of each fold; every class keeps a label outside of it.

    Labels of a class that has no other are in none. Neither is a fold empty.
    """
    fold = np.full(len(labels), -1)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1:
            fold[members] = (np.arange(len(members)) + label) % n_folds
    folds = [np.flatnonzero(fold == number) for number in range(n_folds)]
    return [held for held in folds if len(held)]


def training_set(
    pseudo: PseudoLabels, labeled_ids: np.ndarray, labels: np.ndarray, share: float = 1.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids, labels and weights of what a classifier learns from: labels, then pseudo-labels."""
    if not share:
        return labeled_ids, labels, np.ones(len(labels), np.float32)
    usable = pseudo.weights > 0
    usable[labeled_ids] = False
    ids = np.flatnonzero(usable)
    weights = np.concatenate([np.ones(len(labels), np.float32), share * pseudo.weights[ids]])
    return np.concatenate([labeled_ids, ids]), np.concatenate([labels, pseudo.labels[ids]]), weights


def fit_ridges(
    vectors: np.ndarray,
    ids: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray,
    n_classes: int,
    strengths: Sequence[float] = STRENGTHS,
) -> Iterator[np.ndarray]:
    """``argmin_W Σ_i w_i ‖x_i W − (e_{y_i} − 1/c)‖² + λ ‖W‖²`` for each λ, ``(d, c)`` float32.

    By one eigendecomposition, of the smaller of both Gram matrices.
    """
    roots = np.sqrt(weights.astype(np.float64))[:, None]
    x = vectors[ids] * roots.astype(np.float32)
    y = (np.eye(n_classes)[labels] - 1 / n_classes) * roots
    is_dual = x.shape[0] < x.shape[1]
    values, basis = np.linalg.eigh(((x @ x.T) if is_dual else (x.T @ x)).astype(np.float64))
    right = basis.T @ (y if is_dual else x.T @ y)
    for strength in strengths:
        solution = basis @ (right / (np.maximum(values, 0) + strength)[:, None])
        yield (x.T @ solution if is_dual else solution).astype(np.float32)


def joined(
    scores: np.ndarray, propagated: np.ndarray, exponents: tuple[float, float]
) -> np.ndarray:
    """``η[exp(t s) (P + ε)^u]`` of each row, ``(n, c)`` float32; a row of zero P by s alone."""
    t, u = exponents
    return np.exp(log_softmax(t * scores + u * _evidence(propagated), axis=1)).astype(np.float32)


def _evidence(propagated: np.ndarray) -> np.ndarray:
    """``log(P + ε)``; a row that no label reaches says nothing, as all its entries are equal."""
    return np.log(np.asarray(propagated, dtype=np.float64) + _LEAST_SHARE)


def _choose(
    scores: np.ndarray, propagated: np.ndarray, truth: np.ndarray
) -> tuple[int, tuple[float, float], HeldOut]:
    """Place of share and strength, the exponents, and how well they do, by held-out likelihood."""
    found = [fit_exponents(score, propagated, truth) for score in scores]
    # As of a prior: few held-out labels are too few to tell that pseudo-labels are no good.
    doubt = _TRUST_IN_PSEUDO * (np.arange(len(found)) // len(STRENGTHS)) / len(truth)
    place = int(np.argmin([loss for _, loss in found] + doubt))
    exponents = found[place][0]
    probabilities = joined(scores[place], propagated, exponents)
    own = probabilities[np.arange(len(truth)), truth]
    held_out = HeldOut(
        len(truth),
        float(np.log(np.maximum(own, 1e-12)).mean()),
        float((probabilities.argmax(axis=1) == truth).mean()),
        expected_calibration_error(probabilities, truth),
    )
    return place, exponents, held_out


def fit_exponents(
    scores: np.ndarray, propagated: np.ndarray, truth: np.ndarray
) -> tuple[tuple[float, float], float]:
    """The exponents of the largest held-out likelihood, and the loss there.

    In logarithms, so that none is negative; a weak pull towards the usual ones decides where few
    labels, all told right, would have them grow without end.
    """
    parts, usual = (scores, _evidence(propagated)), np.log(_USUAL_EXPONENTS)
    rows = np.arange(len(truth))

    def loss(logarithms: np.ndarray) -> tuple[float, np.ndarray]:
        """And its gradient: the mean of a part under p, less that of the true class."""
        exponents, away = np.exp(logarithms), logarithms - usual
        logs = log_softmax(sum(e * part for e, part in zip(exponents, parts, strict=True)), axis=1)
        probabilities = np.exp(logs)
        slopes = [
            (np.einsum("mc,mc->", probabilities, part) - part[rows, truth].sum()) / len(rows)
            for part in parts
        ]
        own = float(-logs[rows, truth].mean() + _TRUST_IN_USUAL * (away**2).sum())
        return own, exponents * np.array(slopes) + 2 * _TRUST_IN_USUAL * away

    best = minimize(loss, usual, jac=True, method="BFGS", options={"gtol": 1e-6})
    t, u = np.exp(best.x).tolist()
    return (t, u), float(best.fun)


def expected_calibration_error(
    probabilities: np.ndarray, truth: np.ndarray, n_bins: int = 10
) -> float:
    """``Σ_b |b|/n |accuracy(b) − confidence(b)|`` over equal bins of the confidence (Guo 2017)."""
    confidence = probabilities.max(axis=1, initial=0)
    right = probabilities.argmax(axis=1) == truth
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    gaps = np.bincount(bins, right.astype(float) - confidence, n_bins)
    return float(np.abs(gaps).sum() / max(1, len(truth)))
