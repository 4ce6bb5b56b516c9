"""Saliency maps laid over photos, and the rectangles found on them (thesis fig. 5.9)."""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from rrtool.core.discovery.saliency import unit_maximum

# Inferno, by N. Smith and S. van der Walt (CC0), at nine even steps: lightness rises evenly, so
# that equal steps of saliency look equal, in print and to colour-blind people too.
_INFERNO = np.array(
    [(0, 0, 4), (33, 12, 74), (87, 16, 110), (138, 34, 106), (188, 55, 84), (228, 90, 49),
     (249, 142, 9), (249, 203, 53), (252, 255, 164)], dtype=np.float64,
)  # fmt: skip
_GREY = np.array([0.299, 0.587, 0.114])
_PHOTO_SHARE = 0.35  # of the photo where saliency is highest; all of it, dimmed, where it is 0
_DIMMED = 0.55


def colours(values: np.ndarray) -> np.ndarray:
    """Colours of values in [0, 1], ``(…, 3)`` float64 in [0, 255]; dark is low, bright is high."""
    steps = np.linspace(0, 1, len(_INFERNO))
    return np.stack([np.interp(values, steps, channel) for channel in _INFERNO.T], axis=-1)


def css_gradient() -> str:
    """The same colours for a legend."""
    stops = ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in _INFERNO)
    return f"linear-gradient(90deg, {stops})"


def combine_maps(maps: Sequence[np.ndarray], size: tuple[int, int]) -> np.ndarray:
    """The maps of all scales as one of pixels, smoothed.

    Args:
        maps: ``(h, w)`` each, non-negative; those without cells are passed over.
        size: width and height in pixels.

    Returns:
        ``(height, width)`` float32, mean of the bilinearly enlarged maps, of maximum 1; zeros
        where there is no saliency.
    """
    from scipy.ndimage import gaussian_filter  # takes its time to import

    combined = np.zeros(size[::-1], dtype=np.float32)
    for saliency_map in maps:
        if saliency_map.size:
            large = Image.fromarray(saliency_map.astype(np.float32)).resize(
                size, Image.Resampling.BILINEAR
            )
            # Half a cell: takes the grid's edges away and leaves what it shows.
            cell = min(size[0] / saliency_map.shape[1], size[1] / saliency_map.shape[0])
            combined += gaussian_filter(np.asarray(large), cell / 2, mode="nearest")
    return unit_maximum(combined)


def lay_over(picture: Image.Image, saliency: np.ndarray) -> Image.Image:
    """The picture in grey, coloured by saliency: dim where that is low, glowing where it is high.

    Args:
        picture: RGB.
        saliency: ``(height, width)`` of the picture, in [0, 1].
    """
    grey = (np.asarray(picture, dtype=np.float64) @ _GREY)[..., None]
    share = saliency[..., None]
    photo = grey * (_DIMMED + (_PHOTO_SHARE - _DIMMED) * share)
    mixed = photo + colours(saliency) * (1 - _PHOTO_SHARE) * np.sqrt(share)
    return Image.fromarray(np.clip(mixed.round(), 0, 255).astype(np.uint8))
