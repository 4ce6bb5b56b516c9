"""Apply a learned whitening to descriptors (thesis eq. 5.11)."""

from __future__ import annotations

import numpy as np

_TINY = 1e-12


def l2_normalize(vectors: np.ndarray) -> np.ndarray:
    """Rows of unit Euclidean norm; zero rows stay zero. Shape and dtype are kept."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, _TINY).astype(vectors.dtype)


def apply_whitening(
    descriptors: np.ndarray, mean: np.ndarray, projection: np.ndarray
) -> np.ndarray:
    """Centre, project, l2-normalise.

    Args:
        descriptors: ``(n, k)`` float32.
        mean: ``(k,)``.
        projection: ``(d, k)``, the whitening matrix, rows by falling eigenvalue.

    Returns:
        ``(n, d)`` float32. A zero descriptor (an image without activations) stays zero.
    """
    whitened = l2_normalize((descriptors - mean) @ projection.T)
    whitened[~descriptors.any(axis=1)] = 0
    return whitened.astype(np.float32)
