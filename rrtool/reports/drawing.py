"""Draw two images side by side with the inlier ellipses joined by lines (thesis fig. 4.5)."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

_OVERSAMPLING = 2  # Pillow draws without antialiasing: draw large, then shrink
_ELLIPSE_POINTS = 40


@dataclass(frozen=True)
class Ellipses:
    """Affine frames in pixels of an image.

    Attributes:
        means: ``(n, 2)`` float, x, y.
        axes: ``(n, 2, 2)`` float, matrices that map the unit circle to the ellipse.
    """

    means: np.ndarray
    axes: np.ndarray


def ellipses_in_pixels(
    means: np.ndarray, covariances: np.ndarray, map_size: np.ndarray, box: np.ndarray
) -> Ellipses:
    """From cells of an activation map to pixels of the image it describes.

    Cell ``x`` of a map of ``w`` cells over ``x0 … x1`` lies at ``x0 + (x + ½)(x1 − x0)/w − ½``.

    Args:
        means: ``(n, 2)`` in cells.
        covariances: ``(n, 3)`` in squared cells, ``(Σ_xx, Σ_xy, Σ_yy)``.
        map_size: ``(w, h)`` in cells.
        box: ``(x0, y0, x1, y1)``, the part of the image that the map describes, in pixels.
    """
    cell = (box[2:] - box[:2]) / np.maximum(map_size, 1)
    matrices = covariances[:, [0, 1, 1, 2]].reshape(-1, 2, 2).astype(np.float64)
    axes = np.linalg.cholesky(matrices) * cell[:, None] if len(matrices) else matrices
    return Ellipses(box[:2] + (means + 0.5) * cell - 0.5, axes)


def draw_matches(
    query: Image.Image,
    database: Image.Image,
    query_ellipses: Ellipses,
    database_ellipses: Ellipses,
    height: int = 320,
) -> Image.Image:
    """Both images at one height, every correspondence in a colour of its own.

    Args:
        query, database: RGB.
        query_ellipses, database_ellipses: ``n`` each, in pixels of the images; row i of one
            corresponds to row i of the other.
        height: of the picture, in pixels.
    """
    tall = height * _OVERSAMPLING
    factors = [tall / image.height for image in (query, database)]
    shown = [
        image.resize((max(1, round(image.width * factor)), tall))
        for image, factor in zip((query, database), factors, strict=True)
    ]
    gap = 8 * _OVERSAMPLING
    canvas = Image.new("RGB", (shown[0].width + gap + shown[1].width, tall), "white")
    shifts = (0, shown[0].width + gap)
    for image, shift in zip(shown, shifts, strict=True):
        canvas.paste(image, (shift, 0))
    draw = ImageDraw.Draw(canvas)
    sides = (query_ellipses, database_ellipses)
    n_matches = len(query_ellipses.means)
    for row in range(n_matches):
        color = tuple(round(255 * c) for c in colorsys.hsv_to_rgb(row / n_matches, 0.9, 1.0))
        ends = []
        for side, factor, shift in zip(sides, factors, shifts, strict=True):
            outline = _outline(side, row) * factor + (shift, 0)
            draw.line([tuple(p) for p in outline], fill=color, width=2 * _OVERSAMPLING)
            ends.append(tuple(side.means[row] * factor + (shift, 0)))
        draw.line(ends, fill=color, width=_OVERSAMPLING)
    return canvas.resize((canvas.width // _OVERSAMPLING, height), Image.Resampling.LANCZOS)


def _outline(ellipses: Ellipses, row: int) -> np.ndarray:
    """Points ``(m, 2)`` around one ellipse, closed."""
    angles = np.linspace(0, 2 * np.pi, _ELLIPSE_POINTS)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    return ellipses.means[row] + (ellipses.axes[row] @ circle).T
