"""The expanding Gaussian mixture against the plain one, and its limits."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from scipy import ndimage

from rrtool.core.discovery.expanding_gaussian_mixture import (
    Mixture,
    MixtureOptions,
    fit_mixtures,
    rectangles,
)
from tests.core.discovery.plain_egm import fit_plain


def blob(height, width, x, y, std_x, std_y):
    rows, columns = np.mgrid[:height, :width]
    return np.exp(-0.5 * (((columns - x) / std_x) ** 2 + ((rows - y) / std_y) ** 2))


def smooth_map(rng, height, width, threshold=0.5):
    values = ndimage.gaussian_filter(rng.standard_normal((height, width)), 2)
    values = np.maximum(values - threshold * values.std(), 0)
    return values / values.max()


def make_maps() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    maps = {
        "noise": rng.random((14, 17)),
        "tall noise": rng.random((31, 9)),
        "steep noise": rng.random((20, 26)) ** 7,
        "sparse": rng.random((15, 15)) * (rng.random((15, 15)) < 0.1),
        "smooth": smooth_map(rng, 22, 30),
        "large smooth": smooth_map(rng, 32, 40, threshold=0),
        "two blobs": blob(20, 30, 7, 6, 2, 3) + 0.5 * blob(20, 30, 22, 13, 3, 1.5),
        "binary": (smooth_map(rng, 18, 18) > 0.2).astype(float),
        "saliency to the 7": smooth_map(rng, 24, 24, threshold=-3) ** 7,
        "constant": np.ones((16, 22)),
        "row": np.ones((1, 40)),
        "column": rng.random((40, 1)),
        "one cell": np.ones((1, 1)),
        "one position": np.zeros((6, 8)),
        "two far cells": np.zeros((3, 60)),
        "weak cell far from a strong one": np.zeros((40, 40)),
        "checkerboard": (np.indices((12, 13)).sum(axis=0) % 2).astype(float),
    }
    maps["one position"][2, 5] = 0.3
    maps["two far cells"][1, [0, 59]] = 1
    maps["weak cell far from a strong one"][[0, 39], [0, 39]] = 1, 1e-30
    return maps


MAPS = make_maps()
OPTIONS = {
    "default": MixtureOptions(),
    "printed M-step": MixtureOptions(weigh_samples=False),
    "small sigma": MixtureOptions(sigma=0.6, max_iterations=30, mean_tolerance=1e-3),
    "keeps less": MixtureOptions(sigma=6.25, overlap_threshold=0.8),
    "keeps more": MixtureOptions(overlap_threshold=0.35, max_iterations=4),
}


def fit_mixture(saliency_map: np.ndarray, *options: MixtureOptions) -> Mixture:
    return fit_mixtures([saliency_map], *options)[0]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("name", MAPS)
def test_fit_mixture_equals_plain(name, options):
    mixture = fit_mixture(MAPS[name], options)
    weights, means, variances, counts = fit_plain(
        MAPS[name],
        options.sigma,
        options.overlap_threshold,
        options.max_iterations,
        options.mean_tolerance,
        options.weigh_samples,
    )
    assert mixture.component_counts.tolist() == counts
    np.testing.assert_allclose(mixture.weights, weights, rtol=1e-8)
    np.testing.assert_allclose(mixture.means, means, rtol=0, atol=1e-8)
    np.testing.assert_allclose(mixture.variances, variances, rtol=1e-8)


def test_fit_mixture_equals_plain_on_many_small_maps():
    rng = np.random.default_rng(4)
    maps = [rng.random(rng.integers(1, 12, 2)) ** rng.integers(1, 8) for _ in range(60)]
    maps = [values * (rng.random(values.shape) < 0.7) for values in maps]
    for values, mixture in zip(maps, fit_mixtures(maps), strict=True):
        weights, means, variances, counts = fit_plain(values)
        assert mixture.component_counts.tolist() == counts
        np.testing.assert_allclose(mixture.weights, weights, rtol=1e-8)
        np.testing.assert_allclose(mixture.means, means, rtol=0, atol=1e-8)
        np.testing.assert_allclose(mixture.variances, variances, rtol=1e-8)


@pytest.mark.parametrize("name", MAPS)
def test_components_never_grow_in_number(name):
    mixture = fit_mixture(MAPS[name])
    counts = [np.count_nonzero(MAPS[name]), *mixture.component_counts]
    assert (np.diff(counts) <= 0).all()
    assert counts[-1] == len(mixture) >= 1


@pytest.mark.parametrize("name", MAPS)
def test_components_are_a_mixture_inside_the_map(name):
    mixture = fit_mixture(MAPS[name])
    height, width = MAPS[name].shape
    assert mixture.weights.sum() == pytest.approx(1)
    assert (np.diff(mixture.weights) <= 1e-9).all()
    assert (mixture.means >= -1e-9).all()
    assert (mixture.means <= np.array([width, height]) - 1 + 1e-9).all()
    assert (mixture.variances >= 1 / 12).all()


def test_fit_mixture_separates_blobs_hand_worked():
    """Two blobs too far apart to share anything: the moments of each are its component's."""
    left, right = np.zeros((9, 60)), np.zeros((9, 60))
    left[4, 4:7] = [1, 2, 1]
    right[3:6, 50] = [1, 2, 5]
    mixture = fit_mixture(left + right)
    assert mixture.converged
    np.testing.assert_allclose(mixture.weights, [8 / 12, 4 / 12])
    np.testing.assert_allclose(mixture.means, [[50.0, 4.5], [5.0, 4.0]], atol=1e-9)
    # One cell of width: the floor of 1/12.
    np.testing.assert_allclose(mixture.variances, [[1 / 12, 0.5], [0.5, 1 / 12]], rtol=1e-9)
    assert rectangles(mixture, (9, 60)).tolist() == [[50, 4, 51, 6], [4, 4, 7, 5]]


