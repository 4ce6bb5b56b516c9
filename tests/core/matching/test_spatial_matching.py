"""Spatial matching against the plain oracle, planted transforms, hand-worked and broken input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numba
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rrtool.core.matching import spatial_matching_torch
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import Matches, MatchingOptions, match
from rrtool.core.matching.spatial_matching_numba import (
    Limits,
    _fit_affine,
    _scale_change_allowed,
)
from tests.core.matching.plain_fsm import fit_affine_plain, match_plain
from tests.device import TORCH_DEVICE

OPTIONS = MatchingOptions()
properties = settings(deadline=None, max_examples=20, derandomize=True)
seeds = st.integers(0, 2**20)

Matcher = Callable[..., Matches]
Group = tuple[Any, Any, Any]  # channels (n,), means (n, 2), covariances (n, 3)


def match_torch(*args: Any) -> Matches:
    return spatial_matching_torch.match(*args, device=TORCH_DEVICE)


def match_torch_in_pieces(*args: Any) -> Matches:
    return spatial_matching_torch.match(*args, device=TORCH_DEVICE, max_bytes=20_000)


matchers = pytest.mark.parametrize("matcher", [match, match_torch])
matchers_and_pieces = pytest.mark.parametrize(
    "matcher", [match, match_torch, match_torch_in_pieces]
)


def local_features(images: list[list[Group]]) -> LocalFeatures:
    """Features from ``images[image][scale]``; channels are sorted here."""
    channels, means, covariances, sizes = [], [], [], []
    for group in (group for image in images for group in image):
        order = np.argsort(np.asarray(group[0]), kind="stable")
        channels.append(np.asarray(group[0], np.int32)[order])
        means.append(np.asarray(group[1], np.float32).reshape(-1, 2)[order])
        covariances.append(np.asarray(group[2], np.float32).reshape(-1, 3)[order])
        sizes.append(len(order))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    strengths = np.ones(offsets[-1], np.float32)
    return LocalFeatures(
        np.concatenate(means),
        np.concatenate(covariances),
        strengths,
        np.concatenate(channels),
        offsets,
        len(images[0]),
    )


def covariances_of(factors: np.ndarray) -> np.ndarray:
    """``(Σ_xx, Σ_xy, Σ_yy)`` of ``(n, 2, 2)`` factors."""
    sigma = factors @ factors.transpose(0, 2, 1)
    return sigma.reshape(-1, 4)[:, [0, 1, 3]]


def random_group(rng: np.random.Generator, n: int, n_channels: int, kind: str) -> Group:
    """``any``: continuous; ``grid``: integer positions, few shapes, so that scores tie; ``copies``:
    a few features repeated."""
    channels = rng.integers(0, n_channels, n)
    factors = np.zeros((n, 2, 2))
    if kind == "any":
        means = rng.uniform(0, 30, (n, 2))
        factors[:, [0, 1], [0, 1]] = rng.uniform(0.5, 2, (n, 2))
        factors[:, 1, 0] = rng.normal(size=n)
    else:
        means = rng.integers(0, 8, (n, 2)) * 2.0
        factors[:, [0, 1], [0, 1]] = rng.integers(1, 3, (n, 2))
    group = (channels, means, covariances_of(factors))
    if kind == "copies":
        chosen = rng.integers(0, max(1, n // 4), n)
        group = tuple(np.asarray(part)[chosen] for part in group)  # type: ignore[assignment]
    return group


def random_features(
    rng: np.random.Generator,
    n_images: int,
    n_scales: int = 2,
    kind: str = "any",
    n_channels: int = 6,
) -> LocalFeatures:
    return local_features(
        [
            [random_group(rng, int(rng.integers(0, 22)), n_channels, kind) for _ in range(n_scales)]
            for _ in range(n_images)
        ]
    )


def one_image(group: Group) -> LocalFeatures:
    return local_features([[group]])


def assert_same(first: Matches, second: Matches) -> None:
    for field in fields(Matches):
        a, b = getattr(first, field.name), getattr(second, field.name)
        assert a.dtype == b.dtype, field.name
        np.testing.assert_array_equal(a, b, field.name)


def inliers_of(matches: Matches, candidate: int) -> list[tuple[int, int]]:
    lo, hi = matches.inlier_offsets[candidate : candidate + 2]
    return [(int(a), int(b)) for a, b in matches.inliers[lo:hi]]


def assert_like_oracle(matches: Matches, expected: list[dict]) -> None:
    assert len(matches.n_inliers) == len(expected)
    for i, plain in enumerate(expected):
        assert inliers_of(matches, i) == plain["inliers"]
        assert matches.n_inliers[i] == len(plain["inliers"]) == plain["score"]
        assert tuple(matches.scale_pairs[i]) == plain["scale_pair"]
        assert matches.n_tentative[i] == plain["n_tentative"]
        flat = matches.M_1to2[i].reshape(-1)[[0, 1, 3, 4, 2, 5]]
        np.testing.assert_array_equal(flat, plain["transform"])


# ---------------------------------------------------------------- against the plain enumeration


@matchers_and_pieces
@pytest.mark.parametrize("kind", ["any", "grid", "copies"])
@pytest.mark.parametrize(
    "options",
    [
        OPTIONS,
        MatchingOptions(one_to_one=True),
        MatchingOptions(local_optimization=False, inlier_threshold=1.0, max_scale_change=1.5),
        MatchingOptions(inlier_threshold=4.0, max_refinements=1, one_to_one=True),
    ],
)
def test_match_equals_plain_enumeration(
    matcher: Matcher, kind: str, options: MatchingOptions
) -> None:
    for seed in range(3):
        rng = np.random.default_rng(seed)
        query, database = random_features(rng, 2, 2, kind), random_features(rng, 5, 3, kind)
        ids = np.array([3, 0, 4, 1, 1])
        expected = match_plain(query, 1, database, ids, options)
        assert any(plain["score"] for plain in expected)
        assert_like_oracle(matcher(query, 1, database, ids, options), expected)


def test_match_torch_equals_numba_on_larger_problems() -> None:
    rng = np.random.default_rng(5)
    database = local_features(
        [[random_group(rng, 100, 40, "any") for _ in range(2)] for _ in range(4)]
    )
    for options in (OPTIONS, MatchingOptions(one_to_one=True)):
        matches = match(database, 0, database, np.arange(4), options)
        assert_same(matches, match_torch(database, 0, database, np.arange(4), options))
        assert_same(
            matches,
            spatial_matching_torch.match(
                database, 0, database, np.arange(4), options, max_bytes=1 << 20
            ),
        )


# ------------------------------------------------------------------------- planted and by hand


def planted(seed: int, horizontal_shear: float = 0.0) -> tuple[Group, Group, np.ndarray, list[int]]:
    """60 correspondences in as many channels, 18 of which follow one transform."""
    rng = np.random.default_rng(seed)
    n, n_true = 60, 18
    A = np.array([[rng.uniform(0.6, 1.6), 0], [rng.uniform(-0.4, 0.4), rng.uniform(0.6, 1.6)]])
    A = A @ np.array([[1, horizontal_shear], [0, 1]])
    t = rng.uniform(-10, 10, 2)
    channels, means, covariances = random_group(rng, n, 1, "any")
    channels = np.arange(n)
    true = np.sort(rng.choice(n, n_true, replace=False))
    factors = np.linalg.cholesky(
        np.asarray(covariances)[:, [0, 1, 1, 2]].reshape(-1, 2, 2).astype(float)
    )
    _, others, other_covariances = random_group(rng, n, 1, "any")
    others[true] = means[true] @ A.T + t
    other_covariances[true] = covariances_of(A @ factors[true])
    M = np.concatenate([A, t[:, None]], axis=1)
    return (channels, means, covariances), (channels, others, other_covariances), M, list(true)


@matchers
def test_match_recovers_planted_transform_among_outliers(matcher: Matcher) -> None:
    for seed in range(30):
        first, second, M, true = planted(seed)
        query, database = one_image(first), one_image(second)
        plain = replace(OPTIONS, local_optimization=False)
        matches = matcher(query, 0, database, np.array([0]), plain)
        assert {(i, i) for i in true} <= set(inliers_of(matches, 0)), seed
        np.testing.assert_allclose(matches.M_1to2[0], M, atol=2e-3)
        refined = matcher(query, 0, database, np.array([0]), OPTIONS)
        assert refined.n_inliers[0] >= matches.n_inliers[0]


@matchers
def test_match_refinement_finds_full_affine_transform(matcher: Matcher) -> None:
    # With a horizontal shear no 5-dof hypothesis is right: the refinement has to find the rest.
    grew = 0
    for seed in range(15):
        first, second, M, true = planted(seed, horizontal_shear=0.25)
        query, database = one_image(first), one_image(second)
        plain = matcher(
            query, 0, database, np.array([0]), replace(OPTIONS, local_optimization=False)
        )
        refined = matcher(query, 0, database, np.array([0]), OPTIONS)
        assert_like_oracle(refined, match_plain(query, 0, database, [0], OPTIONS))
        assert refined.n_inliers[0] >= plain.n_inliers[0]
        if {(i, i) for i in true} <= set(inliers_of(refined, 0)):
            grew += int(refined.n_inliers[0] > plain.n_inliers[0])
            assert abs(refined.M_1to2[0, 0, 1] - M[0, 1]) < 0.15
    assert grew >= 8


@matchers
def test_match_single_correspondence_gives_the_triangular_map(matcher: Matcher) -> None:
    # Σ₂ = L Lᵀ with L = [[2, 0], [1, 2]]; Σ₁ the unit circle: A = L, t = μ₂ − A μ₁.
    query = one_image(([3], [[1, 2]], [[1, 0, 1]]))
    database = one_image(([3], [[10, 20]], [[4, 2, 5]]))
    options = replace(OPTIONS, max_scale_change=4.0)
    matches = matcher(query, 0, database, np.array([0]), options)
    np.testing.assert_array_equal(matches.M_1to2[0], [[2, 0, 8], [1, 2, 15]])
    assert inliers_of(matches, 0) == [(0, 0)]
    assert matches.n_tentative[0] == 1


@matchers
@pytest.mark.parametrize(
    ("a", "c", "d", "accepted"),
    [
        (2.9, 0, 2.9, True),
        (3, 0, 3, True),
        (3.1, 0, 3.1, False),
        (1 / 2.9, 0, 1 / 2.9, True),
        (1 / 3.1, 0, 1 / 3.1, False),
        (2.9, 0, 1 / 2.9, True),
        # The determinant is 1; as a change of area it is none.
        (3.1, 0, 1 / 3.1, False),
        (100, 0, 0.01, False),
        (0.01, 0, 100, False),
        # The diagonal alone is within the limits; sheared, the singular values are 3.30 and 0.30.
        (1, 3, 1, False),
        (1, 2.6, 1, True),
    ],
)
def test_match_rejects_large_changes_of_scale_in_any_direction(
    matcher: Matcher, a: float, c: float, d: float, accepted: bool
) -> None:
    unit = one_image(([0], [[1, 2]], [[1, 0, 1]]))
    other = one_image(([0], [[5, 5]], [[a * a, a * c, c * c + d * d]]))
    assert matcher(unit, 0, other, np.array([0]), OPTIONS).n_inliers[0] == int(accepted)


@matchers
def test_match_bounds_the_scale_of_a_refined_transform(matcher: Matcher) -> None:
    # The second image stretches y four times. A hypothesis of scale 1 holds three of the five rows
    # of points; their least squares, of determinant 4, would hold all.
    x, y = (each.ravel() for each in np.meshgrid(np.arange(3) * 10.0, [-1, -0.5, 0, 0.5, 1]))
    positions, units = np.stack([x, y], axis=1), [[1, 0, 1]] * 15
    first = one_image((range(15), positions, units))
    second = one_image((range(15), positions * [1, 4], units))
    found = matcher(first, 0, second, np.array([0]), OPTIONS)
    assert found.n_inliers[0] == 9
    np.testing.assert_array_equal(found.M_1to2[0], [[1, 0, 0], [0, 1, -1.5]])
    wider = matcher(first, 0, second, np.array([0]), replace(OPTIONS, max_scale_change=4.1))
    assert wider.n_inliers[0] == 15


@settings(deadline=None, max_examples=200, derandomize=True)
@given(
    st.tuples(*[st.floats(-8, 8, allow_subnormal=False)] * 4), st.sampled_from([1.0, 1.5, 3.0, 1e6])
)
def test_scale_change_allowed_equals_singular_values(
    entries: tuple[float, float, float, float], limit: float
) -> None:
    matrix = np.array(entries).reshape(2, 2)
    largest, smallest = np.linalg.svd(matrix, compute_uv=False)
    margins = [abs(largest - limit) / limit, abs(smallest * limit - 1), abs(np.linalg.det(matrix))]
    assume(min(margins) > 1e-6)
    expected = np.linalg.det(matrix) > 0 and largest <= limit and smallest >= 1 / limit
    assert _scale_change_allowed(*entries, limit**2) == expected
    transform = torch.tensor([*entries, 0.0, 0.0], dtype=torch.float64)[:, None]
    limits = Limits(4.0, limit**2, 20)
    assert bool(spatial_matching_torch._scale_change_allowed(transform, limits)) == expected


@matchers
def test_match_transfer_error_is_measured_in_target_cells_and_closed(matcher: Matcher) -> None:
    # Feature 1 is 2 cells (an inlier) or a little more (none) off the map of feature 0; its own
    # hypothesis is out by scale, but it is still counted.
    query = one_image(([0, 1], [[0, 0], [4, 4]], [[1, 0, 1], [1, 0, 1]]))
    for distance, expected in ((2.0, 2), (2.001, 1)):
        second = one_image(([0, 1], [[0, 0], [8, 8 + distance]], [[4, 0, 4], [400, 0, 400]]))
        options = replace(OPTIONS, local_optimization=False)
        assert matcher(query, 0, second, np.array([0]), options).n_inliers[0] == expected


@matchers
def test_match_ties_go_to_the_first_scale_pair(matcher: Matcher) -> None:
    group = ([0, 1], [[0, 0], [5, 9]], [[1, 0, 1], [1, 0, 1]])
    empty: Group = ([], [], [])
    query, database = local_features([[group, group]]), local_features([[empty, group, group]])
    matches = matcher(query, 0, database, np.array([0]), OPTIONS)
    assert matches.scale_pairs.tolist() == [[0, 1]]
    assert matches.n_tentative[0] == 2


@matchers
def test_match_inliers_index_features_over_all_scales(matcher: Matcher) -> None:
    group = ([0, 1], [[0, 0], [5, 9]], [[1, 0, 1], [1, 0, 1]])
    lone = ([7], [[3, 3]], [[1, 0, 1]])
    query, database = local_features([[lone, group]]), local_features([[group, lone]] * 2)
    matches = matcher(query, 0, database, np.array([1]), OPTIONS)
    assert matches.scale_pairs.tolist() == [[1, 0]]
    assert inliers_of(matches, 0) == [(1, 0), (2, 1)]


def test_fit_affine_plain_equals_lstsq() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        points = rng.uniform(0, 60, (4, 12))
        fitted = fit_affine_plain(points, (2.0**15, 2.0**15))
        assert fitted is not None
        design = np.stack([points[0], points[1], np.ones(12)], axis=1)
        expected = np.linalg.lstsq(design, points[2:].T, rcond=None)[0].T
        actual = np.array(fitted)[[0, 1, 4, 2, 3, 5]].reshape(2, 3)
        np.testing.assert_allclose(actual, expected, atol=1e-2, rtol=1e-4)


@numba.njit
def _fit(squared_errors, grid, transform):
    return _fit_affine(squared_errors, grid, 1.0, 1.0, transform)


def test_fit_affine_integer_moments_do_not_overflow() -> None:
    # The largest problem allowed, at the largest grid positions: the identity comes out exactly.
    rng = np.random.default_rng(0)
    grid = rng.integers(2**21 - 2000, 2**21 + 1, (2, 2**20))
    grid[:, 0] = -(2**21)
    transform = np.empty(6)
    assert _fit(np.zeros(2**20), np.concatenate([grid, grid]), transform)
    np.testing.assert_allclose(transform[:4], [1, 0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(transform[4:], [0, 0], atol=1e-3)


# -------------------------------------------------------------------------------- properties


@properties
@given(seeds, st.integers(1, 40))
def test_match_image_with_itself_gives_every_feature(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    _, means, covariances = random_group(rng, n, 1, "any")
    distinct = one_image((np.arange(n), means, covariances))
    matches = match(distinct, 0, distinct, np.array([0]), OPTIONS)
    assert inliers_of(matches, 0) == [(i, i) for i in range(n)]
    np.testing.assert_allclose(matches.M_1to2[0], np.eye(2, 3), atol=1e-9)
    shared = one_image((rng.integers(0, 4, n), means, covariances))
    assert match(shared, 0, shared, np.array([0]), OPTIONS).n_inliers[0] >= n


@properties
@given(seeds)
def test_match_permuting_candidates_permutes_results(seed: int) -> None:
    rng = np.random.default_rng(seed)
    query, database = random_features(rng, 1), random_features(rng, 6)
    order = rng.permutation(6)
    straight = match(query, 0, database, np.arange(6), OPTIONS)
    permuted = match(query, 0, database, order, OPTIONS)
    for name in ("n_inliers", "scale_pairs", "M_1to2", "n_tentative"):
        np.testing.assert_array_equal(getattr(straight, name)[order], getattr(permuted, name))
    for position, image in enumerate(order):
        assert inliers_of(permuted, position) == inliers_of(straight, image)


@properties
@given(seeds, st.integers(-40, 40), st.integers(-40, 40))
def test_match_is_invariant_to_translating_both(seed: int, dx: int, dy: int) -> None:
    rng = np.random.default_rng(seed)
    query, database = random_features(rng, 1, kind="grid"), random_features(rng, 3, kind="grid")
    # On integers both sides are exact; without refinement, whose rounding follows the position.
    options = replace(OPTIONS, local_optimization=False)
    shift = np.array([dx, dy], np.float32)
    there = match(query, 0, database, np.arange(3), options)
    moved = match(
        replace(query, means=query.means + shift),
        0,
        replace(database, means=database.means + shift),
        np.arange(3),
        options,
    )
    np.testing.assert_array_equal(there.inliers, moved.inliers)
    np.testing.assert_array_equal(there.scale_pairs, moved.scale_pairs)
    A, t = there.M_1to2[..., :2], there.M_1to2[..., 2]
    np.testing.assert_allclose(moved.M_1to2[..., 2], t + shift - A @ shift, atol=1e-9)


@properties
@given(seeds, st.sampled_from(["any", "grid", "copies"]))
def test_match_one_to_one_uses_each_feature_once(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    query, database = random_features(rng, 1, kind=kind), random_features(rng, 3, kind=kind)
    matches = match(query, 0, database, np.arange(3), replace(OPTIONS, one_to_one=True))
    for i in range(3):
        pairs = inliers_of(matches, i)
        assert len(pairs) == matches.n_inliers[i]
        assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)
        if pairs:
            sizes = [
                np.diff(features.offsets)[image * 2 + scale]
                for features, image, scale in (
                    (query, 0, matches.scale_pairs[i, 0]),
                    (database, i, matches.scale_pairs[i, 1]),
                )
            ]
            assert len(pairs) <= min(sizes)


@matchers
def test_match_one_to_one_keeps_the_closer_and_chooses_the_pair_after_reduction(
    matcher: Matcher,
) -> None:
    # Scale 0 of the database holds three copies of one feature: 3 inliers, 1 after reduction.
    query = one_image(([0, 1], [[0, 0], [30, 0]], [[1, 0, 1]] * 2))
    copies: Group = ([0, 0, 0], [[1, 0], [0, 0], [0, 1]], [[1, 0, 1]] * 3)
    both: Group = ([0, 1], [[0, 0], [30, 0]], [[1, 0, 1]] * 2)
    database = local_features([[copies, both]])
    counted = matcher(query, 0, database, np.array([0]), OPTIONS)
    assert (counted.scale_pairs[0, 1], counted.n_inliers[0]) == (0, 3)
    reduced = matcher(query, 0, database, np.array([0]), replace(OPTIONS, one_to_one=True))
    assert (reduced.scale_pairs[0, 1], reduced.n_inliers[0]) == (1, 2)


def test_match_does_not_depend_on_the_number_of_threads() -> None:
    rng = np.random.default_rng(3)
    features = random_features(rng, 30, 3)
    before = numba.get_num_threads()
    results = []
    try:
        for n_threads in range(1, before + 1):
            numba.set_num_threads(n_threads)
            results.append(match(features, 2, features, np.arange(30), OPTIONS))
    finally:
        numba.set_num_threads(before)
    results.append(match(features, 2, features, np.arange(30), OPTIONS))
    for other in results[1:]:
        assert_same(results[0], other)


# -------------------------------------------------------------------------------- degenerate


def assert_nothing(matches: Matches, n: int) -> None:
    assert matches.n_inliers.tolist() == [0] * n
    assert matches.scale_pairs.tolist() == [[-1, -1]] * n
    assert np.isnan(matches.M_1to2).all()
    assert matches.M_1to2.shape == (n, 2, 3)
    assert matches.inlier_offsets.tolist() == [0] * (n + 1)
    assert matches.inliers.shape == (0, 2)


@matchers
def test_match_without_candidates_is_empty(matcher: Matcher) -> None:
    features = random_features(np.random.default_rng(0), 2)
    for one_to_one in (False, True):
        options = replace(OPTIONS, one_to_one=one_to_one)
        assert_nothing(matcher(features, 0, features, np.zeros(0, np.int64), options), 0)


@matchers
def test_match_without_features_or_common_channels_finds_nothing(matcher: Matcher) -> None:
    some = one_image(([0], [[1, 1]], [[1, 0, 1]]))
    other = one_image(([1], [[1, 1]], [[1, 0, 1]]))
    none = one_image(([], [], []))
    for query, database in ((some, none), (none, some), (none, none), (some, other)):
        for one_to_one in (False, True):
            options = replace(OPTIONS, one_to_one=one_to_one)
            matches = matcher(query, 0, database, np.array([0, 0]), options)
            assert_nothing(matches, 2)


@matchers
def test_match_unusable_features_take_no_part(matcher: Matcher) -> None:
    nan, inf = np.nan, np.inf
    bad_shapes = [
        [0, 0, 0],
        [1, 1, 1],
        [1, 2, 1],
        [-1, 0, 1],
        [nan, 0, 1],
        [1, nan, 1],
        [1, 0, nan],
        [inf, 0, 1],
        [1, 0, inf],
        [0, 0, 1],
        [1, 0, 0],
    ]
    bad_places = [[nan, 0], [0, inf], [-inf, 0]]
    n_bad = len(bad_shapes) + len(bad_places)
    group: Group = (
        np.zeros(n_bad + 2, int),
        np.array([[1.0, 1.0]] * len(bad_shapes) + bad_places + [[1.0, 1.0], [20.0, 20.0]]),
        np.array(bad_shapes + [[1, 0, 1]] * (len(bad_places) + 2), float),
    )
    features = one_image(group)
    with np.errstate(all="raise"):
        matches = matcher(features, 0, features, np.array([0]), OPTIONS)
    assert inliers_of(matches, 0) == [(n_bad, n_bad), (n_bad + 1, n_bad + 1)]
    assert matches.n_tentative[0] == 4
    only_bad = one_image(tuple(part[:n_bad] for part in group))  # type: ignore[arg-type]
    assert_nothing(matcher(features, 0, only_bad, np.array([0]), OPTIONS), 1)


@matchers
def test_match_collinear_and_coincident_inliers_are_not_refined(matcher: Matcher) -> None:
    unit = [[1, 0, 1]] * 5
    for means in ([[i, 2 * i + 3] for i in range(5)], [[7, 7]] * 5, [[0, i] for i in range(5)]):
        features = one_image((range(5), means, unit))
        moved = replace(features, means=features.means + np.float32(0.5))
        matches = matcher(features, 0, moved, np.array([0]), OPTIONS)
        assert matches.n_inliers[0] == 5
        np.testing.assert_array_equal(matches.M_1to2[0], [[1, 0, 0.5], [0, 1, 0.5]])


@matchers
def test_match_extreme_sizes_stay_finite(matcher: Matcher) -> None:
    means = [[1e30, -1e30], [1e-30, 0], [0, 0]]
    shapes = [[1e-30, 0, 1e30], [1e30, 0, 1e-30], [1e38, 0, 1e-38]]
    features = one_image(([0, 0, 0], means, shapes))
    matches = matcher(features, 0, features, np.array([0]), OPTIONS)
    assert matches.n_inliers[0] >= 1
    assert np.isfinite(matches.M_1to2).all()
    assert_like_oracle(matches, match_plain(features, 0, features, [0], OPTIONS))


def test_match_leaves_its_arguments_alone() -> None:
    features = random_features(np.random.default_rng(0), 3)
    for field in fields(features):
        if isinstance(value := getattr(features, field.name), np.ndarray):
            value.setflags(write=False)
    ids = np.arange(3)
    ids.setflags(write=False)
    assert_same(
        match(features, 0, features, ids, OPTIONS), match_torch(features, 0, features, ids, OPTIONS)
    )


# ----------------------------------------------------------------------------------- errors


@matchers
@pytest.mark.parametrize("image", [-1, 3])
def test_match_rejects_image_ids_out_of_range(matcher: Matcher, image: int) -> None:
    features = random_features(np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match="image ids"):
        matcher(features, 0, features, np.array([0, image]), OPTIONS)
    with pytest.raises(ValueError, match="image ids"):
        matcher(features, image, features, np.array([0]), OPTIONS)


def test_match_rejects_unsorted_channels() -> None:
    features = one_image(([0, 1], [[0, 0], [1, 1]], [[1, 0, 1]] * 2))
    broken = replace(features, channels=features.channels[::-1])
    with pytest.raises(ValueError, match="sorted by channel"):
        match(features, 0, broken, np.array([0]), OPTIONS)


def test_match_rejects_problems_beyond_exact_sums() -> None:
    n = 1025
    features = one_image((np.zeros(n, int), np.zeros((n, 2)), np.tile([1.0, 0, 1], (n, 1))))
    with pytest.raises(ValueError, match="2\\^20"):
        match(features, 0, features, np.array([0]), OPTIONS)
