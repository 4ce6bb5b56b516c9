"""MSER against VLFeat itself and against a brute force over thresholded maps."""

from __future__ import annotations

import os

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from rrtool.core.matching import vlfeat
from rrtool.core.matching.mser import (
    ActivationHistogram,
    Regions,
    Stability,
    detect_regions,
    quantize,
)
from tests.core.matching.plain_mser import brute_force, component, key, not_lines
from tests.shared_data import ROOT, needs_shared_data
from tests.vlfeat import needs_vlfeat

PARAMETERS = [
    {"delta": 12},
    {"delta": 1, "min_diversity": 0.2, "max_variation": 2.0},
    {"delta": 3, "min_diversity": 0.0, "max_variation": 0.25, "max_area": 1.0},
    {"delta": 5, "min_diversity": 1.0, "max_variation": 10.0, "min_area": 0.05, "max_area": 0.4},
    {"delta": 0},
    {"delta": 255, "max_variation": 1000.0},
]


def found_keys(regions: Regions, channel: int) -> set[tuple[int, int]]:
    own = regions.channels == channel
    pairs = list(zip(regions.levels[own].tolist(), regions.seeds[own].tolist(), strict=True))
    assert len(set(pairs)) == len(pairs)
    return set(pairs)


def detect(levels: np.ndarray, **parameters) -> Regions:
    """Detection with the levels themselves as activations."""
    return detect_regions(levels, levels.astype(np.float32), Stability(**parameters))


# --- maps ---------------------------------------------------------------------------------------


def smooth_maps(rng, n, height, width, *, sigma=1.5, threshold=0.5):
    """Blobs as a ReLU leaves them: smooth, most of them zero."""
    maps = ndimage.gaussian_filter(rng.standard_normal((n, height, width)), (0, sigma, sigma))
    maps = np.maximum(maps - threshold * maps.std(), 0)
    return (maps / max(maps.max(), 1e-9)).astype(np.float32)


def structured_maps(rng) -> list[np.ndarray]:
    """Stacks of maps of many shapes and textures, 1008 maps and more in all."""
    y, x = np.mgrid[:9, :11]
    checkerboard = ((x + y) % 2 * 200).astype(np.uint8)
    ramp = (x * 20).astype(np.uint8)
    stacks = [
        quantize(smooth_maps(rng, 300, 14, 17), 255.0),
        quantize(smooth_maps(rng, 100, 24, 32, sigma=3, threshold=0.0), 255.0),
        quantize(smooth_maps(rng, 60, 12, 12, threshold=-5.0), 255.0),  # no zeros at all
        rng.integers(0, 256, (150, 9, 12)).astype(np.uint8),
        rng.integers(0, 4, (150, 9, 12)).astype(np.uint8),  # plateaus
        (rng.integers(0, 4, (60, 9, 12)) + 252).astype(np.uint8),
        np.where(rng.random((150, 10, 10)) < 0.2, rng.integers(0, 256, (150, 10, 10)), 0),
        np.stack([checkerboard, 255 - checkerboard, ramp, ramp[:, ::-1]]),
        np.stack([np.full((6, 5), value) for value in (0, 1, 254, 255)]),
        rng.integers(0, 256, (20, 1, 15)),
        rng.integers(0, 256, (20, 15, 1)),
        rng.integers(0, 256, (6, 1, 1)),
    ]
    return [stack.astype(np.uint8) for stack in stacks]


@pytest.fixture(scope="module")
def stacks():
    return structured_maps(np.random.default_rng(5))


def assert_equals_vlfeat(levels: np.ndarray, parameters: dict) -> None:
    regions = detect(levels, **parameters)
    for channel, level_map in enumerate(levels):
        seeds = vlfeat.bright_seeds(level_map, Stability(**parameters))
        masks = [component(level_map, seed, int(level_map.flat[seed])) for seed in seeds]
        expected = {key(level_map, mask): mask for mask in masks}
        assert len(expected) == len(seeds)
        assert found_keys(regions, channel) == not_lines(expected)


