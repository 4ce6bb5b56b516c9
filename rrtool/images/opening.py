"""Opening photos of other people with Pillow: listed formats only, and none that takes too much."""

import os
from importlib import import_module
from typing import BinaryIO

from PIL import Image

from rrtool.images.formats import RAW, SNIFFED_BYTES, format_of, why_unread

DEFAULT_MAX_PIXELS = 150_000_000
# The limit is ours (``max_pixels``), checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

# What decoding a photo may take at most, for each pixel of ``max_pixels``.
BYTES_PER_PIXEL = 12
# Measured with Pillow 13: what decoders take that hold more than the pixels and one copy.
_DECODER_BYTES = {"WEBP": 16, "AVIF": 16, "HEIF": 16, "JPEG2000": 25, "TIFF": 13}
_READ_WHOLE = ("WEBP", "AVIF", "HEIF")

_PLUGINS = {
    "JPEG": "JpegImagePlugin",
    "PNG": "PngImagePlugin",
    "GIF": "GifImagePlugin",
    "WEBP": "WebPImagePlugin",
    "TIFF": "TiffImagePlugin",
    "BMP": "BmpImagePlugin",
    "PPM": "PpmImagePlugin",
    "JPEG2000": "Jpeg2KImagePlugin",
    "AVIF": "AvifImagePlugin",
}
_SUB_FILE_TYPE, _PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 254, 262, 330, 50706  # tags of TIFF
_SENSOR = (32803, 34892)  # photometric interpretations: colour filter array, linear raw


class ImageError(Exception):
    """An image that cannot be used; the message is the reason, in one line."""


def photo_format(file: BinaryIO, name: str, max_pixels: int) -> str:
    """The format of an open file, by its first bytes.

    Raises:
        ImageError: it is of none that rrtool reads, or larger than a photo can be.
    """
    start = file.read(SNIFFED_BYTES)
    if not start:
        raise ImageError("the file is empty")
    if why := why_unread(name, start):
        raise ImageError(why)
    found = format_of(start)
    if found is None:
        raise ImageError("not a photo of a format that rrtool reads")
    size = os.fstat(file.fileno()).st_size
    if found in _READ_WHOLE and size > BYTES_PER_PIXEL * max_pixels:
        raise ImageError(f"a file of {size} bytes holds more than {max_pixels} pixels")
    return found


def open_photo(file: BinaryIO, image_format: str, max_pixels: int) -> Image.Image:
    """Read the header of a photo, by the one plugin that its first bytes call for.

    Raises:
        ImageError: nothing to see, a RAW photo, or more than ``max_pixels``, or than may be
            decoded of this format in ``BYTES_PER_PIXEL * max_pixels`` bytes.
    """
    if image_format == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    else:
        import_module(f"PIL.{_PLUGINS[image_format]}")
    image = Image.open(file, formats=(image_format,))
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError(f"the image has no pixels ({width}×{height})")
    if width * height > max_pixels:
        raise ImageError(f"{width}×{height} pixels are over the limit of {max_pixels} pixels")
    most = BYTES_PER_PIXEL * max_pixels // _DECODER_BYTES.get(image_format, 1)
    if width * height > most:
        limit = f"the limit of {most} pixels in {image_format}, which takes more memory"
        raise ImageError(f"{width}×{height} pixels are over {limit}")
    if image_format == "TIFF" and _is_raw(getattr(image, "tag_v2", {})):
        raise ImageError(RAW)
    return image


def _is_raw(tags: dict) -> bool:
    """Whether the first image of a TIFF is what a camera puts before its raw data."""
    is_thumbnail = _SUB_IFDS in tags and tags.get(_SUB_FILE_TYPE, 0) == 1
    return is_thumbnail or _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in _SENSOR
