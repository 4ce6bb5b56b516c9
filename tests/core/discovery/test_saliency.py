"""Feature saliency against the equations in loops, and the mask and contrast before detection."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rrtool.core.discovery.saliency import (
    channel_density,
    channel_weights,
    feature_saliency,
    prepare_for_detection,
)


@pytest.fixture
def activation_map():
    rng = np.random.default_rng(1)
    values = rng.gamma(1.0, 3.0, (6, 5, 7)) * (rng.random((6, 5, 7)) < 0.4)
    values[2] = 0  # a silent channel
    return values.astype(np.float32)


def plain_saliency(activation_map):
    """Eq. 5.1–5.2 in loops, CroW's normalisation as it is written."""
    k, h, w = activation_map.shape
    eps = 1e-6
    a = [sum(float(v) > 0 for v in activation_map[j].flat) / (w * h) for j in range(k)]
    b = [math.log(sum(a_i + eps for a_i in a) / (a[j] + eps)) for j in range(k)]
    saliency = np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            saliency[y, x] = sum(b[j] * float(activation_map[j, y, x]) for j in range(k))
    return np.sqrt(saliency / math.sqrt((saliency**2).sum()))


def test_feature_saliency_equals_the_equations(activation_map):
    saliency = feature_saliency(activation_map)
    assert saliency.dtype == np.float32
    assert saliency.max() == 1
    expected = plain_saliency(activation_map)
    np.testing.assert_allclose(saliency, expected / expected.max(), rtol=1e-6)
    found = feature_saliency(activation_map, normalization="crow")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_maps_of_more_positions_have_lower_values_by_the_norm_of_crow_alone(activation_map):
    larger = np.kron(activation_map, np.ones((1, 3, 3), np.float32))
    ratio = (
        feature_saliency(larger, normalization="crow").max()
        / feature_saliency(activation_map, normalization="crow").max()
    )
    assert ratio == pytest.approx(3**-0.5, rel=1e-5)  # ‖F‖ grows by 3, and the root is taken
    assert feature_saliency(larger).max() == feature_saliency(activation_map).max() == 1
    assert not feature_saliency(np.zeros((2, 3, 4), np.float32), normalization="crow").any()
    with pytest.raises(ValueError, match="normalization 'l1'"):
        feature_saliency(activation_map, normalization="l1")


def test_channel_density_and_weights_hand_worked():
    activation_map = np.zeros((3, 2, 2), np.float32)
    activation_map[0] = 5
    activation_map[1, 0, 0] = 2
    density = channel_density(activation_map)
    assert density.tolist() == [1, 0.25, 0]
    total = 1.25 + 3e-6
    expected = [math.log(total / 1.000001), math.log(total / 0.250001), math.log(total / 1e-6)]
    np.testing.assert_allclose(channel_weights(density), expected, rtol=1e-12)


def test_sparse_channels_weigh_more(activation_map):
    density = channel_density(activation_map)
    weights = channel_weights(density)
    assert (np.diff(weights[np.argsort(density)]) <= 0).all()
    assert weights.min() >= 0


def test_feature_saliency_takes_weights_of_a_collection(activation_map):
    weights = np.array([0, 0, 0, 2, 0, 0])
    expected = np.sqrt(activation_map[3] / activation_map[3].max())
    np.testing.assert_allclose(feature_saliency(activation_map, weights), expected, rtol=1e-6)
    own = channel_weights(channel_density(activation_map))
    assert np.array_equal(feature_saliency(activation_map, own), feature_saliency(activation_map))


def test_feature_saliency_ignores_scale_and_layout(activation_map):
    saliency = feature_saliency(activation_map)
    np.testing.assert_allclose(feature_saliency(activation_map * 1e-20), saliency, rtol=1e-5)
    channels_last = np.ascontiguousarray(activation_map.transpose(1, 2, 0)).transpose(2, 0, 1)
    np.testing.assert_allclose(feature_saliency(channels_last), saliency, rtol=1e-6)


@pytest.mark.parametrize("shape", [(4, 3, 5), (1, 1, 1), (2, 1, 6)])
def test_feature_saliency_of_zeros_is_zero(shape):
    assert not feature_saliency(np.zeros(shape, np.float32)).any()


def test_feature_saliency_of_one_channel_is_zero():
    # Its weight is log(1): a single channel says nothing by its sparsity.
    assert not feature_saliency(np.ones((1, 3, 3), np.float32)).any()


def test_feature_saliency_of_one_position():
    assert feature_saliency(np.array([[[2.0]], [[0.0]]], np.float32)).tolist() == [[1.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_feature_saliency_refuses_unfit_values(activation_map, bad):
    activation_map[4, 2, 2] = bad
    with pytest.raises(ValueError, match="negative, NaN or infinite"):
        feature_saliency(activation_map)
    with pytest.raises(ValueError, match="negative, NaN or infinite"):
        prepare_for_detection(activation_map[4], 7)


@pytest.mark.parametrize("shape", [(3, 4), (2, 0, 4), (0, 3, 4)])
def test_feature_saliency_refuses_unfit_shapes(shape):
    with pytest.raises(ValueError, match=r"expected \(k, h, w\)"):
        feature_saliency(np.zeros(shape, np.float32))


def test_prepare_for_detection_hand_worked():
    saliency = np.array([[4.0, 2.0, 0.0], [0.041, 0.039, 1.0]], np.float32)
    prepared = prepare_for_detection(saliency, 2)
    expected = [[1, 0.25, 0], [(0.041 / 4) ** 2, 0, 0.0625]]
    assert prepared.dtype == np.float32
    np.testing.assert_allclose(prepared, expected, rtol=1e-6)


def test_prepare_for_detection_keeps_weak_maps():
    weak = np.array([[1e-20, 5e-21, 1e-23]], np.float32)
    np.testing.assert_allclose(prepare_for_detection(weak, 7), [[1, 0.5**7, 0]], rtol=1e-5)


def test_prepare_for_detection_of_zeros_and_of_nothing():
    assert not prepare_for_detection(np.zeros((2, 3), np.float32), 7).any()
    assert prepare_for_detection(np.zeros((0, 3), np.float32), 7).shape == (0, 3)


@pytest.mark.parametrize("rho", [0, -1, np.nan])
def test_prepare_for_detection_refuses_unfit_exponents(rho):
    with pytest.raises(ValueError, match="exponent"):
        prepare_for_detection(np.ones((2, 2), np.float32), rho)


def test_saliency_leaves_arguments_alone(activation_map):
    activation_map.flags.writeable = False
    prepare_for_detection(feature_saliency(activation_map), 7)
