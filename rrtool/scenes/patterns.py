"""Patterns drawn from a random generator: what posters and cluttered backgrounds are made of."""

import colorsys
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Size = tuple[int, int]
Pattern = Callable[[Size, np.random.Generator, Sequence[Colour]], Image.Image]


def palette(rng: np.random.Generator, n: int, vividness: float = 1.0) -> list[Colour]:
    """``n`` colours around two hues, light and dark in turn.

    Args:
        vividness: of colour and contrast, from 0 (all grey) to 1.
    """
    hues = rng.random(2)
    return [_colour(rng, hues[i // 2 % 2], i % 2 == 0, vividness) for i in range(n)]


def _colour(rng: np.random.Generator, hue: float, light: bool, vividness: float) -> Colour:
    hue = (hue + rng.uniform(-0.06, 0.06)) % 1.0
    saturation = vividness * (rng.uniform(0.3, 0.8) if light else rng.uniform(0.6, 1.0))
    value = rng.uniform(0.8, 1.0) if light else rng.uniform(0.1, 0.45)
    value = 0.55 + vividness * (value - 0.55)
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def pick(rng: np.random.Generator, colours: Sequence[Colour]) -> tuple[Colour, Colour]:
    """Two different entries of ``colours``."""
    first, second = rng.choice(len(colours), size=2, replace=False)
    return colours[first], colours[second]


def stripes(size: Size, rng: np.random.Generator, colours: Sequence[Colour]) -> Image.Image:
    """Parallel slanted bars."""
    image, draw, ink = _sheet(size, rng, colours)
    step = rng.uniform(0.12, 0.3) * min(size) + 4
    slant = rng.uniform(-1.2, 1.2) * size[1]
    upright = rng.random() < 0.5
    for start in np.arange(-abs(slant), max(size) + abs(slant), step):
        line = [(start, 0), (start + slant, size[1])]
        draw.line(line if upright else [(y, x) for x, y in line], fill=ink, width=int(step / 2))
    return image


def checks(size: Size, rng: np.random.Generator, colours: Sequence[Colour]) -> Image.Image:
    """A chessboard of oblong fields."""
    image, draw, ink = _sheet(size, rng, colours)
    columns, rows = rng.integers(3, 7, size=2)
    width, height = size[0] / columns, size[1] / rows
    for row in range(rows):
        for column in range(row % 2, columns, 2):
            corner = (column * width, row * height)
            draw.rectangle((*corner, corner[0] + width, corner[1] + height), fill=ink)
    return image


def dots(size: Size, rng: np.random.Generator, colours: Sequence[Colour]) -> Image.Image:
    """Rows of discs, every second row shifted."""
    image, draw, ink = _sheet(size, rng, colours)
    step = rng.uniform(0.16, 0.34) * min(size) + 4
    radius = step * rng.uniform(0.22, 0.42)
    for row, y in enumerate(np.arange(step / 2, size[1] + step, step)):
        for x in np.arange(step / 2 * (row % 2), size[0] + step, step):
            draw.ellipse(_around(x, y, radius), fill=ink)
    return image


def rings(size: Size, rng: np.random.Generator, colours: Sequence[Colour]) -> Image.Image:
    """Concentric discs about a point off the middle."""
    image, draw, _ = _sheet(size, rng, colours)
    x, y = rng.uniform(0.35, 0.65, size=2) * size
    n_rings = int(rng.integers(3, 7))
    for ring in range(n_rings, 0, -1):
        radius = 0.55 * min(size) * ring / n_rings
        draw.ellipse(_around(x, y, radius), fill=colours[ring % len(colours)])
    return image


def star(size: Size, rng: np.random.Generator, colours: Sequence[Colour]) -> Image.Image:
    """A star, with a smaller one inside."""
    image, draw, ink = _sheet(size, rng, colours)
    n_tips, depth = int(rng.integers(3, 9)), rng.uniform(0.3, 0.65)
    for radius, colour in ((0.5, ink), (0.22, colours[int(rng.integers(len(colours)))])):
        angles = np.arange(2 * n_tips) * np.pi / n_tips - np.pi / 2
        radii = np.where(np.arange(2 * n_tips) % 2, depth, 1.0) * radius
        x, y = (0.5 + radii * np.cos(angles)) * size[0], (0.5 + radii * np.sin(angles)) * size[1]
        draw.polygon(list(zip(x, y, strict=True)), fill=colour)
    return image


def zigzag(size: Size, rng: np.random.Generator, colours: Sequence[Colour]) -> Image.Image:
    """Horizontal zigzag lines."""
    image, draw, ink = _sheet(size, rng, colours)
    step = rng.uniform(0.18, 0.35) * min(size) + 4
    for y in np.arange(-step, size[1] + step, step):
        points = [
            (x, y + (step / 2 if i % 2 else -step / 2))
            for i, x in enumerate(np.arange(-step, size[0] + step, step))
        ]
        draw.line(points, fill=ink, width=max(2, int(step / 4)))
    return image


def glyphs(size: Size, rng: np.random.Generator, colours: Sequence[Colour]) -> Image.Image:
    """Lines of strokes that look like writing in an unknown script."""
    image, draw, ink = _sheet(size, rng, colours)
    n_lines = int(rng.integers(1, 4))
    height = size[1] / n_lines
    width = height * rng.uniform(0.45, 0.8)
    for line in range(n_lines):
        for x in np.arange(0.2 * width, size[0] - 0.8 * width, width):
            _glyph(draw, (x, (line + 0.15) * height), (0.7 * width, 0.7 * height), rng, ink)
    return image


def _glyph(
    draw: ImageDraw.ImageDraw,
    corner: tuple[float, float],
    extent: tuple[float, float],
    rng: np.random.Generator,
    ink: Colour,
) -> None:
    """Two or three strokes between the nodes of a 3 × 3 grid."""
    for _ in range(int(rng.integers(2, 4))):
        nodes = rng.integers(0, 3, size=(3, 2)) / 2
        points = [(corner[0] + x * extent[0], corner[1] + y * extent[1]) for x, y in nodes]
        draw.line(points, fill=ink, width=max(2, int(0.14 * extent[1])), joint="curve")


def gradient(size: Size, rng: np.random.Generator, colours: Sequence[Colour]) -> Image.Image:
    """A smooth change from one colour to another."""
    first, second = (np.array(colour, dtype=np.float64) for colour in pick(rng, colours))
    x, y = np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1])
    mix = rng.random()
    ramp = (mix * x[None, :] + (1 - mix) * y[:, None])[..., None]
    return Image.fromarray((first + ramp * (second - first)).round().astype(np.uint8))


PATTERNS: tuple[Pattern, ...] = (stripes, checks, dots, rings, star, zigzag, glyphs, gradient)


def _sheet(
    size: Size, rng: np.random.Generator, colours: Sequence[Colour]
) -> tuple[Image.Image, ImageDraw.ImageDraw, Colour]:
    paper, ink = pick(rng, colours)
    image = Image.new("RGB", size, paper)
    return image, ImageDraw.Draw(image), ink


def _around(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius
