"""Decode one image file to 8-bit RGB, upright and at the working size, or say why not."""

import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

DEFAULT_MAX_PIXELS = 150_000_000
# The limit is ours (``max_pixels``), checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

# Pillow's plugins let all of these out on damaged files.
_MALFORMED = (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, MemoryError)

Box = tuple[float, float, float, float]


class ImageError(Exception):
    """An image that cannot be used; the message is the reason, in one line."""


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
    frame is taken, 16-bit samples are scaled to 8.

    Raises:
        ImageError: with the reason in one line.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of oddities that it can deal with
            with Image.open(path) as image:
                return _decode(image, max_size, box, max_pixels)
    except UnidentifiedImageError:
        raise ImageError("not an image, or of an unknown format") from None
    except _MALFORMED as error:
        text = (getattr(error, "strerror", None) or str(error)).strip() or type(error).__name__
        raise ImageError(text.splitlines()[0]) from None


def _decode(image: Image.Image, max_size: int, box: Box | None, max_pixels: int) -> DecodedImage:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"the image has no pixels ({width}×{height})")
    if width * height > max_pixels:
        raise ImageError(f"{width}×{height} pixels are over the limit of {max_pixels} pixels")
    if box is None:
        # Lets libjpeg decode at a half, a quarter … where that is still large enough.
        image.draft("RGB", (2 * max_size, 2 * max_size))
    turned = _orientation(image) >= 5
    full_size = (height, width) if turned else (width, height)
    upright = ImageOps.exif_transpose(_to_rgb(image))
    if box is None:
        box = (0.0, 0.0, float(full_size[0]), float(full_size[1]))
    else:
        box = _clip(box, full_size)
        x0, y0, x1, y1 = (round(edge) for edge in box)
        upright = upright.crop((x0, y0, x1, y1))
    shrink = min(1.0, max_size / max(full_size))
    longest = max(1, round(shrink * max(box[2] - box[0], box[3] - box[1])))
    upright.thumbnail((longest, longest), Image.Resampling.LANCZOS, reducing_gap=None)
    return DecodedImage(np.asarray(upright), full_size, box)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; 5 to 8 swap width and height. Damaged EXIF counts as upright."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except (ValueError, TypeError, SyntaxError, OSError):
        return 1


def _clip(box: Box, size: tuple[int, int]) -> Box:
    x0, y0 = max(0.0, box[0]), max(0.0, box[1])
    x1, y1 = min(float(size[0]), box[2]), min(float(size[1]), box[3])
    if round(x1) - round(x0) < 1 or round(y1) - round(y0) < 1:
        extent = f"{size[0]}×{size[1]} pixels"
        raise ImageError(f"the box {tuple(box)} lies outside the image of {extent}")
    return x0, y0, x1, y1


def _to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB; the result keeps the EXIF orientation of the original."""
    exif = image.getexif() if _orientation(image) != 1 else None
    if image.mode.startswith("I"):
        converted = Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    elif image.mode == "F":
        raise ImageError("floating-point pixels have no defined range")
    elif image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        converted = Image.alpha_composite(white, layer).convert("RGB")
    else:
        converted = image.convert("RGB")
    if exif is not None:
        converted.info["exif"] = exif.tobytes()
    return converted


def _eight_bits(samples: np.ndarray) -> np.ndarray:
    """16-bit samples (Pillow's modes I and I;16) to 8 bits."""
    return np.clip(np.round(samples.astype(np.float32) / 257.0), 0, 255).astype(np.uint8)
