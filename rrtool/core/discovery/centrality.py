"""Centrality of the vertices of a weighted undirected graph (thesis §5.3.7).

All functions take the symmetric non-negative adjacency ``W (n, n)`` with a zero diagonal, and
return values that are not negative and never NaN. An isolated vertex is one whose edges, if any,
weigh nothing. ``normalize_to_mean_one`` makes the measures comparable.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh_tridiagonal
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

_KRYLOV_SIZE = 20  # vectors of one Lanczos run: 160 MB a million vertices
_BREAKDOWN = 1e-13  # a new Krylov vector that is relatively smaller than this is rounding noise


@dataclass(frozen=True)
class CentralityResult:
    """Values of one measure, and how they were reached.

    Attributes:
        values: ``(n,)`` float64, >= 0, not normalised.
        n_iterations: products with the adjacency; 0 for a direct method.
        residual: relative, as each function defines it; 0 for a direct method.
        converged: the residual is within the tolerance.
    """

    values: np.ndarray
    n_iterations: int = 0
    residual: float = 0.0
    converged: bool = True


def degree(adjacency: csr_array) -> CentralityResult:
    """Sum of the weights of each vertex's edges, the diagonal of D; isolated vertices have 0."""
    return CentralityResult(_row_sums(adjacency))


def normalize_to_mean_one(values: np.ndarray) -> np.ndarray:
    """``values (n,)`` divided by their mean; all zeros (and nothing at all) stay as they are."""
    largest = values.max(initial=0.0)
    if largest == 0:
        return np.zeros(len(values))
    scaled = values / largest  # the mean of tiny values must not underflow
    return scaled / scaled.mean()


def eigenvector(
    adjacency: csr_array, *, tolerance: float = 1e-8, max_iterations: int = 1000
) -> CentralityResult:
    """Leading eigenvector of W, of Euclidean norm 1.

    Defined for every graph as the limit of the power iteration on ``W + cI`` from the vector of
    ones (the shift makes bipartite parts converge): the projection of the ones on the eigenspace
    of the largest eigenvalue. So components whose largest eigenvalue is smaller get 0; components
    that tie for it share, each in proportion to the sum of its own unit eigenvector; isolated
    vertices have 0, in a graph without edges too.

    The limit is computed by restarted Lanczos from the same vector, which stays in the power
    iteration's Krylov space and so has the same limit, in about the square root of its
    iterations. Where two components' eigenvalues agree to within the tolerance over the number of
    iterations that would tell them apart, both keep a share.

    Args:
        tolerance: largest ``‖Wx − λx‖ / λ``.
        max_iterations: most products with W.
    """
    matrix = adjacency.astype(np.float64)
    matrix.eliminate_zeros()
    x = (_row_sums(matrix) > 0).astype(np.float64)
    if not x.any():
        return CentralityResult(x)
    n_iterations, residual = 0, np.inf
    while residual > tolerance and n_iterations < max_iterations:
        size = min(_KRYLOV_SIZE, max_iterations - n_iterations)
        x, residual, n_products = _lanczos(matrix, x, size)
        n_iterations += n_products
    values = _leading_components(matrix, np.maximum(x if x.sum() > 0 else -x, 0))
    return CentralityResult(values, n_iterations, residual, residual <= tolerance)


def _lanczos(matrix: csr_array, start: np.ndarray, size: int) -> tuple[np.ndarray, float, int]:
    """The best unit vector in the Krylov space of ``start``, its relative residual, n products."""
    basis = np.empty((size, len(start)))
    diagonal, beside = np.zeros(size), np.zeros(size)
    basis[0] = start / np.linalg.norm(start)
    for j in range(size):
        product = matrix @ basis[j]
        norm = np.linalg.norm(product)
        diagonal[j] = basis[j] @ product
        for _ in range(2):  # once more, for rounding would bring back what has been removed
            product -= (basis[: j + 1] @ product) @ basis[: j + 1]
        beside[j] = np.linalg.norm(product)
        if beside[j] <= _BREAKDOWN * norm:
            beside[j] = 0.0
            break
        if j + 1 < size:
            basis[j + 1] = product / beside[j]
    values, vectors = eigh_tridiagonal(diagonal[: j + 1], beside[:j])
    residual = beside[j] * abs(vectors[-1, -1]) / values[-1]
    x = vectors[:, -1] @ basis[: j + 1]
    return x / np.linalg.norm(x), float(residual), j + 1


