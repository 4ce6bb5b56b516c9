"""Saliency over photos: the colours, and what lies where."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rrtool.reports.overlay import colours, combine_maps, css_gradient, lay_over


def lightness(rgb: np.ndarray) -> np.ndarray:
    """CIE L* of sRGB colours in [0, 255]."""
    linear = np.where(rgb <= 0.04045 * 255, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_colours_rise_evenly_in_lightness() -> None:
    rising = lightness(colours(np.linspace(0, 1, 33)))
    assert (np.diff(rising) > 0).all()
    line = np.linspace(rising[0], rising[-1], 33)
    assert np.abs(rising - line).max() < np.ptp(rising) / 16  # half of one of the eight steps
    assert css_gradient().count("rgb(") == 9


def test_combine_maps_is_smooth_and_of_maximum_one() -> None:
    saliency = np.zeros((4, 5), np.float32)
    saliency[1, 3] = 0.5
    combined = combine_maps([saliency, np.zeros((0, 0)), saliency[::1]], (100, 80))
    assert combined.shape == (80, 100)
    assert combined.max() == pytest.approx(1)
    y, x = np.unravel_index(combined.argmax(), combined.shape)
    assert (int(x) // 20, int(y) // 20) == (3, 1)  # cells of 20 × 20 pixels
    assert np.abs(np.diff(combined, axis=1)).max() < 0.1
    assert combined[60:, :40].max() < 0.01


@pytest.mark.parametrize("maps", [[], [np.zeros((3, 3))], [np.zeros((0, 0))], [np.ones((1, 1))]])
def test_combine_maps_without_structure(maps: list[np.ndarray]) -> None:
    combined = combine_maps(maps, (7, 5))
    np.testing.assert_allclose(combined, float(bool(maps) and maps[0].any()), atol=1e-6)


def test_lay_over_dims_what_is_not_salient_and_colours_what_is() -> None:
    picture = Image.new("RGB", (4, 2), (200, 40, 40))
    saliency = np.zeros((2, 4))
    saliency[:, 2:] = 1
    laid = np.asarray(lay_over(picture, saliency), int)
    grey = laid[0, 0]
    assert grey.max() - grey.min() == 0  # no colour of the photo's own
    assert 0 < grey[0] < 90
    assert laid[0, 3].sum() > 2 * laid[0, 0].sum()
