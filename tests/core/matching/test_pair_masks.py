"""Masks of pairs of activation maps against sets of pixels and plain matching."""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rrtool.core.matching.detection import DetectionOptions, detect, select
from rrtool.core.matching.mser import Stability, detect_regions
from rrtool.core.matching.pair_masks import (
    LocatedFeatures,
    locate,
    matching_features,
    region_mask,
)
from rrtool.core.matching.spatial_matching import MatchingOptions, match
from tests.core.matching.made_pairs import DELTA, SCALE, made_pair
from tests.core.matching.plain_mser import component
from tests.core.matching.plain_pair_masks import plain_features, plain_masks

QUERY = DetectionOptions(role="query")
MANY = replace(QUERY, max_per_channel=1000, max_features=1000)


def located(maps: np.ndarray, options: DetectionOptions = QUERY) -> LocatedFeatures:
    return locate(maps, scale=SCALE, delta=DELTA, options=options)


def masks_of(first: LocatedFeatures, second: LocatedFeatures) -> list[np.ndarray]:
    ((rows, other_rows),) = matching_features(first, [second], MatchingOptions())
    return [region_mask(first, rows), region_mask(second, other_rows)]


@pytest.mark.parametrize("seed", range(6))
def test_masks_equal_plain_ones_in_both_orders(seed):
    pair = made_pair(seed)
    plain = [plain_features(maps, SCALE, DELTA) for maps in pair]
    own = [located(maps) for maps in pair]
    for first, second in ((0, 1), (1, 0), (0, 0)):
        shapes = [pair[first].shape, pair[second].shape]
        *expected, inliers = plain_masks(plain[first], plain[second], shapes)
        masks = masks_of(own[first], own[second])
        assert inliers
        assert np.array_equal(masks[0], expected[0])
        assert np.array_equal(masks[1], expected[1])


def test_some_channels_of_made_pairs_have_several_inliers_and_some_none():
    """What the others compare holds the cases that matter."""
    n_inliers = []
    for seed in range(6):
        first, second = (located(maps) for maps in made_pair(seed))
        ((rows, _),) = matching_features(first, [second], MatchingOptions())
        n_inliers += np.bincount(first.features.channels[rows], minlength=8).tolist()
    assert 0 in n_inliers
    assert max(n_inliers) > 1


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.uint8, (2, 7, 8), elements=st.integers(0, 5)), st.integers(0, 3), st.data())
def test_region_mask_is_the_union_of_components(levels, delta, data):
    maps = levels.astype(np.float32)
    options = replace(QUERY, min_diversity=0.1, max_variation=20.0, max_features=100)
    found = locate(maps, scale=1.0, delta=delta, options=options)
    n = found.features.n_features
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1))) if n else [], np.int64)
    expected = np.zeros(levels.shape, bool)
    for row in rows.tolist():
        channel = found.features.channels[row]
        expected[channel] |= component(
            levels[channel], int(found.seeds[row]), int(found.thresholds[row])
        )
    assert np.array_equal(region_mask(found, rows), expected)


def test_region_mask_has_as_many_pixels_as_the_region():
    maps = made_pair(3)[0]
    found = located(maps)
    regions = detect_regions(found.levels, maps, Stability(delta=DELTA))
    areas = {(int(c), int(s)): int(a) for c, s, a in zip(
        regions.channels, regions.seeds, regions.areas, strict=True)}  # fmt: skip
    for row in range(found.features.n_features):
        mask = region_mask(found, np.array([row]))
        channel = int(found.features.channels[row])
        assert mask.sum() == mask[channel].sum() == areas[channel, int(found.seeds[row])]


def test_mask_does_not_depend_on_the_order_of_the_features():
    """Of noise, whose regions lie in each other."""
    found = located(10 * np.random.default_rng(0).random((3, 24, 30), np.float32), MANY)
    rows = np.random.default_rng(1).permutation(found.features.n_features)[:60]
    expected = np.any([region_mask(found, np.array([row])) for row in rows], axis=0)
    assert np.array_equal(region_mask(found, rows), expected)


def test_locate_gives_the_features_of_detect_and_select():
    """Of noise, where each option changes how many there are."""
    maps, counts = 10 * np.random.default_rng(0).random((3, 24, 30), np.float32), set()
    for options in (
        MANY, replace(MANY, min_diversity=0.3), replace(MANY, max_variation=5.0),
        DetectionOptions(role="database", max_features=5),
    ):  # fmt: skip
        regions = detect(maps, scale=SCALE, delta=DELTA, options=options)
        expected = select([regions], len(maps), options)
        found = located(maps, options).features
        counts.add(found.n_features)
        for field in ("means", "covariances", "strengths", "channels", "offsets"):
            assert np.array_equal(getattr(found, field), getattr(expected, field))
    assert len(counts) == 4


def test_matching_features_of_many_are_those_of_each():
    first, *others = (located(maps) for seed in range(3) for maps in made_pair(seed))
    together = matching_features(first, others, MatchingOptions())
    assert len(together) == len(others) == 5
    for other, rows in zip(others, together, strict=True):
        found = match(first.features, 0, other.features, np.array([0]), MatchingOptions()).inliers
        assert rows[0].tolist() == sorted(set(found[:, 0].tolist()))
        assert rows[1].tolist() == sorted(set(found[:, 1].tolist()))


def test_maps_without_anything_in_common_have_empty_masks():
    pair = made_pair(0)
    pair[0][:4], pair[1][4:] = 0, 0  # no channel in which both have anything
    for mask in masks_of(*(located(maps) for maps in pair)):
        assert not mask.any()


@pytest.mark.parametrize("shape", [(3, 5, 6), (2, 1, 1), (3, 0, 4), (0, 4, 4)])
def test_empty_maps_have_empty_masks(shape):
    empty = located(np.zeros(shape, np.float32))
    other = located(made_pair(0)[0][: shape[0]])
    for first, second in ((empty, other), (other, empty), (empty, empty)):
        masks = masks_of(first, second)
        assert [mask.shape for mask in masks] == [first.levels.shape, second.levels.shape]
        assert not masks[0].any()
        assert not masks[1].any()
    assert matching_features(empty, [], MatchingOptions()) == []


def test_masks_ignore_the_number_of_threads():
    pair = made_pair(7, n_channels=64)
    found = []
    n_threads = numba.get_num_threads()
    for n in {1, n_threads}:
        numba.set_num_threads(n)
        try:
            found.append(masks_of(*(located(maps) for maps in pair)))
        finally:
            numba.set_num_threads(n_threads)
    assert found[0][0].any()
    for masks in found[1:]:
        assert all(map(np.array_equal, masks, found[0]))
