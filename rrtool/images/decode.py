"""Decode one image file to 8-bit sRGB, upright and at the working size, or say why not."""

import io
import os
import warnings
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from rrtool.errors import printable
from rrtool.files import open_regular
from rrtool.images.colour import GreyScale, opaque, scale_transparency, to_srgb, transform_of
from rrtool.images.metadata import orientation_of, without_metadata
from rrtool.images.opening import DEFAULT_MAX_PIXELS, ImageError, open_photo, photo_format

__all__ = ["DEFAULT_MAX_PIXELS", "Box", "DecodedImage", "ImageError", "decode_image"]

# Larger images are reduced by whole factors first, to this many times the size that is asked for:
# that is indistinguishable, and saves a copy of all pixels.
_LARGE, _REDUCED = 1 << 25, 3
# JPEGs are decoded at the smallest of libjpeg's scales that leaves so many times the size that is
# asked for. Below that a descriptor's cosine to one of a full decode falls under .9999
# (docs/benchmarks.md); photos of 12 megapixels, 4000 pixels wide, are decoded at half for 1024.
_MARGIN = 1.75
_STRIP = 1 << 20  # pixels that are converted at a time
_MOST_MENDED = 1 << 28  # bytes
# How an upright image is made of the stored one, by EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class DecodedImage:
    """Pixels at the working size, and the geometry that leads back to the file's.

    Attributes:
        pixels: ``(h, w, 3)`` uint8 RGB.
        full_size: ``(width, height)`` of the upright image before cropping and resizing.
        box: the crop ``(x0, y0, x1, y1)`` in pixels of the upright image.
    """

    pixels: np.ndarray
    full_size: tuple[int, int]
    box: Box


