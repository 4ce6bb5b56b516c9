"""The matches of a verified ranking, and where their ellipses lie on its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from rrtool.artifacts import LocalFeaturesFile, Ranking
from rrtool.errors import ArtifactError
from rrtool.reports.drawing import Ellipses, ellipses_in_pixels
from rrtool.reports.verified_match import DrawnMatch, Sheet, strongest


@dataclass(frozen=True)
class Verified:
    """What the verification found between a query and an image.

    Attributes:
        n_inliers: correspondences that agree.
        scales: at which the two matched, of the query and of the image.
        inliers: ``(m, 2)``, feature of the query and of the image.
    """

    n_inliers: int
    scales: tuple[int, int]
    inliers: np.ndarray


def read_verified(ranking: Ranking, query: int) -> dict[int, Verified]:
    """What a verified ranking holds of a query, by the row of the image.

    Raises:
        ArtifactError: it is damaged.
    """
    size, one = ranking.n_verified, slice(query, query + 1)
    ids = ranking.read(Ranking.ids, one)[0, :size].tolist()
    counts = ranking.read(Ranking.n_inliers, one)[0].tolist()
    scales = ranking.read(Ranking.scale_pairs, one)[0].tolist()
    bounds = ranking.read(Ranking.offsets, slice(query * size, (query + 1) * size + 1))
    inliers = ranking.read(Ranking.inliers, slice(int(bounds[0]), int(bounds[-1])))
    groups = np.split(inliers, bounds[1:-1] - bounds[0])[:size]
    entries = zip(ids, counts, scales, groups, strict=True)
    return {
        row: Verified(n_inliers, (first, second), group)
        for row, n_inliers, (first, second), group in entries
        if row >= 0
    }


class MatchDrawer:
    """Draws verified matches.

    Args:
        ranking: they are of; named in the error.
        query_local, database_local: the local features that were matched, open.
    """

    def __init__(
        self, ranking: Ranking, query_local: LocalFeaturesFile, database_local: LocalFeaturesFile
    ) -> None:
        self._ranking = ranking
        self._query, self._database = _Side(query_local), _Side(database_local)

    def draw(self, query: int, row: int, verified: Verified, sheet: Sheet) -> DrawnMatch | None:
        """The strongest correspondences on a sheet; None where there are none.

        Args:
            query, row: of the query and of the image in the local features.

        Raises:
            ArtifactError: the matches are of other local features.
        """
        inliers = verified.inliers
        if not len(inliers):
            return None
        sides = (self._query, query), (self._database, row)
        for (side, image), scale, features in zip(sides, verified.scales, inliers.T, strict=True):
            if not side.has(image, scale, features):
                raise ArtifactError(
                    "the matches are not of these local features", where=self._ranking.path,
                    expected=f"those of {self._query.local.path} and {self._database.local.path}",
                    todo="give those that rerank matched",
                )  # fmt: skip
        drawn = strongest(self._query.of(query).strengths[inliers[:, 0]], inliers)
        first, second = (
            side.ellipses(image, scale, features)
            for (side, image), scale, features in zip(sides, verified.scales, drawn.T, strict=True)
        )
        return sheet.draw(first, second, len(inliers))


class _Side:
    """The local features of the queries, or of the database."""

    def __init__(self, local: LocalFeaturesFile) -> None:
        self.local = local
        self.of = lru_cache(maxsize=1)(local.of)  # each is asked for several times in a row

    def has(self, image: int, scale: int, features: np.ndarray) -> bool:
        """Whether there are such features, and a map that they are in."""
        n_features = len(self.of(image).means)
        return (
            0 <= scale < self.local.n_scales
            and features.min() >= 0
            and features.max() < n_features
            and min(self._map_size(image, scale)) > 0
        )

    def _map_size(self, image: int, scale: int) -> tuple[int, int]:
        sizes = self.local.read(LocalFeaturesFile.map_sizes, slice(image, image + 1))
        return sizes[0, scale, 0].item(), sizes[0, scale, 1].item()

    def ellipses(self, image: int, scale: int, features: np.ndarray) -> Ellipses:
        """Features of an image, all at one scale, in pixels of the whole image."""
        found = self.of(image)
        boxes = self.local.read(LocalFeaturesFile.boxes, slice(image, image + 1))
        x0, y0, x1, y1 = boxes[0].tolist()
        return ellipses_in_pixels(
            found.means[features], found.covariances[features],
            self._map_size(image, scale), (x0, y0, x1, y1),
        )  # fmt: skip
