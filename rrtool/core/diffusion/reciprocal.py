"""Re-ranking by k-reciprocal encoding (Zhong et al., CVPR 2017), sparse, at several k at once.

An image is described by those that are its neighbours and have it among theirs: two photos of one
object share them, whatever their own similarity. With ``N(i, k)`` the k nearest images of i, and i
itself beside them:

* ``R(i, k) = {j ∈ N(i, k) : i ∈ N(j, k)}``. Those ``R(j, k1/2)`` of its members j join ``R(i, k1)``
  that share two thirds of their members with it: ``R*(i)``.
* ``V_ij ∝ exp(-(1 - s_ij))`` for j in ``R*(i)``, of sum 1; then averaged over i and its ``k2 - 1``
  nearest images.
* Images i and j are ``λ s_ij + (1 - λ) m / (2 - m)`` alike, ``m = Σ_g min(V_ig, V_jg)``: their
  similarity, and the Jaccard index of their encodings.

Ours: the index is the mean of those at several k1, for nobody knows how many photos of a thing
there are: at a k1 beyond the group neighbours are chance, which differs from one k1 to the next,
and at a small one the far members of a large group share nothing. Queries are no vertices, so that
the ranking of one does not depend on the others; an image counts as mutual with a query that is at
least as similar to it as its own k1-th neighbour. The paper's distances are divided by the largest
of each row first, which takes n² of them; here ``1 - s`` is as it is.

Nothing is n × n, and of a database those images alone are encoded that may share something with a
query; they are kept for the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtool.core.diffusion import reciprocal_numba as kernels
from rrtool.core.retrieval.ranking import top_rows

MIXTURE = 0.3
_SCALES = (3, 5, 10, 20)
_IMAGES_A_NEIGHBOR = 5
_AVERAGED = 0.3  # of k1, as 6 of 20 in the paper
_ROUNDING = 1e-6  # of a similarity, computed in two ways


@dataclass(frozen=True)
class ReciprocalOptions:
    """How images are encoded and compared.

    Attributes:
        k1: numbers of neighbours among which images must be mutual; each at least 1.
        k2: nearest images, the image itself among them, whose encodings are averaged; None: 0.3 of
            each k1, at least 1.
        mixture: λ, the share of the descriptors' own similarity, in [0, 1].
    """

    k1: tuple[int, ...]
    k2: int | None = None
    mixture: float = MIXTURE

    def averaged(self, k1: int) -> int:
        """k2 of a k1."""
        return self.k2 or max(1, round(_AVERAGED * k1))

    @property
    def n_neighbors(self) -> int:
        """How many of each image are needed."""
        return max(max(k1, self.averaged(k1) - 1) for k1 in self.k1)


def default_k1(n_images: int) -> tuple[int, ...]:
    """3, 5, 10 and the paper's 20, of a small collection at most a fifth of its images.

    Measured on sets of 42 to 1098 photos (docs/reproduction.md).
    """
    most = max(1, n_images // _IMAGES_A_NEIGHBOR)
    return tuple(sorted({min(k1, most) for k1 in _SCALES}))


def is_too_many(k1: int, n_images: int) -> bool:
    """Whether k1 is more than a collection bears."""
    return k1 > max(_SCALES[0], n_images // _IMAGES_A_NEIGHBOR)


class ReciprocalEncoder:
    """Compares queries with a database by the neighbours that they share.

    Args:
        descriptors: ``(n, d)`` float32, l2-normalised where there is an image.
        is_image: ``(n,)`` bool; other rows are like nothing.
        neighbor_ids: ``(n, k)`` int32, nearest first, each without itself, −1 for none.
        similarities: ``(n, k)`` float32, of the neighbours.
        options: ``n_neighbors`` is at most ``k``.

    Raises:
        ValueError: fewer neighbours, or another number of rows than of descriptors.
    """

    def __init__(
        self,
        descriptors: np.ndarray,
        is_image: np.ndarray,
        neighbor_ids: np.ndarray,
        similarities: np.ndarray,
        options: ReciprocalOptions,
    ) -> None:
        wanted = options.n_neighbors
        if neighbor_ids.shape[1] < wanted or len(neighbor_ids) != len(descriptors):
            raise ValueError(
                f"neighbours are {neighbor_ids.shape}, expected ({len(descriptors)}, at least "
                f"{wanted})"
            )
        self._options, self._is_image = options, is_image
        lists = np.ascontiguousarray(neighbor_ids[:, :wanted], dtype=np.int32), similarities
        vectors = np.ascontiguousarray(descriptors, dtype=np.float32)
        self._scales = [
            _Scale(vectors, is_image, *lists, (k1, options.averaged(k1))) for k1 in options.k1
        ]

    def rank_scores(self, similarities: np.ndarray, near: np.ndarray | None = None) -> np.ndarray:
        """How alike a query and every image of the database are.

        Args:
            similarities: ``(n,)`` float32, of the query's descriptor; −inf for what is no image.
            near: ids of its neighbours, best first; by default the most similar images.

        Returns:
            ``(n,)`` float64; −inf stays.
        """
        mixture, is_out = self._options.mixture, similarities == -np.inf
        if near is None:
            to_images = np.where(self._is_image, similarities, -np.inf)
            near = top_rows(to_images, self._options.n_neighbors)
        index = np.mean([scale.index(similarities, near) for scale in self._scales], axis=0)
        alike = np.where(is_out, 0, similarities).astype(np.float64)
        return np.where(is_out, -np.inf, mixture * alike + (1 - mixture) * index)


class _Scale:
    """The same at one k1. Encodings of the database are made when they are wanted, and kept."""

    def __init__(
        self,
        vectors: np.ndarray,
        is_image: np.ndarray,
        neighbor_ids: np.ndarray,
        similarities: np.ndarray,
        sizes: tuple[int, int],
    ) -> None:
        self._k1, self._k2 = sizes
        last, n = self._k1 - 1, len(vectors)
        self._vectors, self._neighbor_ids = vectors, neighbor_ids
        has_few = neighbor_ids[:, last] < 0
        self._least = np.where(has_few, -np.inf, similarities[:, last] - _ROUNDING)
        self._mutual = _mutual_lists(neighbor_ids, self._k1, is_image)
        self._half = _mutual_lists(neighbor_ids, max(1, round(self._k1 / 2)), is_image)
        self._reverse = _reverse_lists(neighbor_ids, self._k2 - 1)
        longest, all_half = (
            int(np.diff(starts).max(initial=0)) for starts, _ in (self._mutual, self._half)
        )
        self._found = np.empty(max(1, min(n, longest * (1 + all_half))), np.int32)
        self._marks, self._mark = np.zeros(n, np.int64), 1
        self._starts, self._ends = np.zeros((2, n), np.int64)
        self._members, self._weights = np.empty(0, np.int32), np.empty(0, np.float32)
        self._n_entries = 0

    def index(self, similarities: np.ndarray, near: np.ndarray) -> np.ndarray:
        """The Jaccard index of a query's encoding and those of all images, ``(n,)`` float64.

        Args:
            near: ids of the images most similar to the query, best first.
        """
        query = self._encoded(similarities, near)
        members = np.flatnonzero(query).astype(np.int32)
        self._mark += 2
        reached = np.empty(len(query), np.int32)
        lists = *self._mutual, *self._half
        n_reached = kernels.sharing(members, *lists, self._marks, self._mark, reached)
        reached = reached[:n_reached].copy()
        self._encode(reached)
        self._mark += 2
        self._marks[reached] = self._mark
        found, sums = np.zeros((2, len(query)))
        touched, is_done = np.empty(len(query), np.int32), np.zeros(len(query), bool)
        kernels.shared(
            reached, self._neighbor_ids, *self._reverse, self._k2 - 1, self._starts, self._ends,
            self._members, self._weights, query, self._marks, self._mark, found, sums, touched,
            is_done,
        )  # fmt: skip
        return found / (2 - found)

    def _encoded(self, similarities: np.ndarray, near: np.ndarray) -> np.ndarray:
        """A query, ``(n,)`` float64; itself, which is no image, has the rest of the sum of 1."""
        first, others = near[: self._k1], near[: self._k2 - 1]
        mutual = first[similarities[first] >= self._least[first]].astype(np.int32)
        members = np.empty(len(similarities), np.int32)
        self._mark += 2
        n_members = kernels.expand(mutual, *self._half, self._marks, self._mark, members)
        members = members[:n_members]
        weights = np.exp(similarities[members].astype(np.float64) - 1)
        encoding = np.zeros(len(similarities))
        encoding[members] = weights / (1 + weights.sum())
        self._encode(others)
        for i in others.tolist():
            own = slice(self._starts[i], self._ends[i])
            encoding[self._members[own]] += self._weights[own]
        return encoding / (1 + len(others))

    def _encode(self, rows: np.ndarray) -> None:
        """Make the encodings of these images, those that are not there."""
        missing = rows[self._ends[rows] == 0].astype(np.int32)
        lists = *self._mutual, *self._half
        while True:
            n_done, self._n_entries, self._mark = kernels.encode(
                missing, *lists, self._vectors, self._marks, self._mark, self._found,
                self._starts, self._ends, self._members, self._weights, self._n_entries,
            )  # fmt: skip
            missing = missing[n_done:]
            if not len(missing):
                return
            # Twice as much, so that many small additions cost little.
            room = max(self._n_entries + len(self._found), 2 * len(self._members))
            self._members, self._weights = (
                np.concatenate([values[: self._n_entries], np.empty(room, values.dtype)])[:room]
                for values in (self._members, self._weights)
            )


def _mutual_lists(
    neighbor_ids: np.ndarray, k: int, is_image: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    n = len(neighbor_ids)
    starts, values = np.empty(n + 1, np.int64), np.empty(n * (k + 1), np.int32)
    kernels.mutual_lists(neighbor_ids, k, is_image, starts, values)
    return starts, values[: starts[n]].copy()


def _reverse_lists(neighbor_ids: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    near = neighbor_ids[:, :k]
    starts = np.zeros(len(near) + 1, np.int64)
    np.cumsum(np.bincount(near[near >= 0], minlength=len(near)), out=starts[1:])
    values = np.empty(starts[-1], np.int32)
    kernels.reverse_lists(neighbor_ids, k, starts[:-1].copy(), values)
    return starts, values