def decode_image(
    path: str, max_size: int, box: Box | None = None, max_pixels: int = DEFAULT_MAX_PIXELS
) -> DecodedImage:
    """Read, turn upright (EXIF), crop to ``box``, and shrink so the longer side fits ``max_size``.

    A crop is shrunk by the factor that its full image would be, as in the revisited protocol;
    nothing is ever enlarged. Transparent pixels are laid over white, of an animation the first
    frame is taken, 16-bit samples are scaled to 8, and colours with an ICC profile become sRGB.

    It takes at most 12 bytes of memory for each pixel of ``max_pixels`` (1.8 GB by default), and
    usually what the decoder takes: 4 bytes for each pixel of the file.

    Raises:
        ImageError: with the reason in one line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of oddities that it can deal with
            with open_regular(path) as file:
                image_format = photo_format(file, path, max_pixels)
                return _decode_or_mend(file, image_format, _Wanted(max_size, box, max_pixels))
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError(f"a damaged photo: its header ({image_format}) cannot be read") from None
    # Decoders let out anything on damaged files, and one photo must not end the run.
    except Exception as error:  # noqa: BLE001
        raise ImageError(_in_one_line(error)) from None


def _in_one_line(error: Exception) -> str:
    text = (getattr(error, "strerror", None) or str(error)).strip()
    return printable(text.splitlines()[0]) if text else type(error).__name__


@dataclass(frozen=True)
class _Wanted:
    """What is asked of a photo: see ``decode_image``."""

    max_size: int
    box: Box | None
    max_pixels: int


def _decode_or_mend(file: BinaryIO, image_format: str, wanted: _Wanted) -> DecodedImage:
    """Decode; once more without its metadata, if these are what Pillow stumbled over."""
    try:
        return _decode(file, image_format, wanted)
    except ImageError:
        raise
    except Exception:  # whatever a plugin lets out: it is raised again below
        if os.fstat(file.fileno()).st_size > _MOST_MENDED:
            raise
        file.seek(0)
        content = file.read()
        mended = without_metadata(content, image_format)
        if mended is None or mended == content:
            raise
        return _decode(io.BytesIO(mended), image_format, wanted)


def _decode(file: BinaryIO, image_format: str, wanted: _Wanted) -> DecodedImage:
    with open_photo(file, image_format, wanted.max_pixels) as image:
        orientation = orientation_of(image)
        scale_transparency(image)
        size = _load(image, None if wanted.box else wanted.max_size)
        full_size = size if orientation < 5 else (size[1], size[0])
        box = _clip(wanted.box or (0, 0, *full_size), full_size)
        stored = _stored_box(box, full_size, orientation) if wanted.box else None
        transform = transform_of(image)
        mode = "CMYK" if transform is not None and image.mode == "CMYK" else "RGB"
        upright = _opaque(image, mode, stored, _REDUCED * wanted.max_size)
        if upright is not image:
            image.close()  # its pixels go
    if orientation in _TURNS:
        upright = upright.transpose(_TURNS[orientation])
    shrink = min(1.0, wanted.max_size / max(full_size))
    longest = max(1, round(shrink * max(box[2] - box[0], box[3] - box[1])))
    upright.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=None)
    return DecodedImage(np.asarray(to_srgb(upright, transform)), full_size, box)


def _load(image: Image.Image, max_size: int | None) -> tuple[int, int]:
    """Decode the pixels; returns the size of the image in the file.

    Args:
        max_size: that the longer side is shrunk to; None where all pixels are needed.
    """
    if image.format in ("JPEG", "MPO"):
        size = image.size
        if max_size is not None:
            # Lets libjpeg decode at a half, a quarter or an eighth where that is large enough. Both
            # sides are asked for: Pillow goes by the one that allows less.
            enough = _MARGIN * max_size / max(size)
            image.draft(None, (max(1, int(enough * size[0])), max(1, int(enough * size[1]))))
        image.load()
        return size
    image.load()
    return image.size  # some decoders know it only now


def _clip(box: Box, size: tuple[int, int]) -> Box:
    x0, y0 = max(0.0, box[0]), max(0.0, box[1])
    x1, y1 = min(float(size[0]), box[2]), min(float(size[1]), box[3])
    if round(x1) - round(x0) < 1 or round(y1) - round(y0) < 1:
        extent = f"{size[0]}×{size[1]} pixels"
        raise ImageError(f"the box {tuple(box)} lies outside the image of {extent}")
    return x0, y0, x1, y1


def _stored_box(box: Box, size: tuple[int, int], orientation: int) -> tuple[int, int, int, int]:
    """Where the box of an upright image of ``size`` lies in the file's image, in whole pixels."""
    x0, y0, x1, y1 = (round(edge) for edge in box)
    if orientation in (2, 3, 6, 7):
        x0, x1 = size[0] - x1, size[0] - x0
    if orientation in (3, 4, 7, 8):
        y0, y1 = size[1] - y1, size[1] - y0
    return (y0, x0, y1, x1) if orientation >= 5 else (x0, y0, x1, y1)


def _opaque(
    image: Image.Image, mode: str, box: tuple[int, int, int, int] | None, enough: int
) -> Image.Image:
    """The image, or a box of it, without transparency; made strip by strip, to save memory.

    Args:
        mode: see ``colour.opaque``.
        enough: a whole image that is large is reduced by a factor that leaves so many pixels.
    """
    x0, y0, x1, y1 = box or (0, 0, *image.size)
    width, height = x1 - x0, y1 - y0
    is_large = box is None and width * height > _LARGE
    factor = max(1, max(width, height) // enough) if is_large else 1
    if image.mode == mode and "transparency" not in image.info and box is None and factor == 1:
        return image
    scale = GreyScale.of(image)
    result = Image.new(mode, (-(-width // factor), -(-height // factor)))
    rows = max(1, _STRIP // width // factor) * factor
    for top in range(0, height, rows):
        strip = image.crop((x0, y0 + top, x1, y0 + min(top + rows, height)))
        plain = opaque(strip, scale, mode)
        result.paste(plain.reduce(factor) if factor > 1 else plain, (0, top // factor))
    return result
