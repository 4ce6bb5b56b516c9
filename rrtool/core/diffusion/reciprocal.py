"""Re-ranking by k-reciprocal encoding (Zhong et al., CVPR 2017), sparse.

An image is described by those that are its neighbours and have it among theirs: two photos of one
object share them, whatever their own similarity. With ``N(i, k)`` the k nearest images of i, and i
itself beside them:

* ``R(i, k) = {j ∈ N(i, k) : i ∈ N(j, k)}``. Those ``R(j, k1/2)`` of its members j join ``R(i, k1)``
  that share two thirds of their members with it: ``R*(i)``.
* ``V_ij ∝ exp(-(1 - s_ij))`` for j in ``R*(i)``, of sum 1; then averaged over i and its ``k2 - 1``
  nearest images.
* Images i and j are ``λ s_ij + (1 - λ) m / (2 - m)`` alike, ``m = Σ_g min(V_ig, V_jg)``: their
  similarity, and the Jaccard index of their encodings.

Ours: queries are no vertices, so that the ranking of one does not depend on the others; an image
counts as mutual with a query that is at least as similar to it as its own k1-th neighbour. The
paper's distances are divided by the largest of each row first, which takes n² of them; here
``1 - s`` is as it is. Encodings hold some tens of entries a row, so nothing is n × n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csc_array, csr_array, vstack

from rrtool.core.retrieval.ranking import top_rows

MIXTURE = 0.5
_MOST_NEIGHBORS, _IMAGES_A_NEIGHBOR = 20, 10
_AVERAGED = 0.3  # of k1, as 6 of 20 in the paper
_SHARED = 2 / 3
_ROWS_AT_ONCE = 4096
_PAIR_BYTES = 64 << 20


@dataclass(frozen=True)
class ReciprocalOptions:
    """How images are encoded and compared.

    Attributes:
        k1: neighbours among which images must be mutual; at least 1.
        k2: nearest images, the image itself among them, whose encodings are averaged; at least 1.
        mixture: λ, the share of the descriptors' own similarity, in [0, 1].
    """

    k1: int
    k2: int
    mixture: float = MIXTURE


def default_k1(n_images: int) -> int:
    """The paper's 20, and a tenth of the images of a small collection.

    Measured on sets of 51 to 442 photos (docs/reproduction.md): groups are smaller there.
    """
    return max(1, min(_MOST_NEIGHBORS, n_images // _IMAGES_A_NEIGHBOR))


def default_k2(k1: int) -> int:
    """As the paper's 6 of 20."""
    return max(1, round(_AVERAGED * k1))


