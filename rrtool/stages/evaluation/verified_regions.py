"""Where the verified hits of a ranking match, from the local features that rerank compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rrtool.artifacts import LocalFeaturesFile, Ranking
from rrtool.core.evaluation.evaluation import QueryGroundTruth

PROJECTED, INLIERS, WHOLE = "projected", "inliers", "whole"
_DEVIATIONS = 2.0  # of a feature, as regions are drawn


@dataclass(frozen=True)
class _Match:
    """A verified hit.

    Attributes:
        query, image: rows.
        scales: at which the two matched.
        transform: ``(2, 3)`` query cells → database cells.
        features: ``(m,)`` of the image.
    """

    query: int
    image: int
    scales: tuple[int, int]
    transform: np.ndarray
    features: np.ndarray


class VerifiedRegions:
    """Where the verified hits of a ranking match, in pixels of the database's images.

    Args:
        ranking: verified.
        query_local, database_local: the local features that were matched, of the same images.
    """

    def __init__(
        self, ranking: Ranking, query_local: LocalFeaturesFile, database_local: LocalFeaturesFile
    ) -> None:
        self._ids = ranking.ids[:, : ranking.n_verified]
        self._scales, self._transforms = ranking.scale_pairs, ranking.transforms
        self._offsets, self._inliers = ranking.offsets, ranking.inliers
        self._query_sizes, self._sizes = query_local.map_sizes, database_local.map_sizes
        self._described, self._image_sizes = database_local.boxes, database_local.image_sizes
        self._features = lru_cache(maxsize=1)(database_local.of)

    def of_hits(
        self, queries: Sequence[QueryGroundTruth], is_known: Sequence[bool]
    ) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """The image of each hit that is right and matched, and the boxes ``(4,)`` of its regions.

        The query's box by the transformation of the match; the box of the features that agree;
        and the whole image, which is what any region is to be compared with. They are clipped to
        the image, and have no area where they lie beside it.

        Args:
            queries: what each should find.
            is_known: whether an image of the database is looked at.

        Raises:
            ValueError: matches are of features or maps that are not there.
        """
        for match in self._matches(queries, is_known):
            boxes = {PROJECTED: self._projected(match), INLIERS: self._of(match),
                     WHOLE: np.array([-np.inf, -np.inf, np.inf, np.inf])}  # fmt: skip
            yield match.image, {k: self._clipped(box, match.image) for k, box in boxes.items()}

    def of_inliers(self, query: int) -> dict[int, tuple[float, float, float, float]]:
        """Of one query: by row of the image, the box of the features that agree, in pixels.

        Raises:
            ValueError: see ``of_hits``.
        """
        boxes = {
            match.image: self._clipped(self._of(match), match.image).tolist()
            for place in range(self._ids.shape[1])
            if (match := self._match(query, place)) and len(match.features)
        }
        return {image: (x0, y0, x1, y1) for image, (x0, y0, x1, y1) in boxes.items()}

    def _matches(
        self, queries: Sequence[QueryGroundTruth], is_known: Sequence[bool]
    ) -> Iterator[_Match]:
        for query, right in enumerate(queries):
            is_right = np.isin(self._ids[query], right.positives)
            for place in np.flatnonzero(is_right).tolist():
                match = self._match(query, place)
                if match and is_known[match.image]:
                    yield match

    def _match(self, query: int, place: int) -> _Match | None:
        """What was verified at a place of a ranking; None where nothing agreed."""
        transform, image = self._transforms[query, place], int(self._ids[query, place])
        first, second = self._scales[query, place].tolist()
        if image < 0 or first < 0 or not np.isfinite(transform).all():
            return None
        entry = query * self._ids.shape[1] + place
        start, stop = self._offsets[entry : entry + 2]
        return _Match(query, image, (first, second), transform, self._inliers[start:stop, 1])

    def _projected(self, match: _Match) -> np.ndarray:
        """Around the query's box, which is all of its map, in the image's pixels."""
        width, height = _size(self._query_sizes, match.query, match.scales[0])
        corners = np.array([[x, y, 1] for x in (-0.5, width - 0.5) for y in (-0.5, height - 0.5)])
        cells = corners @ match.transform.astype(np.float64).T
        return self._in_pixels(np.concatenate([cells.min(axis=0), cells.max(axis=0)]), match)

    def _of(self, match: _Match) -> np.ndarray:
        """Around the features that agree, each with two standard deviations."""
        features = self._features(match.image)
        if len(match.features) and not 0 <= match.features.min() <= match.features.max() < len(
            features.means
        ):
            raise ValueError(f"a feature that image {match.image} does not have")
        means = features.means[match.features].astype(np.float64)
        variances = features.covariances[match.features][:, [0, 2]].astype(np.float64)
        reach = _DEVIATIONS * np.sqrt(np.maximum(variances, 0))
        if not len(means):
            return np.full(4, np.nan)
        return self._in_pixels(
            np.concatenate([(means - reach).min(axis=0), (means + reach).max(axis=0)]), match
        )

    def _in_pixels(self, cells: np.ndarray, match: _Match) -> np.ndarray:
        """A box ``(4,)`` in cells, whose centres are at integers, in pixels of the whole image."""
        size = _size(self._sizes, match.image, match.scales[1])
        x0, y0, x1, y1 = self._described[match.image].astype(np.float64)
        cell = np.array([x1 - x0, y1 - y0]) / size
        return (cells + 0.5) * np.tile(cell, 2) + [x0, y0, x0, y0]

    def _clipped(self, box: np.ndarray, image: int) -> np.ndarray:
        width, height = self._image_sizes[image].tolist()
        return np.clip(box, 0, [width, height, width, height])


def _size(sizes: np.ndarray, image: int, scale: int) -> tuple[int, int]:
    if not (0 <= scale < sizes.shape[1] and sizes[image, scale].min() > 0):
        raise ValueError(f"no map of image {image} at scale {scale}")
    width, height = sizes[image, scale].tolist()
    return width, height