def _leading_components(matrix: csr_array, x: np.ndarray) -> np.ndarray:
    """``x`` with what the iteration has left on the components that don't lead set to 0.

    A leading component holds at least ``1/√n`` of the norm: the projection of the ones on its unit
    eigenvector p has the norm ``Σp >= ‖p‖ = 1``, and that of all is at most ``√n``.
    """
    n_components, labels = connected_components(matrix, directed=False)
    shares = np.sqrt(np.bincount(labels, x * x, n_components))
    leads = shares >= 0.5 / np.sqrt(np.count_nonzero(x)) * np.linalg.norm(x)
    values = np.where(leads[labels], x, 0.0)
    return values / np.linalg.norm(values)


def pagerank(
    adjacency: csr_array,
    *,
    alpha: float = 0.85,
    tolerance: float = 1e-8,
    max_iterations: int = 1000,
) -> CentralityResult:
    """Stationary distribution of the random walk ``α D^{-1} W + (1−α) J/n``, of sum 1.

    Where D^{-1} does not exist (isolated vertices) the walk goes on to any vertex with the same
    probability, as in NetworkX; all isolated vertices have the same, smallest, positive value.

    Args:
        alpha: probability of following an edge, in (0, 1).
        tolerance: largest sum of absolute differences to the exact distribution; the residual is
            the bound ``α/(1−α)`` times the last step.
        max_iterations: most steps of the power iteration.
    """
    n = adjacency.shape[0]
    if n == 0:
        return CentralityResult(np.zeros(0))
    matrix = adjacency.astype(np.float64)
    degrees = _row_sums(matrix)
    isolated = degrees == 0
    inverse = np.divide(1.0, degrees, out=np.zeros(n), where=~isolated)
    x = np.full(n, 1.0 / n)
    n_iterations, residual = 0, np.inf
    while residual > tolerance and n_iterations < max_iterations:
        jump = (alpha * x[isolated].sum() + 1.0 - alpha) / n
        following = alpha * (matrix @ (x * inverse)) + jump
        residual = float(np.abs(following - x).sum() * alpha / (1.0 - alpha))
        x = following / following.sum()
        n_iterations += 1
    return CentralityResult(x, n_iterations, residual, residual <= tolerance)


def katz(
    adjacency: csr_array,
    *,
    alpha: float = 0.99,
    tolerance: float = 1e-6,
    max_iterations: int = 100,
    device: str = "cpu",
) -> CentralityResult:
    """Solution u of ``(I − α D^{-1/2} W D^{-1/2}) u = (1−α) 1`` (eq. 5.13), by CG.

    An isolated vertex has ``1−α``, the smallest value there is.

    Args:
        alpha: in (0, 1).
        tolerance: largest ``‖b − (I − αW_n) u‖ / ‖b‖`` (the residual).
        max_iterations: most iterations of CG in all.
        device: ``cpu``, or a CUDA device.
    """
    # Here, because the other measures need neither.
    from rrtool.core.diffusion.conjugate_gradients import solve
    from rrtool.core.diffusion.graph import locality_ordering, normalize, permute

    n = adjacency.shape[0]
    if n == 0:
        return CentralityResult(np.zeros(0))
    order = locality_ordering(adjacency)
    found = solve(
        permute(normalize(adjacency), order),
        np.full(n, 1 - alpha),
        alpha,
        tolerance=tolerance,
        max_iterations=max_iterations,
        device=device,
    )
    values = np.empty(n)
    values[order] = np.maximum(found.x, 0)
    iterations, residual = int(found.n_iterations[0]), float(found.residuals[0])
    return CentralityResult(values, iterations, residual, residual <= tolerance)


def _row_sums(adjacency: csr_array) -> np.ndarray:
    return np.asarray(adjacency.sum(axis=1, dtype=np.float64)).ravel()