def test_fit_mixture_finds_blobs_and_little_else():
    centres = [(8, 9), (30, 12), (20, 34)]
    mixture = fit_mixture(sum(blob(44, 40, x, y, 2.5, 2.5) for x, y in centres) ** 2)
    assert mixture.converged
    assert len(mixture.component_counts) <= 10
    assert len(mixture) == 3
    found = sorted(mixture.means.round().tolist())
    assert found == sorted([float(x), float(y)] for x, y in centres)


@pytest.mark.parametrize("rho", [1, 3, 7])
def test_mixture_has_the_moments_of_weighed_samples(rho):
    """EM keeps the first two moments of what it fits, unless the last iteration purges.

    Printed as in the thesis (5.6–5.8), that is the map's support, whatever ρ is: there ρ would
    not remove the clutter that it removes in Figure 5.5a. Hence the module's reading.
    """
    scene = (0.3 + 0.7 * blob(40, 40, 10, 12, 3, 3) + 0.6 * blob(40, 40, 28, 30, 4, 3)) ** rho
    for weigh, density in ((True, scene), (False, np.ones_like(scene))):
        mixture = fit_mixture(scene, MixtureOptions(weigh_samples=weigh, max_iterations=100))
        assert mixture.converged
        assert len(mixture) > 1
        weights = mixture.weights[:, None]
        mean = (weights * mixture.means).sum(axis=0)
        square = (weights * (mixture.means**2 + mixture.variances)).sum(axis=0)
        cells = np.arange(40)
        for axis in (0, 1):
            profile = density.sum(axis=axis) / density.sum()
            assert mean[axis] == pytest.approx(profile @ cells, rel=1e-9)
            assert square[axis] == pytest.approx(profile @ cells**2, rel=1e-9)


def test_fit_mixture_of_zeros_and_of_nothing():
    for shape in [(4, 5), (0, 5), (0, 0)]:
        mixture = fit_mixture(np.zeros(shape))
        assert len(mixture) == 0
        assert mixture.converged
        assert mixture.means.shape == mixture.variances.shape == (0, 2)
        assert len(mixture.component_counts) == 0
        assert rectangles(mixture, shape).shape == (0, 4)
    assert fit_mixtures([]) == []


def test_fit_mixture_of_one_position():
    mixture = fit_mixture(MAPS["one position"])
    assert mixture.weights.tolist() == [1]
    assert mixture.means.tolist() == [[5, 2]]
    np.testing.assert_allclose(mixture.variances, [[1 / 12, 1 / 12]])
    assert rectangles(mixture, (6, 8)).tolist() == [[5, 2, 6, 3]]


