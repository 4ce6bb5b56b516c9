"""What diffusion reaches within a group of images, beyond their nearest neighbours."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from rrtool.core.diffusion.conjugate_gradients import solve
from rrtool.core.diffusion.diffusion import ALPHA
from rrtool.core.diffusion.graph import normalize
from rrtool.core.diffusion.verified_lists import Pairs

_COLUMNS = 64  # whose scores are held at once
_TOLERANCE, _MOST_ITERATIONS = 1e-4, 50  # an order is wanted, no digits


def reached(adjacency: sparse.csr_array, groups: np.ndarray, listed: Pairs, most: int) -> Pairs:
    """Pairs that no list has, but of which a diffusion from one puts the other among its best.

    The diffusion stays within the group, with the degrees of the whole graph (§2.4, eq. 2.7).

    Args:
        adjacency: ``(n, n)`` symmetric, not negative.
        groups: ``(n,)``; those below 0 are none.
        listed: pairs that are left out.
        most: how many are the best of an image, those of the lists among them.
    """
    n, matrix = len(groups), normalize(adjacency)
    order = np.argsort(groups, kind="stable")
    order = order[groups[order] >= 0]
    starts = np.flatnonzero(np.diff(groups[order])) + 1
    keys = [np.zeros(0, np.int64)]
    for members in np.split(order, starts):
        own = matrix[members][:, members].tocsr()
        if len(members) > 2 and own.nnz:
            keys += _reached_in(own, members.astype(np.int64), n, most)
    # Once for all: to look through the lists takes its time.
    return Pairs(np.setdiff1d(np.concatenate(keys), listed.keys), n)


def _reached_in(
    matrix: sparse.csr_array, members: np.ndarray, n_vertices: int, most: int
) -> list[np.ndarray]:
    """Keys of the pairs within one group, as ``Pairs`` has them, in no order."""
    found, size = [], len(members)
    for start in range(0, size, _COLUMNS):
        columns = np.arange(start, min(start + _COLUMNS, size))
        seeds = np.zeros((size, len(columns)), np.float32)
        seeds[columns, np.arange(len(columns))] = 1 - ALPHA
        scores = solve(
            matrix, seeds, ALPHA, tolerance=_TOLERANCE, max_iterations=_MOST_ITERATIONS
        ).x.T
        own = members[columns, None]
        keys = np.minimum(own, members) * n_vertices + np.maximum(own, members)
        scores = np.where(own == members, 0, scores)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :most]
        is_reached = np.take_along_axis(scores, best, axis=1) > 0
        found.append(np.take_along_axis(keys, best, axis=1)[is_reached])
    return found
