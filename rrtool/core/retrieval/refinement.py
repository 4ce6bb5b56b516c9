"""Refine the head of a ranking by itself (SuperGlobal: Shao et al., ICCV 2023).

Of the first M images of a query, each descriptor is averaged with its K nearest among them,

    r_i = (g_i + β Σ_{j ∈ N(i)} s_ij g_j) / (1 + β Σ_{j ∈ N(i)} s_ij),  s_ij = max(g_iᵀ g_j, 0),

and the query's becomes the largest value of each dimension over the K + 1 images whose r_i are
most similar to it, ``q' = max r_i``. What ranks them is ``(qᵀ r_i + q'ᵀ r_i) / 2``. The authors'
released code; ours is that a negative similarity counts nothing.
"""

from dataclasses import dataclass

import numpy as np

from rrtool.core.retrieval.ranking import top_rows


@dataclass(frozen=True)
class RefinementOptions:
    """How descriptors are averaged.

    Attributes:
        n_neighbors: K, at least 0; fewer where there are no more.
        weight: β, of the neighbours; at least 0.
    """

    n_neighbors: int = 9
    weight: float = 0.15


def refined_scores(query: np.ndarray, images: np.ndarray, options: RefinementOptions) -> np.ndarray:
    """Scores of the first images of a ranking.

    Args:
        query: ``(d,)`` float32, l2-normalised.
        images: ``(m, d)`` float32, likewise.

    Returns:
        ``(m,)`` float32.
    """
    if not len(images):
        return np.zeros(0, np.float32)
    refined = refine(images, options)
    first = refined @ query
    best = top_rows(first, options.n_neighbors + 1)
    return (first + refined @ refined[best].max(axis=0)) / 2


def refine(images: np.ndarray, options: RefinementOptions) -> np.ndarray:
    """Each descriptor averaged with its nearest among them, ``(m, d)`` float32."""
    n_neighbors = min(options.n_neighbors, len(images) - 1)
    weights = images @ images.T
    np.fill_diagonal(weights, np.inf)  # itself comes first, whatever equals it
    if n_neighbors < len(images) - 1:
        others = np.argpartition(-weights, n_neighbors, axis=1)[:, n_neighbors + 1 :]
        np.put_along_axis(weights, others, 0, axis=1)
    weights = np.float32(options.weight) * np.maximum(weights, 0)
    np.fill_diagonal(weights, 1)
    return (weights @ images) / weights.sum(axis=1, keepdims=True)