# --- detect_regions -----------------------------------------------------------------------------


@needs_vlfeat
@pytest.mark.parametrize("parameters", PARAMETERS[:4], ids=str)
def test_detect_regions_equals_vlfeat(stacks, parameters):
    assert sum(map(len, stacks)) >= 1000
    every = 1 if parameters is PARAMETERS[0] else 4
    for levels in stacks:
        assert_equals_vlfeat(levels[::every], parameters)


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_detect_regions_equals_brute_force(stacks, parameters):
    for stack in stacks:
        levels = stack[:3]
        regions = detect(levels, **parameters)
        for channel, level_map in enumerate(levels):
            expected = not_lines(brute_force(level_map, **parameters))
            assert found_keys(regions, channel) == expected


@settings(max_examples=120, deadline=None)
@given(
    levels=hnp.arrays(
        np.uint8,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=7),
        elements=st.one_of(st.just(0), st.integers(0, 6), st.integers(0, 255)),
    ),
    delta=st.integers(0, 20),
    min_diversity=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    max_variation=st.sampled_from([0.25, 0.5, 3.0]),
)
def test_detect_regions_equals_brute_force_on_any_map(levels, delta, min_diversity, max_variation):
    parameters = {
        "delta": delta,
        "min_diversity": min_diversity,
        "max_variation": max_variation,
        "max_area": 1.0,
    }
    regions = detect(levels, **parameters)
    for channel, level_map in enumerate(levels):
        expected = not_lines(brute_force(level_map, **parameters))
        assert found_keys(regions, channel) == expected


def test_detect_regions_measures_match_pixels():
    rng = np.random.default_rng(3)
    activations = smooth_maps(rng, 20, 14, 23)
    levels = quantize(activations, 255.0)
    stability = Stability(delta=5, min_diversity=0.2, max_variation=2.0)
    regions = detect_regions(levels, activations, stability)
    assert len(regions) > 20
    for i in range(len(regions)):
        channel = regions.channels[i]
        mask = component(levels[channel], regions.seeds[i], regions.levels[i])
        y, x = np.nonzero(mask)
        covariance = np.cov(np.stack([x, y]), bias=True)
        assert regions.areas[i] == len(x)
        np.testing.assert_allclose(regions.means[i], [x.mean(), y.mean()], rtol=1e-12)
        np.testing.assert_allclose(
            regions.covariances[i], covariance[[0, 0, 1], [0, 1, 1]], rtol=1e-9, atol=1e-9
        )
        assert regions.strengths[i] == activations[channel][mask].max()
        assert regions.boxes[i].tolist() == [x.min(), y.min(), x.max(), y.max()]


def test_detect_regions_hand_worked_square():
    levels = np.zeros((1, 8, 10), np.uint8)
    levels[0, 2:5, 3:7] = 100
    regions = detect(levels, delta=10)
    assert len(regions) == 1
    assert regions.levels.tolist() == [100]
    assert regions.seeds.tolist() == [4 * 10 + 6]
    assert regions.means.tolist() == [[4.5, 3.0]]
    np.testing.assert_allclose(regions.covariances, [[15 / 12, 0, 8 / 12]], rtol=1e-12)
    assert regions.boxes.tolist() == [[3, 2, 6, 4]]


def test_detect_regions_joins_diagonal_neighbors():
    levels = np.zeros((1, 6, 6), np.uint8)
    levels[0, 1:3, 1:3] = levels[0, 3:5, 3:5] = 50
    assert detect(levels, delta=1).areas.tolist() == [8]


def test_detect_regions_sorts_by_channel_strength_seed(stacks):
    for levels in stacks[:2]:
        regions = detect(levels, delta=2, min_diversity=0.1, max_variation=3.0)
        order = np.lexsort((regions.seeds, -regions.strengths, regions.channels))
        assert len(regions) > 50
        assert (order == np.arange(len(order))).all()


