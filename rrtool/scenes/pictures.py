"""The pictures of a scene: posters, which recur, and backgrounds, which never do."""

from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from rrtool.scenes.patterns import PATTERNS, Size, glyphs, palette

_SUPERSAMPLING = 2
_MUTED = 0.4  # vividness of the clutter: the posters stand out, as in shops and streets
_SMALLEST_PANEL = 0.3  # of the poster's side


def draw_poster(rng: np.random.Generator, size: Size) -> Image.Image:
    """A framed poster: panels with different patterns under a line of writing.

    Args:
        size: ``(width, height)`` in pixels.

    Returns:
        An RGB image of that size, drawn at twice the size and reduced, so that edges are smooth.
    """
    width, height = (_SUPERSAMPLING * side for side in size)
    colours = palette(rng, 5)
    poster = Image.new("RGB", (width, height), colours[0])
    title = round(0.2 * height)
    poster.paste(glyphs((width, title), rng, colours), (0, 0))
    for x0, y0, x1, y1 in _panels((0, title, width, height), rng, _SMALLEST_PANEL * width):
        pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
        poster.paste(pattern((x1 - x0, y1 - y0), rng, colours), (x0, y0))
    frame = ImageDraw.Draw(poster)
    frame.rectangle((0, 0, width - 1, height - 1), outline=colours[1], width=width // 40)
    return poster.resize(size, Image.Resampling.BOX)


def _panels(
    box: tuple[int, int, int, int], rng: np.random.Generator, smallest: float
) -> Iterator[tuple[int, int, int, int]]:
    """``box`` cut across its longer side, again and again."""
    x0, y0, x1, y1 = box
    if max(x1 - x0, y1 - y0) < 2 * smallest:
        yield box
        return
    share = rng.uniform(0.35, 0.65)
    if x1 - x0 >= y1 - y0:
        cut = x0 + round(share * (x1 - x0))
        parts = ((x0, y0, cut, y1), (cut, y0, x1, y1))
    else:
        cut = y0 + round(share * (y1 - y0))
        parts = ((x0, y0, x1, cut), (x0, cut, x1, y1))
    for part in parts:
        yield from _panels(part, rng, smallest)


def draw_background(rng: np.random.Generator, size: Size, n_patches: int) -> Image.Image:
    """Cloudy colours, littered with patterned patches: as busy as the posters, never the same.

    Args:
        size: ``(width, height)`` in pixels.
    """
    image = _clouds(rng, size)
    for _ in range(n_patches):
        patch_size = tuple(int(side) for side in rng.uniform(0.06, 0.35, size=2) * max(size))
        patch = draw_patch(rng, (patch_size[0], patch_size[1]))
        corner = rng.uniform(-0.15, 1.0, size=2) * size
        image.paste(patch, (int(corner[0]), int(corner[1])), patch)
    return image


def _clouds(rng: np.random.Generator, size: Size) -> Image.Image:
    """Muted colour noise, the sum of four octaves."""
    image = Image.new("RGB", size, (140, 140, 140))
    for octave in range(2, 6):
        coarse = rng.uniform(60, 220, size=(2**octave, 2**octave, 3))
        coarse = coarse.mean(axis=2, keepdims=True) + _MUTED * (coarse - 140)
        layer = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
        image = Image.blend(image, layer.resize(size, Image.Resampling.BICUBIC), 0.4)
    return image


def draw_patch(rng: np.random.Generator, size: Size) -> Image.Image:
    """A patterned rectangle, ellipse or triangle on a transparent (RGBA) ground, turned freely."""
    pattern = PATTERNS[int(rng.integers(len(PATTERNS)))]
    patch = pattern(size, rng, palette(rng, 4, _MUTED)).convert("RGBA")
    mask = Image.new("L", size, 0)
    draw, corner = ImageDraw.Draw(mask), (size[0] - 1, size[1] - 1)
    shape = rng.integers(3)
    if shape == 0:
        draw.rectangle((0, 0, *corner), fill=255)
    elif shape == 1:
        draw.ellipse((0, 0, *corner), fill=255)
    else:
        draw.polygon([(0, corner[1]), corner, (rng.uniform(0, corner[0]), 0)], fill=255)
    patch.putalpha(mask)
    return patch.rotate(rng.uniform(0, 360), Image.Resampling.BICUBIC, expand=True)
