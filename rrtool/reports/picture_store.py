"""The pictures of a page, each of them in it once, however often it is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from rrtool.reports.pictures import Pictures

Box = tuple[float, float, float, float]

# A JPEG takes 0.3 bytes a pixel or less; in base64 and at 3:4 that is as much for each pixel of a
# square of its longer side. This keeps a page of 900 pictures at about 15 MB.
_PIXELS = 50_000_000
_LEAST, _MOST = 240, 480  # longer side in pixels


@dataclass(frozen=True)
class ShownPicture:
    """A picture of a page, to be shown by its number.

    Attributes:
        number: from 0.
        size: width and height in pixels.
        factor: by which it is shrunk.
    """

    number: int
    size: tuple[int, int]
    factor: float

    def box(self, box: Sequence[float]) -> Box | None:
        """A box of the whole image on the picture; None where that is all of it, or nothing."""
        edges = [
            min(max(edge * self.factor, 0.0), float(side))
            for edge, side in zip(box, self.size * 2, strict=True)
        ]
        x0, y0, x1, y1 = (0.0 if math.isnan(edge) else edge for edge in edges)
        is_all = max(x0, y0, self.size[0] - x1, self.size[1] - y1) < 1
        return None if is_all or x1 <= x0 or y1 <= y0 else (x0, y0, x1, y1)


def side_of(n: int, most: int = _MOST) -> int:
    """The longer side, in pixels, of each of ``n`` pictures of a page."""
    return round(min(max(math.sqrt(_PIXELS / max(n, 1)), _LEAST), most))


class PictureStore:
    """Gives each picture of a page a number, and the picture itself when it is first shown.

    Args:
        n: how many there may be: the more, the smaller they are.
    """

    def __init__(self, n: int) -> None:
        self._size = side_of(n)
        self._shown: dict[tuple[int, str], ShownPicture | None] = {}
        self._new: list[tuple[int, Image.Image]] = []

    def show(self, pictures: Pictures, name: str) -> ShownPicture | None:
        """A picture to be shown; None if it cannot be read."""
        key = (id(pictures), name)
        if key not in self._shown:
            self._shown[key] = self._load(pictures, name)
        return self._shown[key]

    def _load(self, pictures: Pictures, name: str) -> ShownPicture | None:
        loaded = pictures.load(name, self._size)
        if loaded is None:
            return None
        picture, factor = loaded
        number = len(self._shown)
        self._new.append((number, picture))
        return ShownPicture(number, picture.size, factor)

    def take_new(self) -> list[tuple[int, Image.Image]]:
        """The pictures that the page has not got yet, with their numbers."""
        new, self._new = self._new, []
        return new
