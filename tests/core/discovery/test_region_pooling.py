"""Pooling of rectangles and windows against direct pooling of slices."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rrtool.core.discovery.region_pooling import pool_regions, pool_windows, region_saliency
from rrtool.core.retrieval.pooling import gem, mac

EXPONENTS = [1.0, 2.5, 3.0, 10.0, np.inf]


def random_map(shape=(5, 9, 13), seed=0):
    rng = np.random.default_rng(seed)
    values = rng.gamma(1.0, 3.0, shape) * (rng.random(shape) < 0.4)
    values[0] *= 1e-6
    return values.astype(np.float32)


def random_rectangles(n, height, width, seed=1):
    rng = np.random.default_rng(seed)
    x = np.sort(np.stack([rng.permutation(width + 1)[:2] for _ in range(n)]))
    y = np.sort(np.stack([rng.permutation(height + 1)[:2] for _ in range(n)]))
    return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)


def direct(values, exponent):
    """``(k, …)`` to ``(k,)``: eq. 5.10 as it is written, in float64."""
    flat = values.reshape(len(values), -1).astype(np.float64)
    if np.isinf(exponent):
        return flat.max(axis=1)
    return (flat**exponent).mean(axis=1) ** (1 / exponent)


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_pool_regions_equals_direct_pooling(exponent):
    activation_map = random_map()
    boxes = random_rectangles(40, 9, 13)
    pooled = pool_regions(activation_map, boxes, exponent)
    assert pooled.dtype == np.float32
    assert pooled.shape == (40, 5)
    expected = [direct(activation_map[:, y0:y1, x0:x1], exponent) for x0, y0, x1, y1 in boxes]
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)


@pytest.mark.parametrize("exponent", EXPONENTS)
@pytest.mark.parametrize("side", [1, 2, 3, 6, 9, 40])
def test_pool_windows_equals_direct_pooling(side, exponent):
    activation_map = random_map()
    pooled = pool_windows(activation_map, side, exponent)
    assert pooled.dtype == np.float32
    before, after = side // 2, (side - 1) // 2
    expected = [
        direct(
            activation_map[
                :, max(y - before, 0) : y + after + 1, max(x - before, 0) : x + after + 1
            ],
            exponent,
        )
        for y in range(9)
        for x in range(13)
    ]
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)


def test_pooling_of_the_whole_map_equals_the_global_descriptor():
    activation_map = random_map()
    tensor = torch.from_numpy(activation_map)[None]
    whole = np.array([[0, 0, 13, 9]])
    np.testing.assert_allclose(pool_regions(activation_map, whole), gem(tensor), rtol=1e-5)
    np.testing.assert_array_equal(pool_regions(activation_map, whole, np.inf), mac(tensor))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_weak_regions_keep_their_digits_beside_strong_ones(exponent):
    """Where the difference of integral maps has none left."""
    activation_map = np.zeros((2, 30, 40), np.float32)
    activation_map[:, :15] = 1e6 * np.random.default_rng(2).random((2, 15, 40))
    activation_map[0, 20:, 30:] = 1e-3 * (1 + np.random.default_rng(3).random((10, 10)))
    expected = direct(activation_map[:, 20:, 30:], exponent)
    assert expected[1] == 0
    pooled = pool_regions(activation_map, np.array([[30, 20, 40, 30]]), exponent)[0]
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)
    window = pool_windows(activation_map, 9, exponent).reshape(30, 40, 2)[25, 35]
    np.testing.assert_allclose(window, direct(activation_map[:, 21:30, 31:40], exponent), rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_pooling_neither_underflows_nor_overflows(scale):
    activation_map = random_map()
    boxes = random_rectangles(5, 9, 13)
    scaled = activation_map * np.float32(scale)
    for exponent in EXPONENTS:
        expected = pool_regions(activation_map, boxes, exponent) * scale
        np.testing.assert_allclose(pool_regions(scaled, boxes, exponent), expected, rtol=1e-5)


def test_pooling_of_zeros_is_zero():
    zeros = np.zeros((3, 4, 5), np.float32)
    for exponent in EXPONENTS:
        assert not pool_regions(zeros, np.array([[0, 0, 5, 4]]), exponent).any()
        assert not pool_windows(zeros, 3, exponent).any()


def test_pooling_of_nothing_has_its_shape():
    none = np.zeros((0, 4), np.int32)
    assert pool_regions(random_map(), none).shape == (0, 5)
    assert pool_regions(np.zeros((3, 0, 7), np.float32), none).shape == (0, 3)
    assert pool_regions(np.zeros((0, 4, 4), np.float32), np.array([[0, 0, 1, 1]])).shape == (1, 0)
    assert pool_windows(np.zeros((3, 0, 7), np.float32), 3).shape == (0, 3)
    assert pool_windows(np.zeros((0, 2, 7), np.float32), 3).shape == (14, 0)
    assert region_saliency(np.zeros((3, 3), np.float32), none).shape == (0,)


def test_pooling_takes_any_layout_and_leaves_arguments_alone():
    activation_map = random_map()
    channels_last = np.ascontiguousarray(activation_map.transpose(1, 2, 0)).transpose(2, 0, 1)
    activation_map.flags.writeable = False
    boxes = random_rectangles(5, 9, 13).astype(np.int32)
    boxes.flags.writeable = False
    expected = pool_regions(activation_map, boxes)
    assert np.array_equal(pool_regions(channels_last, boxes[:, ::-1][:, ::-1]), expected)
    assert np.array_equal(pool_windows(channels_last, 3), pool_windows(activation_map, 3))


def test_region_saliency_hand_worked():
    saliency = np.arange(12, dtype=np.float32).reshape(3, 4)
    boxes = np.array([[0, 0, 4, 3], [1, 1, 3, 3], [3, 0, 4, 1]])
    means = region_saliency(saliency, boxes)
    assert means.dtype == np.float32
    assert means.tolist() == [5.5, 7.5, 3]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_pooling_refuses_unfit_values(bad):
    activation_map = random_map()
    activation_map[2, 3, 4] = bad
    with pytest.raises(ValueError, match="negative, NaN or infinite"):
        pool_regions(activation_map, np.array([[0, 0, 1, 1]]))
    with pytest.raises(ValueError, match="negative, NaN or infinite"):
        pool_windows(activation_map, 3)


def test_region_saliency_refuses_nan():
    with pytest.raises(ValueError, match="NaN"):
        region_saliency(np.full((2, 2), np.nan, np.float32), np.array([[0, 0, 1, 1]]))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ([-1, 0, 2, 2], "leaves the map of 13×9"),
        ([0, 0, 14, 2], "leaves the map"),
        ([0, 0, 2, 10], "leaves the map"),
        ([3, 3, 3, 5], "is empty"),
        ([3, 5, 4, 4], "is empty"),
        ([0.0, 0.0, 1.0, 1.0], "expected .* integers"),
    ],
)
def test_pooling_refuses_unfit_rectangles(box, message):
    boxes = np.array([[0, 0, 1, 1], box])
    with pytest.raises(ValueError, match=message):
        pool_regions(random_map(), boxes)
    with pytest.raises(ValueError, match=message):
        region_saliency(random_map()[0], boxes)


def test_pooling_refuses_unfit_options():
    with pytest.raises(ValueError, match="side"):
        pool_windows(random_map(), 0)
    with pytest.raises(ValueError, match="exponent"):
        pool_windows(random_map(), 3, 0)
    with pytest.raises(ValueError, match=r"expected \(k, h, w\)"):
        pool_windows(np.zeros((3, 3), np.float32), 3)
