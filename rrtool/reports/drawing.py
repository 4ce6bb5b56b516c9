"""Drawings of spatially verified matches, as in fig. 4.5 of the thesis."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]

_SUPERSAMPLING = 2
_GAP = 12  # pixels between the two images
_LINE_ALPHA = 150
_OUTLINE_POINTS = 64
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

    def outlines(self) -> np.ndarray:
        """Points of the borders, ``(m, 64, 2)``."""
        angles = np.linspace(0, 2 * np.pi, _OUTLINE_POINTS, endpoint=False)
        circle = _REGION_DEVIATIONS * np.stack([np.cos(angles), np.sin(angles)])
        # A matrix square root by eigenvalues takes singular ones too, which cholesky refuses.
        values, vectors = np.linalg.eigh(self.covariances)
        roots = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]
        return self.means[:, None, :] + (roots @ circle).transpose(0, 2, 1)


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


def draw_matches(
    first: Image.Image,
    second: Image.Image,
    first_ellipses: Ellipses,
    second_ellipses: Ellipses,
    width: float = 1.5,
) -> Image.Image:
    """Two images side by side; matching ellipses in one colour, joined by a line, all different.

    Args:
        first, second: RGB; the smaller one in height is centred vertically.
        first_ellipses, second_ellipses: ``m`` each, in the pixels of these images.
        width: of the pen, in pixels.

    Returns:
        RGB of ``(w₁ + 12 + w₂, max(h₁, h₂))`` pixels on a grey ground.
    """
    colours = distinct_colours(len(first_ellipses.means))
    sheet, shifts = _side_by_side(first, second)
    large = sheet.resize((sheet.width * _SUPERSAMPLING, sheet.height * _SUPERSAMPLING))
    layer = Image.new("RGBA", large.size, (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    sides = list(zip((first_ellipses, second_ellipses), shifts, strict=True))
    ends = [_on_sheet(ellipses.means, shift) for ellipses, shift in sides]
    thick = max(1, round(width * _SUPERSAMPLING))
    for start, end, colour in zip(*ends, colours, strict=True):
        pen.line([tuple(start), tuple(end)], fill=(*colour, _LINE_ALPHA), width=max(1, thick // 2))
    for ellipses, shift in sides:
        _draw_outlines(pen, _on_sheet(ellipses.outlines(), shift), colours, thick)
    large.paste(layer, mask=layer)
    return large.resize(sheet.size, Image.Resampling.BOX)


def _side_by_side(
    first: Image.Image, second: Image.Image
) -> tuple[Image.Image, list[tuple[int, int]]]:
    """The sheet and the top-left corners of both images on it."""
    height = max(first.height, second.height)
    sheet = Image.new("RGB", (first.width + _GAP + second.width, height), (128, 128, 128))
    shifts = [
        (0, (height - first.height) // 2),
        (first.width + _GAP, (height - second.height) // 2),
    ]
    for image, shift in zip((first, second), shifts, strict=True):
        sheet.paste(image, shift)
    return sheet, shifts


def _on_sheet(points: np.ndarray, shift: tuple[int, int]) -> np.ndarray:
    """Pixels of one image to pixels of the supersampled sheet."""
    return (points + shift + 0.5) * _SUPERSAMPLING - 0.5


def _draw_outlines(
    pen: ImageDraw.ImageDraw, outlines: np.ndarray, colours: list[Colour], width: int
) -> None:
    """Each outline over a wider dark one, so that it shows on any ground."""
    for outline, colour in zip(outlines, colours, strict=True):
        closed = [tuple(point) for point in (*outline, outline[0], outline[1])]
        pen.line(closed, fill=(0, 0, 0, 160), width=width + _SUPERSAMPLING, joint="curve")
        pen.line(closed, fill=(*colour, 255), width=width, joint="curve")
