"""Lists of neighbours that spatial matching has looked at: verified diffusion (thesis §6.3.1).

Matching two photos is symmetric enough to be done once: each two of which one lists the other are
one pair, wherever and however often they are listed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Pairs:
    """Pairs of vertices, each once, the smaller id first, in rising order.

    Attributes:
        keys: ``(m,)`` int64, first vertex · ``n_vertices`` + second.
        n_vertices: of the graph.
    """

    keys: np.ndarray
    n_vertices: int

    @staticmethod
    def of_lists(neighbor_ids: np.ndarray) -> Pairs:
        """The pairs of which one lists the other.

        Args:
            neighbor_ids: ``(n, k)`` int32, −1 = none.
        """
        keys = _keys_of(neighbor_ids)
        return Pairs(np.unique(keys[keys >= 0]), len(neighbor_ids))

    @staticmethod
    def of_links(links: sparse.csr_array) -> Pairs:
        """The pairs that a symmetric matrix ``(n, n)`` has entries for."""
        upper = sparse.triu(links, k=1).tocoo()
        n = links.shape[0]
        return Pairs(np.sort(upper.row.astype(np.int64) * n + upper.col), n)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def ends(self) -> np.ndarray:
        """``(m, 2)`` int64 vertices."""
        return np.stack(np.divmod(self.keys, max(1, self.n_vertices)), axis=1)

    def others(self, vertices: np.ndarray, n_pairs: int, seed: int) -> Pairs:
        """Pairs that are none of these, drawn by chance; all of them where there are no more.

        Args:
            vertices: ids to draw from.
            n_pairs: how many are wanted.
        """
        generator, n = np.random.default_rng(seed), len(vertices)
        if n * (n - 1) // 2 <= 4 * (len(self) + n_pairs):
            first, second = vertices[np.stack(np.triu_indices(n, k=1))].astype(np.int64)
        else:  # of so many pairs nearly all that are drawn are different, and others
            drawn = generator.choice(vertices, (2, 2 * n_pairs)).astype(np.int64)
            first, second = np.sort(drawn[:, drawn[0] != drawn[1]], axis=0)
        found = np.unique(first * self.n_vertices + second)
        found = np.setdiff1d(found, self.keys, assume_unique=True)
        chosen = generator.permutation(len(found))[:n_pairs]
        return Pairs(found[np.sort(chosen)], self.n_vertices)

    def only(self, links: sparse.csr_array, kept: np.ndarray) -> sparse.csr_array:
        """Of the matrix that these are of only the entries of some, ``(m,)`` bool."""
        entries = links.tocoo()
        first, second = (ends.astype(np.int64) for ends in (entries.row, entries.col))
        keys = np.minimum(first, second) * self.n_vertices + np.maximum(first, second)
        good = kept[np.searchsorted(self.keys, keys)] if len(keys) else np.zeros(0, bool)
        rest = sparse.csr_array(
            (entries.data[good], (first[good], second[good])), shape=links.shape
        )
        rest.sort_indices()
        return rest

    def spread(self, values: np.ndarray, neighbor_ids: np.ndarray) -> np.ndarray:
        """Values of pairs ``(m,)``, each where a list has it, ``(n, k)``; 0 where there is none."""
        keys = _keys_of(neighbor_ids)
        places = np.searchsorted(self.keys, np.maximum(keys, 0))
        found = np.append(values, np.zeros(1, values.dtype))[places]
        return np.where(keys >= 0, found, np.zeros(1, values.dtype))

    def gathered(self, values: np.ndarray, neighbor_ids: np.ndarray) -> np.ndarray:
        """Of each pair the largest value that a list ``(n, k)`` has for it, ``(m,)``."""
        keys = _keys_of(neighbor_ids)
        found = np.zeros(len(self), dtype=values.dtype)
        is_there = keys >= 0
        np.maximum.at(found, np.searchsorted(self.keys, keys[is_there]), values[is_there])
        return found


def _keys_of(neighbor_ids: np.ndarray) -> np.ndarray:
    """Of each neighbour the key of its pair, ``(n, k)`` int64; −1 where there is none."""
    n = len(neighbor_ids)
    own, others = np.arange(n, dtype=np.int64)[:, None], neighbor_ids.astype(np.int64)
    keys = np.minimum(own, others) * n + np.maximum(own, others)
    return np.where(others >= 0, keys, -1)


@dataclass(frozen=True)
class Chance:
    """What of the pairs of neighbours is chance, as far as their inliers tell.

    Attributes:
        level: pairs with more inliers than this are kept.
        share: of all pairs of neighbours, how many match as pairs drawn by chance do.
    """

    level: int
    share: float


def chance_of(listed: np.ndarray, drawn: np.ndarray, most: float = 0.05) -> Chance:
    """The fewest inliers above which no more than a share of the pairs is chance.

    Of ``m`` pairs with more than t inliers ``π₀ m P(drawn > t) / P(listed > t)`` are expected by
    chance (Storey's estimate of the false discovery rate), π₀ being the share of the listed that
    are chance: it makes of them as many as there are below the median of those drawn. What is drawn
    may show the same thing by chance; then more is cut than need be.

    Args:
        listed: ``(m,)`` inliers of pairs of neighbours.
        drawn: ``(c,)`` of pairs drawn from all others.
        most: of the pairs that are kept, how many may be chance.
    """
    if not len(listed):
        return Chance(0, 1.0)
    levels = np.arange(listed.max(initial=0) + 1)
    # A few pairs prove nothing: one more counts for chance, here and in the share.
    above = (len(drawn) - _at_most(drawn, levels) + 1) / (len(drawn) + 1)
    ours = 1 - _at_most(listed, levels) / len(listed)
    share = 1.0
    if len(drawn):
        middle = np.median(drawn)
        low = (np.sum(listed <= middle) + 1) / (len(listed) + 1)
        share = min(1.0, float(low / np.mean(drawn <= middle)))
    good = np.flatnonzero(share * above <= most * ours)
    return Chance(int(levels[good[0] if len(good) else -1]), share)


def _at_most(values: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """How many values are no larger than each level."""
    return np.searchsorted(np.sort(values), levels, side="right")


def verified_lists(
    neighbor_ids: np.ndarray, similarities: np.ndarray, n_inliers: np.ndarray, level: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Only the neighbours with more inliers than chance gives, in their order.

    Args:
        neighbor_ids, similarities, n_inliers: ``(n, k)``.

    Returns:
        The same of those; behind them −1, 0 and 0.
    """
    kept = (neighbor_ids >= 0) & (n_inliers > level)
    order = np.argsort(~kept, axis=1, kind="stable")
    ids, values, counts, kept = (
        np.take_along_axis(each, order, axis=1)
        for each in (neighbor_ids, similarities, n_inliers, kept)
    )
    return np.where(kept, ids, ids.dtype.type(-1)), values * kept, counts * kept
