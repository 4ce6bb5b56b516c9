"""Learn and apply a whitening of descriptors (thesis §5.3.5, eq. 5.11–5.12).

Supervised whitening is the simultaneous diagonalisation of Mikolajczyk and Matas: the covariance of
the differences of matching pairs becomes the identity, and the covariance of all descriptors
becomes diagonal, its largest entries first.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array, csr_array

_TINY = 1e-12
# Rows that are in float64 at a time: 128 MiB of 2048 dimensions.
_BLOCK_ROWS = 1 << 13


def l2_normalize(vectors: np.ndarray) -> np.ndarray:
    """Rows of unit Euclidean norm; zero rows stay zero. Shape and dtype are kept."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, _TINY).astype(vectors.dtype)


def sum_of_directions(
    blocks: Iterable[np.ndarray], total: np.ndarray, n: int = 0
) -> tuple[np.ndarray, int]:
    """Sum of l2-normalised descriptors, ``(k,)`` float64, and how many they are, added to what is
    given; blocks are ``(m, k)``. What is zero, NaN or infinite does not count."""
    for block in blocks:
        unit = l2_normalize(block[np.isfinite(block).all(axis=1)])
        total = total + unit.sum(axis=0, dtype=np.float64)
        n += int(unit.any(axis=1).sum())
    return total, n


def apply_whitening(
    descriptors: np.ndarray, mean: np.ndarray, projection: np.ndarray
) -> np.ndarray:
    """Centre, project, l2-normalise.

    Args:
        descriptors: ``(n, k)`` float32, l2-normalised.
        mean: ``(k,)``.
        projection: ``(d, k)``, the whitening matrix, rows by falling eigenvalue.

    Returns:
        ``(n, d)`` float32, a row the same whatever rows stand beside it (sums are float64). A zero
        descriptor (an image without activations) stays zero.
    """
    whitened = l2_normalize(np.subtract(descriptors, mean, dtype=np.float64) @ projection.T)
    whitened[~descriptors.any(axis=1)] = 0
    return whitened.astype(np.float32)


@dataclass(frozen=True)
class LearnedWhitening:
    """A whitening of ``k``-dimensional descriptors, all float64.

    Attributes:
        mean: ``(k,)`` μ_D of eq. 5.11.
        projection: ``(r, k)`` U_Dᵀ T_D of eq. 5.11, rows by falling eigenvalue, the entry of the
            largest magnitude of each row positive; keep the first ``d`` for ``d`` dimensions.
        eigenvalues: ``(r,)`` falling. Supervised: variance of the whitened descriptors along each
            row of ``projection``; PCA: variance of the descriptors along it, before scaling.
        rank: number of directions in which the descriptors vary. Rows of ``projection`` after the
            first ``rank`` are in no particular order.
        shrinkage: λ, by which the covariance was mixed with a multiple of the identity.
    """

    mean: np.ndarray
    projection: np.ndarray
    eigenvalues: np.ndarray
    rank: int
    shrinkage: float = 0.0


@dataclass(frozen=True)
class PairCovariance:
    """Covariance of the differences of matching pairs.

    Attributes:
        matrix: ``(k, k)`` float64, C_1 of eq. 5.12; zero without pairs.
        n_pairs: matching pairs, each counted once, none of a descriptor with itself (the latter
            would only scale C_1).
        n_independent: how many of their differences are linearly independent at most: images in
            pairs less connected components. It bounds the rank of C_1.
    """

    matrix: np.ndarray
    n_pairs: int
    n_independent: int


