"""What is drawn over photos: boxes, and local features as ellipses (thesis fig. 4.5)."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

# A filled ellipse with half-axes a has the covariance (a / 2)² along them.
_REGION_DEVIATIONS = 2.0
BOX_COLOUR = (255, 214, 10)


@dataclass(frozen=True)
class Ellipses:
    """Ellipses in pixels; pixel centres lie at integers.

    Attributes:
        means: ``(m, 2)`` float64, ``(x, y)``.
        covariances: ``(m, 2, 2)`` float64, in squared pixels.
    """

    means: np.ndarray
    covariances: np.ndarray

    def resized(self, factor: float) -> Ellipses:
        """The same ellipses in an image shrunk by ``factor``."""
        return Ellipses((self.means + 0.5) * factor - 0.5, self.covariances * factor**2)

    def moved(self, by: tuple[float, float]) -> Ellipses:
        """The same ellipses in an image whose corner lies at ``by`` of a larger one."""
        return Ellipses(self.means + by, self.covariances)

    def centres(self) -> np.ndarray:
        """``(m, 2)`` in SVG's coordinates, where pixel centres lie at halves."""
        return self.means + 0.5

    def outlines(self) -> list[str]:
        """The borders of the regions as SVG path data."""
        return [
            _outline(*centre, *covariance[[0, 0, 1], [0, 1, 1]].tolist())
            for centre, covariance in zip(self.centres().tolist(), self.covariances, strict=True)
        ]


def _outline(x: float, y: float, xx: float, xy: float, yy: float) -> str:
    """The ellipse as two arcs, from one end of its longer axis and back."""
    middle, spread = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
    a, b = (
        _REGION_DEVIATIONS * math.sqrt(max(variance, 0.0))
        for variance in (middle + spread, middle - spread)
    )
    angle = math.atan2(2 * xy, xx - yy) / 2
    dx, dy = a * math.cos(angle), a * math.sin(angle)
    radii = f"a{a:.1f} {b:.1f} {math.degrees(angle):.1f} 1 0"
    there, back = f"{2 * dx:.1f} {2 * dy:.1f}", f"{-2 * dx:.1f} {-2 * dy:.1f}"
    return f"M{x - dx:.1f} {y - dy:.1f}{radii} {there}{radii} {back}"


def ellipses_in_pixels(
    means: np.ndarray,
    covariances: np.ndarray,
    map_size: tuple[int, int],
    box: tuple[float, float, float, float],
) -> Ellipses:
    """Local features of an activation map as ellipses in the image it was made from.

    Args:
        means: ``(m, 2)`` in cells, cell centres at integers.
        covariances: ``(m, 3)`` as ``(Σ_xx, Σ_xy, Σ_yy)`` in squared cells.
        map_size: ``(w, h)`` of the map in cells.
        box: part of the image that the map covers, in pixels from the image's corner.
    """
    x0, y0, x1, y1 = box
    cell = np.array([(x1 - x0) / map_size[0], (y1 - y0) / map_size[1]])
    xx, xy, yy = np.asarray(covariances, dtype=np.float64).reshape(-1, 3).T
    full = np.stack([np.stack([xx, xy], axis=1), np.stack([xy, yy], axis=1)], axis=1)
    centres = np.asarray(means, dtype=np.float64).reshape(-1, 2)
    return Ellipses((centres + 0.5) * cell + (x0, y0) - 0.5, full * np.outer(cell, cell))


def distinct_colours(n: int) -> list[Colour]:
    """``n`` bright colours; neighbours in the list are far apart in hue."""
    hues = (np.arange(n) * 0.618033988749895) % 1.0
    parts = [colorsys.hsv_to_rgb(hue, 0.85 if i % 2 else 0.55, 1.0) for i, hue in enumerate(hues)]
    return [(round(255 * r), round(255 * g), round(255 * b)) for r, g, b in parts]


def draw_box(
    image: Image.Image,
    box: Sequence[float] | np.ndarray,
    width: int = 3,
    colour: Colour = BOX_COLOUR,
) -> Image.Image:
    """A copy with the border of ``box`` (x0, y0, x1, y1) drawn inside of it, on black."""
    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    x0, y0, x1, y1 = (
        round(min(max(0.0, edge), side)) for edge, side in zip(box, image.size * 2, strict=True)
    )
    x1, y1 = x1 - 1, y1 - 1
    if x1 > x0 and y1 > y0:
        pen.rectangle((x0, y0, x1, y1), outline=(0, 0, 0), width=width + 2)
        inner = (min(x0 + 1, x1), min(y0 + 1, y1), max(x1 - 1, x0), max(y1 - 1, y0))
        if inner[2] > inner[0] and inner[3] > inner[1]:
            pen.rectangle(inner, outline=colour, width=width)
    return drawn


def rectangle_outline(box: Sequence[float] | np.ndarray, inset: float = 1.0) -> str:
    """The border of ``box`` (x0, y0, x1, y1) as SVG path data, drawn a little inside of it."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    return f"M{x0 + inset:.1f} {y0 + inset:.1f}H{x1 - inset:.1f}V{y1 - inset:.1f}H{x0 + inset:.1f}z"
