"""Classes of some photos, spread over the graph of regions (thesis §6.3.1, eq. 3.8–3.9)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from rrtool.core.diffusion.conjugate_gradients import solve
from rrtool.core.diffusion.graph import normalize

_ALPHA = 0.99


@dataclass(frozen=True)
class Classes:
    """A class for each of several things.

    Attributes:
        classes: ``(m,)`` int32, −1 where no label reaches.
        shares: ``(m,)`` float32, of all that reaches it, what is of this class; 0 where nothing is.
    """

    classes: np.ndarray
    shares: np.ndarray

    @staticmethod
    def of(mass: np.ndarray) -> Classes:
        """The largest of each row ``(m, c)``, of equal ones the first."""
        total = mass.sum(axis=1)
        is_reached = total > 0
        best = mass.argmax(axis=1) if mass.shape[1] else np.zeros(len(mass), dtype=np.int64)
        largest = mass.max(axis=1, initial=0)
        shares = np.divide(largest, total, out=np.zeros(len(mass)), where=is_reached)
        return Classes(np.where(is_reached, best, -1).astype(np.int32), shares.astype(np.float32))


def spread_labels(
    adjacency: sparse.csr_array, images: np.ndarray, labels: np.ndarray, n_classes: int
) -> np.ndarray:
    """How much of each class reaches each region.

    Every region of a labelled photo starts with its class, clutter too: what of it other photos of
    the class share adds up, the rest finds nobody. Photos start alike, however many regions they
    have, and so do classes, however many photos.

    Args:
        adjacency: ``(r, r)`` symmetric weights of the region graph.
        images: ``(r,)`` the photo of each region.
        labels: ``(n,)`` the class of each photo, −1 for none.

    Returns:
        ``(r, n_classes)`` float64, rows of sum 1, or 0 where nothing reaches a region.
    """
    of_region = labels[images]
    start = np.zeros((len(images), n_classes))
    labeled = np.flatnonzero(of_region >= 0)
    start[labeled, of_region[labeled]] = 1 / np.bincount(images, minlength=1)[images[labeled]]
    start /= np.maximum(start.sum(axis=0), np.finfo(float).tiny)
    reached = np.maximum(solve(normalize(adjacency), (1 - _ALPHA) * start, _ALPHA).x, 0)
    # By the largest first: what long chains leave would sum to subnormals.
    largest = reached.max(axis=1, initial=0, keepdims=True)
    scaled = reached / np.where(largest > 0, largest, 1)
    total = scaled.sum(axis=1, keepdims=True)
    return scaled / np.where(total > 0, total, 1)


def classes_of_objects(mass: np.ndarray, offsets: np.ndarray, regions: np.ndarray) -> Classes:
    """The class of each object, by all regions that show it alike.

    Args:
        mass: ``(r, c)`` of ``spread_labels``.
        offsets, regions: of the objects.
    """
    sums = [mass[regions[start:stop]].sum(axis=0) for start, stop in pairwise(offsets.tolist())]
    return Classes.of(np.array(sums).reshape(len(sums), mass.shape[1]))