def test_detect_regions_ignores_number_of_threads(stacks):
    before = numba.get_num_threads()
    results = []
    try:
        for n_threads in {1, before}:
            numba.set_num_threads(n_threads)
            results.append(detect(stacks[0], delta=4))
    finally:
        numba.set_num_threads(before)
    for result in results:
        for name, field in vars(results[0]).items():
            assert np.array_equal(getattr(result, name), field)


def test_detect_regions_finds_more_than_first_set_aside():
    levels = np.zeros((3, 60, 60), np.uint8)
    y, x = np.mgrid[0:60:4, 0:60:4]
    for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
        levels[1, y + dy, x + dx] = 9
    regions = detect(levels, delta=1)
    assert regions.channels.tolist() == [1] * 225
    assert (np.diff(regions.seeds) > 0).all()


def test_detect_regions_drops_lines():
    levels = np.zeros((4, 9, 9), np.uint8)
    levels[0, 4, 2:7] = levels[1, 2:7, 4] = levels[2, 4, 4] = 80
    levels[3][np.diag_indices(9)] = 80
    assert len(detect(levels, delta=3)) == 0


@pytest.mark.parametrize(
    "shape", [(0, 4, 4), (3, 0, 4), (3, 4, 0), (2, 1, 1), (2, 1, 9), (2, 5, 5)]
)
def test_detect_regions_empty_and_zero_maps_give_empty_arrays(shape):
    regions = detect(np.zeros(shape, np.uint8), delta=3)
    assert len(regions) == 0
    assert regions.means.shape == (0, 2)
    assert regions.covariances.shape == (0, 3)
    assert regions.boxes.shape == (0, 4)


def test_detect_regions_leaves_arguments_alone(stacks):
    levels = stacks[0].copy()
    levels.flags.writeable = False
    detect(levels, delta=4)
    assert np.array_equal(levels, stacks[0])


def test_detect_regions_takes_strided_maps(stacks):
    flipped = stacks[0][:5, ::-1, ::2]
    assert np.array_equal(detect(flipped, delta=4).seeds, detect(flipped.copy(), delta=4).seeds)


@pytest.mark.parametrize(
    ("levels", "activations", "delta", "message"),
    [
        (np.zeros((2, 3), np.uint8), np.zeros((2, 3), np.float32), 1, "shape"),
        (np.zeros((1, 2, 3), np.uint8), np.zeros((1, 3, 2), np.float32), 1, "shape"),
        (np.zeros((1, 2, 3), np.int32), np.zeros((1, 2, 3), np.float32), 1, "uint8"),
        (np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 3)), 1, "float32"),
        (np.zeros((1, 2, 3), np.uint8), np.zeros((1, 2, 3), np.float32), 256, "delta"),
    ],
)
def test_detect_regions_refuses_unfit_input(levels, activations, delta, message):
    with pytest.raises(ValueError, match=message):
        detect_regions(levels, activations, Stability(delta=delta))


@pytest.mark.skipif(
    not os.environ.get("RRTOOL_REAL_MAPS"), reason="set RRTOOL_REAL_MAPS=1 to run a network"
)
@needs_vlfeat
@needs_shared_data
def test_detect_regions_equals_vlfeat_on_real_activations():
    activations = real_activations()
    histogram = ActivationHistogram.empty().update(activations)
    delta = histogram.stability_delta()
    levels = quantize(activations, histogram.level_scale())
    assert_equals_vlfeat(levels, {"delta": delta})


def real_activations() -> np.ndarray:
    """SqueezeNet's last maps ``(512, h, w)`` of one photo, its longer side 1024."""
    import torch
    import torchvision
    from PIL import Image

    network = torchvision.models.squeezenet1_1()
    network.load_state_dict(torch.load(ROOT / "weights" / "squeezenet1_1.pth", weights_only=True))
    folder = ROOT / "retrieval" / "scenes" / "images"
    photo = next(p for p in sorted(folder.iterdir()) if p.suffix.lower() in (".jpg", ".png"))
    image = Image.open(photo).convert("RGB")
    image.thumbnail((1024, 1024))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.inference_mode():
        maps = network.features(((pixels - mean[:, None, None]) / std[:, None, None])[None])
    return maps[0].relu().numpy()


