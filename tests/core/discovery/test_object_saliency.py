"""Object saliency against eq. 5.14 in loops."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.discovery.object_saliency import object_saliency


@pytest.fixture
def example():
    rng = np.random.default_rng(6)
    height, width, k, n = 4, 6, 5, 30
    return {
        "feature_saliency": rng.random((height, width)).astype(np.float32),
        "neighbor_ids": rng.integers(-1, n, (height * width, k)).astype(np.int32),
        "similarities": rng.uniform(-0.5, 1, (height * width, k)).astype(np.float32),
        "region_saliencies": rng.random(n).astype(np.float32),
        "centrality": rng.gamma(1.0, 1.0, n),
    }


def plain(example, theta, gamma):
    height, width = example["feature_saliency"].shape
    saliency = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            p = y * width + x
            for i, similarity in zip(
                example["neighbor_ids"][p], example["similarities"][p], strict=True
            ):
                if i >= 0:
                    s = max(float(similarity), 0.0) ** gamma
                    f = float(example["region_saliencies"][i])
                    saliency[y, x] += s * f**theta * example["centrality"][i]
            saliency[y, x] *= float(example["feature_saliency"][y, x]) ** theta
    return saliency / saliency.max()


@pytest.mark.parametrize(("theta", "gamma"), [(3, 3), (1, 1), (0, 2), (2.5, 3)])
def test_object_saliency_equals_the_equation(example, theta, gamma):
    saliency = object_saliency(**example, theta=theta, gamma=gamma)
    assert saliency.dtype == np.float32
    assert saliency.max() == 1
    np.testing.assert_allclose(saliency, plain(example, theta, gamma), rtol=1e-5)
    assert np.array_equal(object_saliency(**example), object_saliency(**example, theta=3, gamma=3))


def test_object_saliency_hand_worked():
    saliency = object_saliency(
        np.array([[1.0, 0.5]]),
        np.array([[0, 1], [1, -1]]),
        np.array([[1.0, 0.5], [1.0, 0.9]]),
        np.array([0.5, 1.0]),
        np.array([4.0, 2.0]),
        theta=1,
        gamma=2,
    )
    # 1 · (1 · 0.5 · 4 + 0.25 · 1 · 2) = 2.5 and 0.5 · (1 · 1 · 2) = 1
    assert saliency.tolist() == [[1, np.float32(0.4)]]


def test_object_saliency_leaves_out_missing_neighbours(example):
    missing = example["neighbor_ids"] < 0
    assert missing.any()
    expected = object_saliency(**example)
    example["similarities"][missing] = np.nan
    assert np.array_equal(object_saliency(**example), expected)


def test_object_saliency_is_zero_where_nothing_speaks(example):
    n = len(example["centrality"])
    cases = {
        "feature_saliency": np.zeros((4, 6)),
        "neighbor_ids": np.full((24, 5), -1),
        "similarities": np.full((24, 5), -0.3),
        "region_saliencies": np.zeros(n),
        "centrality": np.zeros(n),
    }
    for name, value in cases.items():
        saliency = object_saliency(**{**example, name: value})
        assert saliency.shape == (4, 6)
        assert not saliency.any()


def test_object_saliency_without_regions_or_positions():
    nothing = np.zeros(0)
    saliency = object_saliency(
        np.ones((2, 3)), np.zeros((6, 0), int), np.zeros((6, 0)), nothing, nothing
    )
    assert saliency.tolist() == [[0, 0, 0], [0, 0, 0]]
    none = object_saliency(
        np.ones((0, 3)), np.zeros((0, 2), int), np.zeros((0, 2)), np.ones(1), np.ones(1)
    )
    assert none.shape == (0, 3)


def test_object_saliency_leaves_arguments_alone(example):
    for value in example.values():
        value.flags.writeable = False
    object_saliency(**example)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("feature_saliency", np.ones(24), "expected"),
        ("feature_saliency", np.full((4, 6), np.nan), "feature saliency holds"),
        ("neighbor_ids", np.zeros((23, 5), int), "neighbours are"),
        ("neighbor_ids", np.full((24, 5), 30), "region 30"),
        ("similarities", np.zeros((24, 4)), "neighbours are"),
        ("similarities", np.full((24, 5), np.nan), "similarity is NaN"),
        ("region_saliencies", np.ones(29), "regions have"),
        ("region_saliencies", np.full(30, -1.0), "region saliencies holds"),
        ("centrality", np.full(30, np.inf), "centrality holds"),
    ],
)
def test_object_saliency_refuses_unfit_input(example, name, value, message):
    with pytest.raises(ValueError, match=message):
        object_saliency(**{**example, name: value})


@pytest.mark.parametrize("exponents", [{"theta": -1}, {"theta": np.nan}, {"gamma": 0}])
def test_object_saliency_refuses_unfit_exponents(example, exponents):
    with pytest.raises(ValueError, match="theta"):
        object_saliency(**example, **exponents)