def test_fit_mixture_is_finite_where_components_are_out_of_reach():
    values = np.zeros((1, 500))
    values[0, [0, 250, 499]] = 1, 1e-200, 1e-30
    mixture = fit_mixture(values, MixtureOptions(sigma=1e-3))
    assert np.isfinite(mixture.means).all()
    assert mixture.means[:, 0].tolist() == [0, 499, 250]


def test_fit_mixture_ignores_scale_and_type():
    values = MAPS["smooth"].astype(np.float32)
    expected = fit_mixture(values)
    for other in (values.astype(np.float64), values * np.float32(2.0**60), values[::-1][::-1]):
        assert_equal(fit_mixture(other), expected)


def assert_equal(a: Mixture, b: Mixture) -> None:
    assert np.array_equal(a.weights, b.weights)
    assert np.array_equal(a.means, b.means)
    assert np.array_equal(a.variances, b.variances)
    assert np.array_equal(a.component_counts, b.component_counts)
    assert a.converged == b.converged


def test_fit_mixtures_equals_one_by_one_whatever_the_threads():
    maps = [*MAPS.values(), np.zeros((3, 4)), *MAPS.values()]
    single = [fit_mixture(values) for values in maps]
    n_threads = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        serial = fit_mixtures(maps)
    finally:
        numba.set_num_threads(n_threads)
    for batch in (serial, fit_mixtures(maps)):
        assert len(batch) == len(maps)
        for mixture, expected in zip(batch, single, strict=True):
            assert_equal(mixture, expected)


def test_fit_mixture_tells_when_iterations_run_out():
    mixture = fit_mixture(MAPS["noise"], MixtureOptions(max_iterations=2))
    assert not mixture.converged
    assert len(mixture.component_counts) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.5])
def test_fit_mixture_refuses_unfit_values(bad):
    values = MAPS["smooth"].copy()
    values[3, 4] = bad
    with pytest.raises(ValueError, match="saliency map 1 holds negative, NaN or infinite"):
        fit_mixtures([MAPS["smooth"], values])


def test_fit_mixture_refuses_unfit_shapes():
    with pytest.raises(ValueError, match=r"expected \(h, w\)"):
        fit_mixture(np.zeros((2, 3, 4)))


def test_fit_mixture_leaves_arguments_alone():
    values = MAPS["smooth"].copy()
    values.flags.writeable = False
    for weigh_samples in (True, False):
        fit_mixture(values, MixtureOptions(weigh_samples=weigh_samples))
    assert np.array_equal(values, MAPS["smooth"])


# --- rectangles ---------------------------------------------------------------------------------


def make_mixture(means, variances) -> Mixture:
    n = len(means)
    counts = np.array([n], np.int32)
    return Mixture(
        np.full(n, 1 / n), np.array(means, float), np.array(variances, float), counts, True
    )


def test_rectangles_hold_the_cells_within_the_deviations():
    rng = np.random.default_rng(5)
    means = rng.uniform(0, 1, (50, 2)) * [19, 11]
    mixture = make_mixture(means, rng.uniform(1 / 12, 9, (50, 2)))
    for c in (0.5, 2.0, 3.0):
        boxes = rectangles(mixture, (12, 20), c)
        assert boxes.dtype == np.int32
        for box, mean, variance in zip(boxes, means, mixture.variances, strict=True):
            for axis, length in ((0, 20), (1, 12)):
                reach = c * variance[axis] ** 0.5
                cells = [i for i in range(length) if abs(i - mean[axis]) <= reach]
                cells = cells or [round(mean[axis])]
                assert [box[axis], box[axis + 2]] == [cells[0], cells[-1] + 1]


def test_rectangles_hand_worked_and_clipped():
    mixture = make_mixture([[5, 4], [0, 7], [2.4, 2.6]], [[4, 1], [100, 1], [0.01, 0.01]])
    assert rectangles(mixture, (8, 10)).tolist() == [[1, 2, 10, 7], [0, 5, 10, 8], [2, 3, 3, 4]]


def test_rectangles_refuse_negative_deviations():
    with pytest.raises(ValueError, match="deviations"):
        rectangles(make_mixture([[1, 1]], [[1, 1]]), (3, 3), -1)
