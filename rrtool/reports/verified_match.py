"""A verified match as SVG over two pictures side by side (thesis fig. 4.5)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rrtool.reports.drawing import Ellipses
from rrtool.reports.picture_store import ShownPicture

MAX_DRAWN = 40  # more ellipses than these hide the images
_GAP = 12  # pixels between the two pictures
# In place of a picture that cannot be shown.
_PLACE = (240, 180)


@dataclass(frozen=True)
class DrawnMatch:
    """The correspondences that are drawn, as SVG path data on a ``Sheet``.

    Attributes:
        n_inliers: how many there are, drawn or not.
        outlines: the ellipses on both pictures, one entry a correspondence, large ones first.
        lines: from centre to centre, one entry a correspondence.
    """

    n_inliers: int
    outlines: list[str]
    lines: list[str]


@dataclass(frozen=True)
class Placed:
    """A picture on a sheet.

    Attributes:
        picture: None where it cannot be shown.
        corner: its top left one on the sheet.
        size: width and height on the sheet.
        scale: by which it is enlarged there.
    """

    picture: ShownPicture | None
    corner: tuple[float, float]
    size: tuple[float, float]
    scale: float


@dataclass(frozen=True)
class Sheet:
    """Two pictures side by side, their longer sides equal; the lower one is centred vertically.

    Attributes:
        first, second: None where a picture cannot be shown.
    """

    first: ShownPicture | None
    second: ShownPicture | None

    @cached_property
    def parts(self) -> tuple[Placed, Placed]:
        """Where the two are."""
        pictures = (self.first, self.second)
        sizes = [picture.size if picture else _PLACE for picture in pictures]
        longest = max(map(max, sizes))
        scales = [longest / max(size) for size in sizes]
        widths, heights = (
            [size[axis] * scale for size, scale in zip(sizes, scales, strict=True)]
            for axis in (0, 1)
        )
        tops = [(max(heights) - height) / 2 for height in heights]
        lefts = [0.0, widths[0] + _GAP]
        corners, placed = zip(lefts, tops, strict=True), zip(widths, heights, strict=True)
        first, second = map(Placed, pictures, corners, placed, scales)
        return first, second

    @property
    def width(self) -> float:
        last = self.parts[1]
        return last.corner[0] + last.size[0]

    @property
    def height(self) -> float:
        return max(part.size[1] for part in self.parts)

    def draw(self, first: Ellipses, second: Ellipses, n_inliers: int) -> DrawnMatch | None:
        """Correspondences on the sheet; None where a picture is not there to draw on.

        Args:
            first, second: ``m`` ellipses each, in pixels of the whole images; those that are no
                numbers are left out.
            n_inliers: as in ``DrawnMatch``.
        """
        sides = []
        for ellipses, part in zip((first, second), self.parts, strict=True):
            if part.picture is None:
                return None
            sides.append(ellipses.resized(part.picture.factor * part.scale).moved(part.corner))
        good = np.flatnonzero(np.logical_and(*map(_are_finite, sides)))
        # Small ones lie above large ones, where they can be pointed at.
        good = good[np.argsort(-np.linalg.det(sides[0].covariances[good]), kind="stable")]
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