# --- quantize and the calibration ---------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    activations=hnp.arrays(np.float32, (3, 4), elements=st.floats(-1e6, 1e6, width=32)),
    scale=st.floats(1e-3, 1e3),
)
def test_quantize_equals_rounded_clip(activations, scale):
    expected = np.clip(np.rint(activations * np.float32(scale)), 0, 255).astype(np.uint8)
    levels = quantize(activations, scale)
    assert levels.dtype == np.uint8
    assert np.array_equal(levels, expected)


def test_quantize_rounds_half_to_even_and_saturates():
    values = np.array([0.5, 1.5, 254.6, 1e30, -3.0], np.float32)
    assert quantize(values, 1.0).tolist() == [0, 2, 255, 255, 0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_quantize_refuses_what_is_not_finite(bad):
    with pytest.raises(ValueError, match="1 of 4 activations are NaN or infinite"):
        quantize(np.array([[1, bad], [0, 0]], np.float32), 1.0)
    with pytest.raises(ValueError, match="scale"):
        quantize(np.ones((1, 1), np.float32), bad)


def test_quantize_keeps_empty_shape():
    assert quantize(np.empty((0, 3, 4), np.float32), 1.0).shape == (0, 3, 4)


def test_histogram_quantile_matches_numpy():
    rng = np.random.default_rng(1)
    parts = [np.maximum(rng.normal(0, 3, (4, 5, 50)), 0).astype(np.float32) for _ in range(6)]
    histogram = ActivationHistogram.empty()
    for part in parts:
        histogram = histogram.update(part)
    values = np.concatenate([part[part > 0] for part in parts])
    assert histogram.counts.sum() == len(values)
    assert histogram.maximum == values.max()
    expected = np.quantile(values, 0.6, method="inverted_cdf")
    assert histogram.quantile(0.6) <= expected <= histogram.quantile(0.6) * (1 + 2**-9)


def test_histogram_of_halves_equals_one_pass():
    rng = np.random.default_rng(2)
    maps = rng.random((4, 3, 5)).astype(np.float32)
    whole = ActivationHistogram.empty().update(maps)
    halves = ActivationHistogram.empty().update(maps[2:]).update(maps[:2])
    assert np.array_equal(halves.counts, whole.counts)
    assert halves.maximum == whole.maximum


def test_level_scale_and_stability_delta_hand_worked():
    maps = np.zeros((1, 10, 10), np.float32)
    maps[0, 0] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 255]
    histogram = ActivationHistogram.empty().update(maps)
    assert histogram.level_scale() == 1.0
    assert histogram.stability_delta() == 6
    assert histogram.stability_delta(fraction=0.9) == 9
    assert histogram.stability_delta(fraction=1.0) == 12
    assert histogram.stability_delta(fraction=1.0, max_delta=40) == 40


def test_stability_delta_is_at_least_one():
    maps = np.full((1, 1, 9), 1e-4, np.float32)
    maps[0, 0, 0] = 100
    assert ActivationHistogram.empty().update(maps).stability_delta() == 1


def test_histogram_of_zeros_has_defaults():
    histogram = ActivationHistogram.empty().update(np.zeros((2, 3, 3), np.float32))
    assert (histogram.maximum, histogram.quantile(0.6)) == (0.0, 0.0)
    assert (histogram.level_scale(), histogram.stability_delta()) == (1.0, 1)


def test_histogram_takes_extreme_floats():
    values = np.array([1e-45, 3e38], np.float32)
    histogram = ActivationHistogram.empty().update(values)
    assert histogram.counts.sum() == 2
    assert np.isfinite(ActivationHistogram.empty().update(values[:1]).level_scale())


def test_histogram_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="NaN or infinite"):
        ActivationHistogram.empty().update(np.array([1, np.nan], np.float32))
