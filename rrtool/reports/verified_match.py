"""A verified match as SVG over two pictures side by side (thesis fig. 4.5)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtool.reports.drawing import Ellipses
from rrtool.reports.picture_store import ShownPicture

MAX_DRAWN = 40  # more ellipses than these hide the images
_GAP = 12  # pixels between the two pictures
# In place of a picture that cannot be shown.
_PLACE = (240, 180)

Size = tuple[int, int]


@dataclass(frozen=True)
class DrawnMatch:
    """The correspondences that are drawn, as SVG path data on a ``Sheet``.

    Attributes:
        n_inliers: how many there are, drawn or not.
        outlines: the ellipses on both pictures, one entry a correspondence.
        lines: from centre to centre, one entry a correspondence.
    """

    n_inliers: int
    outlines: list[str]
    lines: list[str]


@dataclass(frozen=True)
class Sheet:
    """Two pictures side by side; the lower one is centred vertically.

    Attributes:
        first, second: None where a picture cannot be shown.
    """

    first: ShownPicture | None
    second: ShownPicture | None

    @property
    def parts(self) -> list[tuple[ShownPicture | None, Size, Size]]:
        """The two pictures, their sizes, and where their top left corners lie."""
        sizes = [picture.size if picture else _PLACE for picture in (self.first, self.second)]
        lefts = (0, sizes[0][0] + _GAP)
        highest = max(height for _, height in sizes)
        return [
            (picture, size, (left, (highest - size[1]) // 2))
            for picture, size, left in zip((self.first, self.second), sizes, lefts, strict=True)
        ]

    @property
    def width(self) -> int:
        _, size, corner = self.parts[1]
        return corner[0] + size[0]

    @property
    def height(self) -> int:
        return max(size[1] for _, size, _ in self.parts)

    def draw(self, first: Ellipses, second: Ellipses, n_inliers: int) -> DrawnMatch | None:
        """Correspondences on the sheet; None where a picture is not there to draw on.

        Args:
            first, second: ``m`` ellipses each, in pixels of the whole images; those that are no
                numbers are left out.
            n_inliers: as in ``DrawnMatch``.
        """
        sides = []
        for ellipses, (picture, _, corner) in zip((first, second), self.parts, strict=True):
            if picture is None:
                return None
            sides.append(ellipses.resized(picture.factor).moved(corner))
        good = np.logical_and(*map(_are_finite, sides))
        one, other = (Ellipses(side.means[good], side.covariances[good]) for side in sides)
        ends = np.hstack([one.centres(), other.centres()]).tolist()
        return DrawnMatch(
            n_inliers,
            [a + b for a, b in zip(one.outlines(), other.outlines(), strict=True)],
            ["M{:.1f} {:.1f}L{:.1f} {:.1f}".format(*end) for end in ends],
        )


def _are_finite(ellipses: Ellipses) -> np.ndarray:
    flat = ellipses.covariances.reshape(-1, 4)
    return np.isfinite(np.hstack([ellipses.means, flat])).all(axis=1)


def strongest(strengths: np.ndarray, inliers: np.ndarray) -> np.ndarray:
    """At most ``MAX_DRAWN`` inliers, strongest query features first, each feature once.

    Args:
        strengths: ``(m,)`` of the inliers' query features.
        inliers: ``(m, 2)``, feature of the query and of the database image.
    """
    chosen: list[int] = []
    taken: tuple[set[int], set[int]] = (set(), set())
    for i in np.argsort(-strengths.astype(np.float32), kind="stable"):
        first, second = inliers[i].tolist()
        if first not in taken[0] and second not in taken[1]:
            chosen.append(i)
            taken[0].add(first)
            taken[1].add(second)
    return inliers[chosen[:MAX_DRAWN]]
