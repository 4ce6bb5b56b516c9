"""What propagated labels say of images that are not on the graph."""

import numpy as np

from rrtool.core.diffusion.knn import KnnOptions, Searcher


def propagate_to(
    queries: np.ndarray,
    vectors: np.ndarray,
    probabilities: np.ndarray,
    k: int,
    *,
    gamma: float = 3.0,
    device: str = "cpu",
) -> np.ndarray:
    """The mean of the k nearest images' probabilities, weighted as edges of the graph are (2.1).

    Args:
        queries, vectors: ``(q, d)`` and ``(n, d)`` float32, l2-normalised or zero.
        probabilities: ``(n, c)``, from ``propagate_labels``.

    Returns:
        ``(q, c)`` float32; a row is zero where none of the nearest is similar, or reached.
    """
    searcher = Searcher(vectors, KnnOptions(k=min(k, len(vectors)), device=device))
    ids, similarities = searcher.search(queries, min(k, len(vectors)))
    weights = np.maximum(similarities, 0) ** gamma
    found = np.einsum("qk,qkc->qc", weights, probabilities[ids])
    totals = found.sum(axis=1, keepdims=True)
    return (found / np.where(totals > 0, totals, 1)).astype(np.float32)
