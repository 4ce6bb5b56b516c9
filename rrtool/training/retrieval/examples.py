"""What a network learns from: images in groups, and the tuples that an epoch makes of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtool.core.retrieval.tuples import draw_pairs, hard_negatives
from rrtool.errors import WorkFailed
from rrtool.training.retrieval.encoder import Encoder
from rrtool.training.retrieval.options import RetrievalTrainingOptions


@dataclass(frozen=True)
class Examples:
    """What is learnt from, and what it is checked on.

    Attributes:
        groups: ``(n,)`` int32 of all images; below 0: no part of training.
        pairs: ``(p, 2)`` int32 rows, query and positive; where there are none they are drawn from
            the groups.
        held_out: ``(m,)`` rows that are not trained on, for validation; perhaps none.
        held_out_groups: ``(m,)``.
        scales: factors of the image size at which these are described.
    """

    groups: np.ndarray
    pairs: np.ndarray
    held_out: np.ndarray
    held_out_groups: np.ndarray
    scales: tuple[float, ...] = (1.0,)

    def n_pairs_of_epoch(self, n: int) -> int:
        """How many pairs ``pairs_of_epoch`` gives."""
        return min(n, len(self.pairs) or self._n_queries())

    def _n_queries(self) -> int:
        _, inverse, sizes = np.unique(self.groups, return_inverse=True, return_counts=True)
        return int(((sizes[inverse] > 1) & (self.groups >= 0)).sum())

    def pairs_of_epoch(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """At most ``n`` pairs ``(m, 2)``, of different queries where they are drawn from groups."""
        if len(self.pairs):
            return self.pairs[generator.permutation(len(self.pairs))[:n]]
        return draw_pairs(self.groups, min(n, self._n_queries()), generator)

    def tuples_of_epoch(
        self, encoder: Encoder, options: RetrievalTrainingOptions, generator: np.random.Generator
    ) -> list[list[int]]:
        """Rows of query, positive and hard negatives, in the order they are used.

        Hard are the images of a pool that the network, as it is, describes most similarly to the
        query, one a group (Radenović et al., §4.2). Images that cannot be used are passed over.

        Raises:
            WorkFailed: there is none.
        """
        pairs = self.pairs_of_epoch(options.queries, generator)
        members = np.flatnonzero(self.groups >= 0)
        pool = np.sort(generator.permutation(members)[: options.pool_size])
        rows = np.union1d(pairs[:, 0], pool)
        descriptors, is_usable = encoder.describe(rows)
        pairs = pairs[is_usable[np.searchsorted(rows, pairs[:, 0])]]
        pool = pool[is_usable[np.searchsorted(rows, pool)]]
        queries, candidates = (np.searchsorted(rows, each) for each in (pairs[:, 0], pool))
        mined = hard_negatives(
            descriptors[queries], self.groups[pairs[:, 0]], descriptors[candidates],
            self.groups[pool], options.negatives,
        )  # fmt: skip
        tuples = [
            [*pair, *pool[own[own >= 0]].tolist()]
            for pair, own in zip(pairs.tolist(), mined, strict=True)
            if (own >= 0).any()
        ]
        if not tuples:
            raise WorkFailed(
                "there is not one tuple to learn from",
                expected="photos that can be read: two of one group, and one of another",
            )
        return tuples