def covariance_of_groups(descriptors: np.ndarray, labels: np.ndarray) -> PairCovariance:
    """C_1 (eq. 5.12) where all pairs within a group match.

    The pairs of a group of m descriptors x with mean x̄ have Σ_{i<j} (x_i − x_j)(x_i − x_j)ᵀ
    = m Σ_i (x_i − x̄)(x_i − x̄)ᵀ, so the work is linear in the descriptors.

    Args:
        descriptors: ``(n, k)``, l2-normalised here; none zero.
        labels: ``(n,)`` integers; negative for a descriptor in no group.
    """
    _, members, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    rows = np.flatnonzero((labels >= 0) & (sizes[members] > 1))
    _, group, sizes = np.unique(labels[rows], return_inverse=True, return_counts=True)
    means = _group_means(descriptors, rows, group, sizes)
    scatter = np.zeros((descriptors.shape[1],) * 2)
    for block in _blocks(len(rows)):
        residuals = _unit(descriptors[rows[block]]) - means[group[block]]
        residuals *= np.sqrt(sizes[group[block], None])
        scatter += residuals.T @ residuals
    n_pairs = int((sizes * (sizes - 1) // 2).sum())
    return PairCovariance(scatter / max(n_pairs, 1), n_pairs, len(rows) - len(sizes))


def _group_means(
    descriptors: np.ndarray, rows: np.ndarray, group: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """``(n_groups, k)``; at most one group for two descriptors, so no more memory than those."""
    sums = np.zeros((len(sizes), descriptors.shape[1]))
    for block in _blocks(len(rows)):
        members = group[block]
        shape = (len(members), len(sizes))
        belongs = csr_array((np.ones(len(members)), members, np.arange(len(members) + 1)), shape)
        sums += belongs.T @ _unit(descriptors[rows[block]])
    return sums / sizes[:, None]


def covariance_of_pairs(descriptors: np.ndarray, pairs: np.ndarray) -> PairCovariance:
    """C_1 (eq. 5.12) of the pairs given.

    Args:
        descriptors: ``(n, k)``, l2-normalised here; none zero.
        pairs: ``(p, 2)`` rows of ``descriptors``, each unordered pair once.
    """
    from scipy.sparse.csgraph import connected_components

    scatter = np.zeros((descriptors.shape[1],) * 2)
    for block in _blocks(len(pairs)):
        first, second = pairs[block].T
        differences = _unit(descriptors[first]) - _unit(descriptors[second])
        scatter += differences.T @ differences
    n = len(descriptors)
    edges = coo_array((np.ones(len(pairs)), pairs.T), shape=(n, n))
    n_components = connected_components(edges, directed=False, return_labels=False) if n else 0
    return PairCovariance(scatter / max(len(pairs), 1), len(pairs), n - n_components)


def fit_supervised(
    descriptors: np.ndarray, matching: PairCovariance, shrinkage: float | None = None
) -> LearnedWhitening:
    """Supervised whitening (thesis eq. 5.11–5.12).

    μ_D is the mean of all descriptors, T_D = C_1^{-1/2}, and U_D are the eigenvectors of the
    covariance of the whole whitened set. The thesis takes those of C_0, the covariance of the
    differences of non-matching pairs. Where every pair is either matching or not, the two have
    the same eigenvectors in the same order, since |Y_0| C_0 + |Y_1| C_1 = 2n² times the covariance
    of the set and C_1 is the identity after T_D.

    C_1 is replaced by (1 − λ) C_1 + λ tr(C_1)/k I (our choice; the released code adds a multiple
    of the identity that is just large enough for a Cholesky factor). Not only where pairs are
    fewer than dimensions: with 600 pairs of 512 dimensions C_1 can be inverted, and its inverse
    is noise. Directions in which the descriptors do not vary are kept, last: another collection
    may vary in them.

    Args:
        descriptors: ``(n, k)``, l2-normalised here; none zero.
        matching: of some of these descriptors.
        shrinkage: λ in [0, 1]; None takes ``oas_shrinkage``, which falls as independent
            pairs grow in number.

    Raises:
        ValueError: there are no matching pairs, they do not differ, or C_1 is singular and is
            not to be shrunk.
    """
    mean, covariance = _mean_and_covariance(descriptors)
    within, k = matching.matrix, len(covariance)
    if not np.trace(within) > _tolerance(covariance) * np.trace(covariance):
        raise ValueError("the matching descriptors do not differ")
    if shrinkage is None:
        shrinkage = oas_shrinkage(within, matching.n_independent)
    # The count is exact, the rank finds what else is singular, up to rounding.
    if not shrinkage and (matching.n_independent < k or _rank(within) < k):
        raise ValueError(
            f"{matching.n_independent} independent matching pairs do not determine a covariance"
            f" in {k} dimensions: it must be shrunk"
        )
    shrunk = (1 - shrinkage) * within + shrinkage * np.trace(within) / k * np.eye(k)
    whitener = _inverse_square_root(shrunk)
    eigenvalues, rotation = _spectrum(whitener @ covariance @ whitener)
    projection = _with_positive_signs(rotation @ whitener)
    return LearnedWhitening(
        mean, projection, np.maximum(eigenvalues, 0), _rank(covariance), shrinkage
    )


def fit_pca(descriptors: np.ndarray, shrinkage: float | None = None) -> LearnedWhitening:
    """PCA whitening (Jégou and Chum, cited in thesis §2.5): unit variance in every direction.

    Directions of little variance are mostly noise, and would count as much as any other: so the
    covariance is shrunk as in ``fit_supervised``. Unshrunk, directions in which the descriptors
    do not vary are left out.

    Args:
        descriptors: ``(n, k)``, l2-normalised here; none zero.
        shrinkage: λ in [0, 1]; None takes ``oas_shrinkage``.
    """
    mean, covariance = _mean_and_covariance(descriptors)
    variances, basis = _spectrum(covariance)
    rank = _rank(covariance)
    if not rank:
        return LearnedWhitening(mean, basis[:0], variances[:0], 0)
    if shrinkage is None:
        shrinkage = oas_shrinkage(covariance, len(descriptors))
    kept = slice(None) if shrinkage else slice(rank)
    variances, basis = np.maximum(variances[kept], 0), basis[kept]
    scale = (1 - shrinkage) * variances + shrinkage * np.trace(covariance) / len(covariance)
    projection = _with_positive_signs(basis / np.sqrt(scale)[:, None])
    return LearnedWhitening(mean, projection, variances, rank, shrinkage)


def fit_mean(descriptors: np.ndarray) -> LearnedWhitening:
    """Centring alone: the identity after subtraction of the mean; arguments as of ``fit_pca``."""
    mean, covariance = _mean_and_covariance(descriptors)
    identity = np.eye(len(mean))
    return LearnedWhitening(mean, identity, np.diag(covariance).copy(), _rank(covariance))


def oas_shrinkage(covariance: np.ndarray, n_samples: int) -> float:
    """λ in [0, 1] of the oracle-approximating shrinkage towards a multiple of the identity.

    Chen, Wiesel, Eldar and Hero, "Shrinkage algorithms for MMSE covariance estimation" (2010),
    eq. 23. It is meant for independent Gaussian samples; differences of matching pairs are such
    only roughly.

    Args:
        covariance: ``(p, p)`` of the samples.
        n_samples: how many there were.
    """
    p = len(covariance)
    trace, trace_of_square = np.trace(covariance), np.square(covariance).sum()
    excess = (n_samples + 1 - 2 / p) * (trace_of_square - trace**2 / p)
    if excess <= 0:  # a multiple of the identity already
        return 1.0
    return float(min(1.0, ((1 - 2 / p) * trace_of_square + trace**2) / excess))


def _blocks(n_rows: int) -> Iterator[slice]:
    for start in range(0, n_rows, _BLOCK_ROWS):
        yield slice(start, start + _BLOCK_ROWS)


def _unit(descriptors: np.ndarray) -> np.ndarray:
    return l2_normalize(descriptors.astype(np.float64))


def _mean_and_covariance(descriptors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(k,)`` and ``(k, k)`` of the l2-normalised descriptors, divided by their number."""
    n, k = descriptors.shape
    mean, covariance = np.zeros(k), np.zeros((k, k))
    for block in _blocks(n):
        mean += _unit(descriptors[block]).sum(axis=0) / n
    for block in _blocks(n):
        centred = _unit(descriptors[block]) - mean
        covariance += centred.T @ centred / n
    return mean, covariance


def _spectrum(symmetric: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Falling eigenvalues, and the eigenvectors as rows."""
    eigenvalues, eigenvectors = np.linalg.eigh(symmetric)
    return eigenvalues[::-1], eigenvectors.T[::-1]


def _rank(covariance: np.ndarray) -> int:
    """Of a covariance of vectors of norm 1 or their differences."""
    eigenvalues = np.linalg.eigvalsh(covariance)
    tolerance = _tolerance(covariance)
    # A single descriptor, or copies of one, vary by rounding alone.
    is_rounding = eigenvalues[-1] <= tolerance
    return 0 if is_rounding else int((eigenvalues > tolerance * eigenvalues[-1]).sum())


def _tolerance(covariance: np.ndarray) -> float:
    """Relative size of an eigenvalue that is rounding alone."""
    return len(covariance) * np.finfo(np.float64).eps


def _inverse_square_root(covariance: np.ndarray) -> np.ndarray:
    eigenvalues, eigenvectors = _spectrum(covariance)
    return (eigenvectors.T / np.sqrt(eigenvalues)) @ eigenvectors


def _with_positive_signs(rows: np.ndarray) -> np.ndarray:
    """Each row or its opposite, so that its entry of the largest magnitude is positive."""
    columns = np.abs(rows).argmax(axis=1)
    largest = np.take_along_axis(rows, columns[:, None], axis=1)
    return np.where(largest < 0, -rows, rows)
