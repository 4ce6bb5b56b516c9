"""Poolings against plain float64 numpy, their limits, and the regions of R-MAC by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rrtool.core.retrieval.pooling import (
    POOLINGS,
    combine_scales,
    gem,
    l2_normalize,
    mac,
    pool,
    rmac_regions,
    spoc,
)


@pytest.fixture
def activations():
    generator = np.random.default_rng(2)
    values = generator.gamma(1.0, 2.0, (2, 5, 6, 9)) * (generator.random((2, 5, 6, 9)) < 0.6)
    return torch.from_numpy(values.astype(np.float32))


def _unit(vector):
    norm = np.sqrt((vector**2).sum())
    return vector / norm if norm else vector


def _oracle(x, method, exponent):
    """One map ``(k, h, w)`` float64."""
    if method == "spoc":
        return x.mean(axis=(1, 2))
    if method == "mac":
        return x.max(axis=(1, 2))
    if method == "gem":
        return (x**exponent).mean(axis=(1, 2)) ** (1 / exponent)
    if method == "rmac":
        regions = rmac_regions(*x.shape[1:])
        return sum(_unit(x[:, j : j + h, i : i + w].max(axis=(1, 2))) for i, j, w, h in regions)
    total = x.sum(axis=0)
    spatial = np.sqrt(total / np.sqrt((total**2).sum()))
    density = (x > 0).mean(axis=(1, 2))
    return (x * spatial).sum(axis=(1, 2)) * np.log((density.sum() + 1e-6) / (density + 1e-6))


@pytest.mark.parametrize("method", POOLINGS)
@pytest.mark.parametrize("exponent", [1.0, 3.0, 4.6])
def test_pool_equals_numpy(activations, method, exponent):
    expected = [_oracle(x, method, exponent) for x in activations.numpy().astype(np.float64)]
    found = pool(activations, method, exponent)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5)


@pytest.mark.parametrize("method", POOLINGS)
def test_pool_zero_map_is_a_zero_vector(method):
    assert not pool(torch.zeros(2, 4, 3, 5), method).any()


def test_pool_unknown_method():
    with pytest.raises(ValueError, match="unknown pooling"):
        pool(torch.zeros(1, 1, 1, 1), "sum")


def test_gem_limits_are_spoc_and_mac(activations):
    torch.testing.assert_close(gem(activations, 1.0), spoc(activations))
    torch.testing.assert_close(gem(activations, 2000.0), mac(activations), rtol=5e-3, atol=0)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_gem_neither_under_nor_overflows(activations, factor):
    expected = gem(activations) * factor
    torch.testing.assert_close(gem(activations * factor), expected, rtol=1e-4, atol=0)


def test_rmac_regions_of_a_square_map_by_hand():
    # Levels of 1, 2x2 and 3x3 windows of sides 12, 8 and 6.
    expected = [(0, 0, 12, 12), (0, 0, 12, 12)]
    expected += [(x, y, 8, 8) for y in (0, 4) for x in (0, 4)]
    expected += [(x, y, 6, 6) for y in (0, 3, 6) for x in (0, 3, 6)]
    assert rmac_regions(12, 12) == expected


@pytest.mark.parametrize(
    ("width", "starts"),
    [
        (17, {12: (0, 5), 8: (0, 4, 9), 6: (0, 3, 7, 11)}),
        (21, {12: (0, 9), 8: (0, 6, 13), 6: (0, 5, 10, 15)}),
    ],
)
def test_rmac_regions_of_an_oblong_map_by_hand(width, starts):
    """Of 12 rows: windows of sides 2·12/(l+1) = 12, 8, 6 at the levels l = 1, 2, 3.

    Downwards there are l of them, as on a square map. Across there are l + 1: on 17 columns two
    squares of side 12 are 5 cells apart and overlap by 7/12 = 58 %, three by 79 %; on 21 columns
    two overlap by 3/12 = 25 %, which is nearer to 40 % than the 62.5 % of three (to 50 % it would
    not be). Windows of side s start at the whole parts of equal steps: (21 − 8)/2 = 6.5 → 0, 6,
    13.
    """
    downwards = {12: (0,), 8: (0, 4), 6: (0, 3, 6)}
    expected = [(0, 0, width, 12)]
    expected += [(x, y, s, s) for s in (12, 8, 6) for y in downwards[s] for x in starts[s]]
    assert rmac_regions(12, width) == expected


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (7, 30), (13, 4)])
def test_rmac_regions_lie_inside(size):
    height, width = size
    for x, y, w, h in rmac_regions(height, width):
        assert 0 <= x < x + w <= width
        assert 0 <= y < y + h <= height
    assert {(y, x, h, w) for x, y, w, h in rmac_regions(height, width)} == set(
        rmac_regions(width, height)
    )


def test_combine_scales_equals_numpy():
    scales = np.random.default_rng(3).random((3, 2, 7))
    scales /= np.linalg.norm(scales, axis=2, keepdims=True)
    tensors = [torch.from_numpy(scale.astype(np.float32)) for scale in scales]
    for exponent in (1.0, 3.0):
        mean = (scales**exponent).mean(axis=0) ** (1 / exponent)
        expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        np.testing.assert_allclose(combine_scales(tensors, exponent).numpy(), expected, rtol=1e-5)
    assert not combine_scales([torch.zeros(1, 3)], 3.0).any()
    assert not l2_normalize(torch.zeros(1, 3)).any()
