"""Images of several descriptors: cross-matching and pooling of regional scores (METHODS §6)."""

from itertools import pairwise

import numpy as np


def max_pooling_weights(vectors: np.ndarray, offsets: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Weights of an image's regions by generalized max pooling: ``(ΦᵀΦ + λI) w = 1``.

    Φ holds the image's descriptors as columns. Regions that resemble each other share their
    weight, so that what an image shows often does not drown what it shows once.

    Args:
        vectors: ``(r, d)`` float32, the regions of image i in rows ``offsets[i]:offsets[i+1]``.
        offsets: ``(n + 1,)``.
        ridge: λ, positive.

    Returns:
        ``(r,)`` float64.
    """
    weights = np.zeros(len(vectors))
    for first, last in pairwise(offsets.tolist()):
        phi = vectors[first:last].astype(np.float64)
        gram = phi @ phi.T + ridge * np.eye(last - first)
        weights[first:last] = np.linalg.solve(gram, np.ones(last - first))
    return weights


def sum_by_image(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Sums over the regions of each image, ``(…, r)`` → ``(…, n)``; 0 for an image without."""
    totals = np.concatenate([np.zeros((*values.shape[:-1], 1)), np.cumsum(values, -1)], axis=-1)
    return totals[..., offsets[1:]] - totals[..., offsets[:-1]]


def max_by_image(values: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Maxima over the regions of each image, ``(…, r)`` → ``(…, n)``; −inf without any."""
    counts = np.diff(offsets)
    result = np.full((*values.shape[:-1], len(counts)), -np.inf, dtype=values.dtype)
    # reduceat wants the starts of those that have regions only.
    filled = np.flatnonzero(counts)
    if len(filled):
        result[..., filled] = np.maximum.reduceat(values, offsets[filled], axis=-1)
    return result


def best_of_images(values: np.ndarray, offsets: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The region of the largest of the values ``(r,)`` in each of some images, ``(m,)`` int32.

    Each of the images has a region.
    """
    bounds = zip(offsets[images].tolist(), offsets[images + 1].tolist(), strict=True)
    found = [first + int(values[first:last].argmax()) for first, last in bounds]
    return np.array(found, np.int32)


def cross_match(
    similarities: np.ndarray, query_offsets: np.ndarray, offsets: np.ndarray
) -> np.ndarray:
    """R-Match (Razavian et al.; thesis §2.5): for each query region its best region of the image.

    Args:
        similarities: ``(v, r)`` of the query regions to the database regions.
        query_offsets: ``(q + 1,)`` regions of each query.
        offsets: ``(n + 1,)`` regions of each image.

    Returns:
        ``(q, n)``: the mean over the query's regions of the largest similarity; −inf where one
        side has no region.
    """
    return mean_by_query(max_by_image(similarities, offsets), query_offsets)


def mean_by_query(best: np.ndarray, query_offsets: np.ndarray) -> np.ndarray:
    """What the regions of each query have found of each image, averaged.

    Args:
        best: ``(v, n)`` the largest similarity of each query region to each image; −inf for an
            image without a region.
        query_offsets: ``(q + 1,)``.

    Returns:
        ``(q, n)`` float64; −inf where one side has no region.
    """
    present = best > -np.inf
    sums = sum_by_image(np.where(present, best, 0).T.astype(np.float64), query_offsets).T
    counts = np.diff(query_offsets)[:, None]
    means = np.divide(sums, counts, out=np.full_like(sums, -np.inf), where=counts > 0)
    is_empty = ~present.all(axis=0)
    means[:, is_empty] = -np.inf
    return means


def best_region(queries: np.ndarray, regions: np.ndarray, usable: np.ndarray) -> int:
    """Which region of an image is most similar to any region of a query; the first of equals.

    Args:
        queries: ``(v, d)``.
        regions: ``(r, d)``, of one image.
        usable: ``(r,)`` bool; one at least.
    """
    best = (queries @ regions.T).max(axis=0)
    return int(np.where(usable, best, -np.inf).argmax())
