"""The picture of a verified match: both images, the inlier ellipses joined (thesis fig. 4.5)."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from rrtool.core.matching.local_features import LocalFeatures
from rrtool.reports.drawing import Ellipses, draw_box, draw_matches, ellipses_in_pixels
from rrtool.reports.pictures import Pictures

_SIZE = 480  # longer side of each image in pixels
_MAX_DRAWN = 40  # more ellipses than these hide the images


@dataclass(frozen=True)
class MatchSide:
    """One side of the matching.

    Attributes:
        names: of the images, ``n``.
        features: their local features.
        map_sizes: ``(n, n_scales, 2)``, width and height in cells.
        boxes: ``(n, 4)``, what the maps cover, in pixels of the whole image.
        pictures: the images.
    """

    names: list[str]
    features: LocalFeatures
    map_sizes: np.ndarray
    boxes: np.ndarray
    pictures: Pictures

    def rows(self, image: int, indices: np.ndarray) -> np.ndarray:
        return int(self.features.offsets[image * self.features.n_scales]) + indices

    def ellipses(self, image: int, scale: int, indices: np.ndarray) -> Ellipses:
        """Features ``indices`` of the image, all at ``scale``, in pixels of the whole image."""
        rows = self.rows(image, indices)
        width, height = self.map_sizes[image, scale].tolist()
        x0, y0, x1, y1 = self.boxes[image].tolist()
        features = self.features
        return ellipses_in_pixels(
            features.means[rows], features.covariances[rows], (width, height), (x0, y0, x1, y1)
        )


@dataclass(frozen=True)
class MatchDrawer:
    """Draws verified matches of a ranking.

    Attributes:
        query, database: the two sides.
        scale_pairs: ``(n_queries, shortlist, 2)``, the scales of query and database that matched.
        offsets: ``(n_queries · shortlist + 1,)`` into ``inliers``.
        inliers: ``(total, 2)``, feature of the query and of the database image.
    """

    query: MatchSide
    database: MatchSide
    scale_pairs: np.ndarray
    offsets: np.ndarray
    inliers: np.ndarray

    def draw_best(
        self, query: int, ids: np.ndarray, box: np.ndarray
    ) -> tuple[Image.Image, str] | None:
        """The first verified image of a ranking that has inliers and is not the query's own.

        Args:
            query: row of the query.
            ids: its ranking, best first.
            box: of the query in pixels of the whole image.

        Returns:
            Picture and caption; None where there is no such match, or an image cannot be read.
        """
        position = self._best(query, ids)
        if position is None:
            return None
        row = int(ids[position])
        name, other = self.query.names[query], self.database.names[row]
        first = self.query.pictures.load(name, _SIZE)
        second = self.database.pictures.load(other, _SIZE)
        if first is None or second is None:
            return None
        group = query * self.scale_pairs.shape[1] + position
        inliers = self.inliers[self.offsets[group] : self.offsets[group + 1]]
        drawn = self._strongest(query, inliers)
        scales = self.scale_pairs[query, position].tolist()
        picture = draw_matches(
            draw_box(first[0], box * first[1]),
            second[0],
            self.query.ellipses(query, scales[0], drawn[:, 0]).resized(first[1]),
            self.database.ellipses(row, scales[1], drawn[:, 1]).resized(second[1]),
        )
        return picture, _caption(name, other, len(inliers), len(drawn))

    def fits(self, ids: np.ndarray) -> bool:
        """Whether every match is of features and scales that there are.

        Args:
            ids: ``(n_queries, L)``, the rankings.
        """
        n_queries, shortlist = self.scale_pairs.shape[:2]
        counts = np.diff(self.offsets)
        images = np.stack(
            [np.repeat(np.arange(n_queries), shortlist), ids[:, :shortlist].ravel()], axis=1
        )
        pairs = self.scale_pairs.reshape(-1, 2)[counts > 0]
        for side, features in enumerate((self.query.features, self.database.features)):
            firsts = features.offsets[:: features.n_scales]
            n_features = np.append(np.diff(firsts), 0)[images[:, side]]  # none of no image, -1
            found = self.inliers[:, side]
            if (found < 0).any() or (found >= np.repeat(n_features, counts)).any():
                return False
            if ((pairs[:, side] < 0) | (pairs[:, side] >= features.n_scales)).any():
                return False
        return True

    def _best(self, query: int, ids: np.ndarray) -> int | None:
        shortlist = self.scale_pairs.shape[1]
        counts = np.diff(self.offsets)[query * shortlist : (query + 1) * shortlist]
        for position, row in enumerate(ids[:shortlist].tolist()):
            is_own = row >= 0 and self.database.names[row] == self.query.names[query]
            if row >= 0 and counts[position] and not is_own:
                return position
        return None

    def _strongest(self, query: int, inliers: np.ndarray) -> np.ndarray:
        """At most ``_MAX_DRAWN`` inliers, strongest query features first, each feature once."""
        strengths = self.query.features.strengths[self.query.rows(query, inliers[:, 0])]
        chosen, taken = [], (set(), set())  # type: tuple[list, tuple[set, set]]
        for i in np.argsort(-strengths, kind="stable"):
            first, second = inliers[i].tolist()
            if first not in taken[0] and second not in taken[1]:
                chosen.append(i)
                taken[0].add(first)
                taken[1].add(second)
        return inliers[chosen[:_MAX_DRAWN]]


def _caption(query: str, other: str, n_inliers: int, n_drawn: int) -> str:
    which = "all drawn" if n_drawn == n_inliers else f"the {n_drawn} strongest one-to-one drawn"
    return f"{query} and {other}: {n_inliers} inliers, {which}; one colour per correspondence"