class ReciprocalEncoder:
    """Encodings of a database, and of queries among it.

    Args:
        descriptors: ``(n, d)`` float32, l2-normalised where there is an image.
        is_image: ``(n,)`` bool; other rows are like nothing.
        neighbor_ids: ``(n, k)`` int32, nearest first, each without itself, −1 for none.
        similarities: ``(n, k)`` float32, of the neighbours.
        options: ``k1`` is at most ``k``.

    Raises:
        ValueError: fewer neighbours than ``k1``, or another number of rows than of descriptors.

    Attributes:
        encodings: ``(n, n)`` float32, of sum 1 a row; rows without an image are empty.
    """

    def __init__(
        self,
        descriptors: np.ndarray,
        is_image: np.ndarray,
        neighbor_ids: np.ndarray,
        similarities: np.ndarray,
        options: ReciprocalOptions,
    ) -> None:
        if neighbor_ids.shape[1] < options.k1 or len(neighbor_ids) != len(descriptors):
            raise ValueError(
                f"neighbours are {neighbor_ids.shape}, expected ({len(descriptors)}, at least "
                f"{options.k1})"
            )
        self._descriptors, self._options = descriptors, options
        ids, k1 = neighbor_ids, options.k1
        self._last_similarities = np.where(ids[:, k1 - 1] < 0, -np.inf, similarities[:, k1 - 1])
        self._half = _mutual(_near(ids[:, : max(1, round(k1 / 2))], is_image))
        self._plain = self._encode_all(_mutual(_near(ids[:, :k1], is_image)))
        averaged = _near(ids[:, : options.k2 - 1], is_image)
        counts = np.diff(averaged.indptr)
        averaged.data /= np.repeat(counts, counts)
        self.encodings = csr_array(averaged @ self._plain)
        self._columns = csc_array(self.encodings)

    def rank_scores(self, similarities: np.ndarray) -> np.ndarray:
        """How alike a query and every image of the database are.

        Args:
            similarities: ``(n,)`` float32, of the query's descriptor; −inf for what is no image.

        Returns:
            ``(n,)`` float64; −inf stays.
        """
        mixture = self._options.mixture
        members, values = self.encode_query(similarities)
        index = self._jaccard(members, values)
        is_image = np.isfinite(similarities)
        scores = np.full(len(similarities), -np.inf)
        scores[is_image] = mixture * similarities[is_image] + (1 - mixture) * index[is_image]
        return scores

    def encode_query(self, similarities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The encoding of a query among the database: rows ``(m,)``, rising, and values.

        Args:
            similarities: as of ``rank_scores``.
        """
        k1, k2 = self._options.k1, self._options.k2
        near = top_rows(similarities, max(k1, k2 - 1))
        mutual = near[:k1][similarities[near[:k1]] >= self._last_similarities[near[:k1]]]
        members = self._expanded(mutual)
        weights = np.exp(similarities[members].astype(np.float64) - 1)
        own = csr_array(
            (weights / (1 + weights.sum()), members, [0, len(members)]),  # 1: the query itself
            shape=(1, len(similarities)),
        )
        others = near[: k2 - 1]
        mean = (own + csr_array(self._plain[others].sum(axis=0)[None])) / (1 + len(others))
        mean = csr_array(mean)
        mean.sort_indices()
        return mean.indices, mean.data

    def _expanded(self, mutual: np.ndarray) -> np.ndarray:
        is_member = np.zeros(self._half.shape[0], bool)
        is_member[mutual] = True
        sets = [self._half.indices[slice(*self._half.indptr[j : j + 2])] for j in mutual]
        joining = [each for each in sets if is_member[each].sum() >= _SHARED * len(each)]
        return np.unique(np.concatenate([mutual, *joining]))

    def _jaccard(self, members: np.ndarray, values: np.ndarray) -> np.ndarray:
        """The Jaccard index of an encoding with that of every image."""
        shared = np.zeros(self.encodings.shape[0])
        columns = self._columns
        for member, value in zip(members.tolist(), values.tolist(), strict=True):
            part = slice(*columns.indptr[member : member + 2])
            shared[columns.indices[part]] += np.minimum(columns.data[part], value)
        return shared / (2 - shared)

    def _encode_all(self, mutual: csr_array) -> csr_array:
        starts = range(0, mutual.shape[0], _ROWS_AT_ONCE)
        blocks = [self._encode(start, mutual[start : start + _ROWS_AT_ONCE]) for start in starts]
        return csr_array(vstack(blocks, format="csr")) if blocks else mutual

    def _encode(self, start: int, mutual: csr_array) -> csr_array:
        """Rows from ``start`` on, before they are averaged."""
        shared = csr_array((mutual @ self._half.T).multiply(mutual))
        sizes = np.diff(self._half.indptr)
        shared.data = (shared.data >= _SHARED * sizes[shared.indices]).astype(np.float32)
        members = csr_array(mutual + shared @ self._half)
        members.sort_indices()
        rows = np.repeat(np.arange(members.shape[0]), np.diff(members.indptr))
        weights = np.exp(self._similarities(rows + start, members.indices) - 1)
        sums = np.bincount(rows, weights, minlength=members.shape[0])
        members.data = (weights / sums[rows]).astype(np.float32)
        return members

    def _similarities(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Of pairs of images, ``(m,)`` float64; 1 of an image with itself."""
        found = np.empty(len(rows))
        step = max(1, _PAIR_BYTES // (4 * max(1, self._descriptors.shape[1])))
        for start in range(0, len(rows), step):
            part = slice(start, start + step)
            pairs = self._descriptors[rows[part]], self._descriptors[columns[part]]
            found[part] = np.einsum("ij,ij->i", *pairs)
        found[rows == columns] = 1
        return found


def _near(ids: np.ndarray, is_image: np.ndarray) -> csr_array:
    """``(n, n)`` float32: 1 at the neighbours of each image, and at itself."""
    n = len(ids)
    with_itself = np.hstack([np.where(is_image, np.arange(n), -1)[:, None], ids])
    is_there = with_itself >= 0
    indptr = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
    indices = with_itself[is_there]
    near = csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=(n, n))
    near.sort_indices()
    return near


def _mutual(near: csr_array) -> csr_array:
    return csr_array(near.multiply(near.T))
