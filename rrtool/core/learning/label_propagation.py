"""Transductive label propagation on the graph of features (thesis §3.2, eq. 3.8–3.10)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from rrtool.core.diffusion.conjugate_gradients import solve
from rrtool.core.diffusion.graph import build_adjacency, normalize
from rrtool.core.diffusion.knn import KnnOptions, Searcher
from rrtool.core.learning.acquisition import normalized_entropy
from rrtool.core.retrieval.whitening import l2_normalize

LABEL_MASSES = ("class", "one")


@dataclass(frozen=True)
class PseudoLabels:
    """Predictions of label propagation for all images, the labelled ones included.

    Attributes:
        labels: ``(n,)`` int32, the most probable class (equal ones: the lower); −1 for a row that
            no label reaches.
        weights: ``(n,)`` float32 in [0, 1], the certainty β (3.10); 0 for such a row.
        probabilities: ``(n, c)`` float32, P (3.9); zero for such a row.
        n_iterations: ``(c,)`` int32, of the solver.
        residuals: ``(c,)`` float64, ``‖b − L_α x‖ / ‖b‖``; 0 for a class without a label.
    """

    labels: np.ndarray
    weights: np.ndarray
    probabilities: np.ndarray
    n_iterations: np.ndarray
    residuals: np.ndarray


def feature_graph(
    features: np.ndarray,
    *,
    k: int = 50,
    gamma: float = 3.0,
    symmetrize: str = "mutual",
    device: str = "cpu",
    method: str = "exact",
    tell_recall: Callable[[float], object] = lambda recall: None,
) -> sparse.csr_array:
    """The reciprocal k-nearest-neighbour graph of l2-normalised features (eq. 2.1–2.2).

    Args:
        features: ``(n, d)`` float32, finite; a zero row is an isolated vertex.
        k: neighbours of each; at most ``n − 1`` are taken.
        symmetrize: see ``build_adjacency``.
        device: of the exact search.
        method: see ``KnnOptions``.
        tell_recall: is called with the recall of an approximate search on a sample of the rows.

    Returns:
        The adjacency W ``(n, n)``, as ``build_adjacency``.

    Raises:
        ValueError: a feature is not finite.
        ImportError: an approximate method without faiss.
    """
    vectors = np.asarray(features, dtype=np.float32)
    if not np.isfinite(vectors).all():
        raise ValueError("a feature is not finite")
    n = len(vectors)
    if n < 2:
        return sparse.csr_array((n, n), dtype=np.float32)
    searcher = Searcher(l2_normalize(vectors), KnnOptions(min(k, n - 1), method, device))
    neighbor_ids, similarities = searcher.neighbors(np.arange(n))
    if method != "exact":
        tell_recall(searcher.sampled_recall())
    return build_adjacency(neighbor_ids, similarities, gamma, symmetrize)


def propagate_labels(
    adjacency: sparse.csr_array,
    labeled_ids: np.ndarray,
    labels: np.ndarray,
    n_classes: int,
    *,
    alpha: float = 0.99,
    label_mass: str = "class",
    tolerance: float = 1e-6,
    max_iterations: int = 20,
    device: str = "cpu",
) -> PseudoLabels:
    """``P = η[(1 − α) L_α^{-1} Y]`` (eq. 3.9), all classes solved for together.

    The default of 20 iterations is that of the diffusion and of the authors; at α = 0.99 it
    leaves residuals of about 1e-2 to 1e-3, which moves few labels (``residuals`` tells). What
    rounding leaves below zero counts as zero.

    Args:
        adjacency: ``(n, n)`` symmetric, not negative.
        labeled_ids: ``(m,)``, none twice.
        labels: ``(m,)`` their classes, in ``0 … n_classes − 1``.
        label_mass: what each class starts with; see ``balanced``.

    Raises:
        ValueError: ids or labels do not fit, or the mass is unknown.
    """
    if label_mass not in LABEL_MASSES:
        raise ValueError(f"unknown label mass {label_mass!r}")
    y = one_hot(labeled_ids, labels, adjacency.shape[0], n_classes)
    if label_mass == "class":
        y = balanced(y)
    solution = solve(
        normalize(adjacency),
        (1 - alpha) * y,
        alpha,
        tolerance=tolerance,
        max_iterations=max_iterations,
        device=device,
    )
    probabilities = _normalize_rows(np.maximum(solution.x, 0))
    reached = probabilities.any(axis=1)
    best = probabilities.argmax(axis=1) if n_classes else np.zeros(len(y), dtype=np.int64)
    return PseudoLabels(
        np.where(reached, best, -1).astype(np.int32),
        np.where(reached, certainty(probabilities), 0).astype(np.float32),
        probabilities.astype(np.float32),
        solution.n_iterations,
        solution.residuals,
    )


def one_hot(labeled_ids: np.ndarray, labels: np.ndarray, n: int, n_classes: int) -> np.ndarray:
    """``Y = χ(L, y)`` (eq. 3.8), ``(n, c)`` float64.

    Raises:
        ValueError: an id or a label is out of range, or an id is there twice.
    """
    ids, classes = np.asarray(labeled_ids, dtype=np.int64), np.asarray(labels, dtype=np.int64)
    if ids.shape != classes.shape or ids.ndim != 1:
        raise ValueError(f"{ids.shape} labelled images and {classes.shape} labels")
    if len(np.unique(ids)) < len(ids):
        raise ValueError("an image is labelled twice")
    if len(ids) and not (ids.min() >= 0 and ids.max() < n):
        raise ValueError(f"labelled images {ids.min()} to {ids.max()} of {n}")
    if len(ids) and not (classes.min() >= 0 and classes.max() < n_classes):
        raise ValueError(f"labels {classes.min()} to {classes.max()} of {n_classes} classes")
    y = np.zeros((n, n_classes))
    y[ids, classes] = 1
    return y


def balanced(y: np.ndarray) -> np.ndarray:
    """``Y`` with as much mass in each class: ``1/|class|`` a label, times the smallest class.

    With one 1 a label, as eq. 3.8 is printed, a class of twelve labels starts with six times the
    mass of one of two and floods it: the authors' released code divides by ``|class|``. The common
    factor, which η takes out of eq. 3.9 again, leaves classes of equal size exactly as they are.

    Args:
        y: ``(n, c)`` from ``one_hot``.

    Returns:
        ``(n, c)`` float64; classes without a label stay zero.
    """
    counts = y.sum(axis=0)
    if not counts.any():
        return y
    return y * (counts[counts > 0].min() / np.maximum(counts, 1))


def certainty(probabilities: np.ndarray) -> np.ndarray:
    """``β(p) = 1 − H(p) / log c`` of each row (eq. 3.10), in [0, 1]; 1 when there is one class."""
    return np.clip(1 - normalized_entropy(probabilities), 0, 1)


def _normalize_rows(matrix: np.ndarray) -> np.ndarray:
    """``η`` of a non-negative matrix; zero rows stay zero."""
    # By the largest entry first: the smallest values of long chains would sum to subnormals.
    largest = matrix.max(axis=1, initial=0, keepdims=True)
    scaled = matrix / np.where(largest > 0, largest, 1)
    sums = scaled.sum(axis=1, keepdims=True)
    return scaled / np.where(sums > 0, sums, 1)
