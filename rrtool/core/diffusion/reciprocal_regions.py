"""k-reciprocal encoding of regions: photos share a small thing where regions share neighbours.

What surrounds a thing has neighbours too, but seldom mutual ones: a region of the background is
like much and belongs to nothing. So photos are compared as by R-Match (``retrieval.regional``),
with the Jaccard index of encodings (``diffusion.reciprocal``) in the place of similarities.

Regions of one photo overlap. A list of neighbours that held several of each photo would be full
with few: it holds the best region of each photo, and none of the region's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rrtool.core.diffusion.reciprocal import ReciprocalEncoder, ReciprocalOptions
from rrtool.core.retrieval.ranking import BLOCK_BYTES, top_rows
from rrtool.core.retrieval.regional import best_of_images, max_by_image

Advance = Callable[[int], object]


def nearest_of_images(
    similarities: np.ndarray, offsets: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The most similar region of each of the ``k`` images that are most similar.

    Args:
        similarities: ``(r,)`` float32 to all regions; −inf for those that are out.
        offsets: ``(n + 1,)`` regions of each image.

    Returns:
        Ids of regions int32 and similarities, best first, both ``(min(k, …),)``.
    """
    best = max_by_image(similarities, offsets)
    images = top_rows(best, k)
    return best_of_images(similarities, offsets, images), best[images]


def region_neighbors(
    vectors: np.ndarray,
    usable: np.ndarray,
    offsets: np.ndarray,
    k: int,
    advance: Advance = lambda n: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Of each region the nearest regions of other images, one an image.

    Args:
        vectors: ``(r, d)`` float32, l2-normalised or zero.
        usable: ``(r,)`` bool; others have no neighbours and are none.
        offsets: ``(n + 1,)``.
        advance: called with the number of regions of each block.

    Returns:
        ``ids (r, k)`` int32, −1 for none, and ``similarities (r, k)`` float32.
    """
    n_regions = len(vectors)
    ids = np.full((n_regions, k), -1, np.int32)
    values = np.full((n_regions, k), -np.inf, np.float32)
    images = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    step = max(1, BLOCK_BYTES // (4 * max(1, n_regions)))
    for start in range(0, n_regions, step):
        block = vectors[start : start + step] @ vectors.T
        block[:, ~usable] = -np.inf
        for row, similarities in enumerate(block, start):
            if usable[row]:
                own = images[row]
                similarities[offsets[own] : offsets[own + 1]] = -np.inf
                found, alike = nearest_of_images(similarities, offsets, k)
                ids[row, : len(found)], values[row, : len(found)] = found, alike
        advance(len(block))
    return ids, values


@dataclass(frozen=True)
class RegionScores:
    """What the regions of a query find.

    Attributes:
        scores: ``(n,)`` float64, of the images; −inf for one without a region.
        similarities: ``(n,)`` float64, R-Match; −inf likewise.
        regions: ``(r,)`` float64, how much each region has to do with any of the query's.
    """

    scores: np.ndarray
    similarities: np.ndarray
    regions: np.ndarray


class RegionEncoder:
    """Compares images by the neighbours that their regions share.

    Args:
        vectors, usable, offsets: of the database, as ``region_neighbors`` takes them.
        lists: from ``region_neighbors``.
        options: see ``ReciprocalEncoder``.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        usable: np.ndarray,
        offsets: np.ndarray,
        lists: tuple[np.ndarray, np.ndarray],
        options: ReciprocalOptions,
    ) -> None:
        self._vectors, self._usable, self._offsets = vectors, usable, offsets
        self._n_neighbors = options.n_neighbors
        self._encoder = ReciprocalEncoder(vectors, usable, *lists, options)

    def scores(self, query: np.ndarray) -> RegionScores:
        """Compare the regions ``(v, d)`` of a query, at least one, with all images.

        A region is mutual with at most one region an image, as those of the database are.
        """
        n_images = len(self._offsets) - 1
        scores, alike = np.zeros(n_images), np.zeros(n_images)
        regions = np.full(len(self._vectors), -np.inf)
        for vector in query:
            similarities = self._vectors @ vector
            similarities[~self._usable] = -np.inf
            near, _ = nearest_of_images(similarities, self._offsets, self._n_neighbors)
            index = self._encoder.rank_scores(similarities, near)
            scores += max_by_image(index, self._offsets)
            alike += max_by_image(similarities, self._offsets)
            regions = np.maximum(regions, index)
        return RegionScores(scores / len(query), alike / len(query), regions)
