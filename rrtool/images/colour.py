"""From the modes and colour spaces of photo files to 8-bit sRGB, as a browser shows them."""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

# Mode that Pillow hands to a profile, by the colour space of the profile.
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_GREY = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")
# sRGB profiles of different makers differ by less; Display P3, the next space, by tens of levels.
_SAME = 4
# Factor and shift that bring the transparent value of a PNG to the 8 bits of its samples.
_PNG_DEPTHS = {"L;2": (85, 0), "L;4": (17, 0), "RGB;16B": (1, 8)}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
_MIN_IS_WHITE, _SIGNED = 0, 2


def scale_transparency(image: Image.Image) -> None:
    """Bring the transparent colour of a PNG to the scale of its samples, before it is loaded."""
    tiles = getattr(image, "tile", None)
    if image.format != "PNG" or not tiles or tiles[0][3] not in _PNG_DEPTHS:
        return
    (factor, shift), value = _PNG_DEPTHS[tiles[0][3]], image.info.get("transparency")
    if isinstance(value, int):
        image.info["transparency"] = value * factor >> shift
    elif isinstance(value, tuple):
        image.info["transparency"] = tuple(sample * factor >> shift for sample in value)


@dataclass(frozen=True)
class GreyScale:
    """What the samples of a grey image of more than 8 bits mean.

    Attributes:
        white: the sample that is white; black is 0, and what is negative is black too.
        is_unsigned: samples of 32 bits, which Pillow has as signed, are not.
        is_inverted: 0 is white.
    """

    white: int = 65535
    is_unsigned: bool = False
    is_inverted: bool = False

    @classmethod
    def of(cls, image: Image.Image) -> "GreyScale":
        """Read it from a loaded image; Pillow scales what is no TIFF to 16 bits itself.

        No picture defines what is white in 32 bits: it is the highest value of the smallest of 8,
        16 and 32 bits that hold all samples.
        """
        tags = getattr(image, "tag_v2", None)
        if tags is None or not image.mode.startswith("I"):
            return cls()
        is_signed = tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
        bits = tags.get(_BITS_PER_SAMPLE, (1,))[0]
        white = (1 << bits - is_signed) - 1
        if bits > 16:
            low, high = image.getextrema()
            if isinstance(low, int) and isinstance(high, int) and (low >= 0 or is_signed):
                white = next((fewer for fewer in (255, 65535) if high <= fewer), white)
        return cls(white, not is_signed, tags.get(_PHOTOMETRIC) == _MIN_IS_WHITE)

    def eight_bits(self, image: Image.Image) -> Image.Image:
        """The image in mode L; white where it is transparent."""
        samples = np.asarray(image)
        if self.is_unsigned and samples.dtype == np.int32:
            samples = samples.view(np.uint32)
        grey = np.clip(np.round(samples * np.float32(255 / self.white)), 0, 255).astype(np.uint8)
        if self.is_inverted:
            grey = 255 - grey
        if isinstance(transparent := image.info.get("transparency"), int):
            grey[samples == transparent] = 255
        return Image.fromarray(grey)


def opaque(image: Image.Image, scale: GreyScale, mode: str = "RGB") -> Image.Image:
    """8-bit pixels, transparency laid over white.

    Args:
        image: loaded, of any mode of Pillow's.
        mode: ``RGB``, or ``CMYK`` for a CMYK image.

    Raises:
        ValueError: the samples have no defined range.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range")
    if image.mode.startswith("I"):
        return scale.eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        layer = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def transform_of(image: Image.Image) -> "ImageCmsTransform | None":
    """What brings the colours of an image to sRGB; None if it has no profile, or sRGB's.

    A profile that is damaged, or not of the image's kind of colours, counts as none.
    """
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not profile:
        return None
    grey_or_colour = "L" if image.mode in _GREY else "RGB"
    return _to_srgb(profile, "CMYK" if image.mode == "CMYK" else grey_or_colour)


@lru_cache(maxsize=32)
def _to_srgb(profile: bytes, mode: str) -> "ImageCmsTransform | None":
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if _MODES.get(source.profile.xcolor_space.strip()) != mode:
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, UnicodeError):
        return None
    return None if mode != "CMYK" and _changes_little(transform, mode) else transform


def _changes_little(transform: "ImageCmsTransform", mode: str) -> bool:
    """Whether sampled colours stay as they are."""
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(18, -1, 3)
    samples = Image.fromarray(colours).convert(mode)
    changed = np.asarray(transform.apply(samples)).astype(int)
    return bool(np.abs(changed - np.asarray(samples.convert("RGB"))).max() <= _SAME)


def to_srgb(image: Image.Image, transform: "ImageCmsTransform | None") -> Image.Image:
    """RGB image in sRGB.

    Args:
        image: RGB or CMYK.
    """
    if transform is None:
        return image
    return transform.apply(image.convert(transform.input_mode))
