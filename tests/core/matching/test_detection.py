"""Selection of local features against a plain list of features."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rrtool.core.matching.detection import (
    DetectionOptions,
    concatenate,
    detect,
    select,
)
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.mser import Regions
from rrtool.core.matching.nms import suppress_non_maxima
from tests.core.matching.plain_fsm import group_of

FIELDS = ("means", "covariances", "strengths", "channels", "offsets", "n_scales")


def activation_map(seed: int, shape: tuple[int, int, int] = (12, 20, 26)) -> np.ndarray:
    """Sparse blobs with a maximum of 10."""
    rng = np.random.default_rng(seed)
    maps = np.maximum(ndimage.gaussian_filter(rng.standard_normal(shape), (0, 1.5, 1.5)), 0)
    return (maps * 10 / maps.max()).astype(np.float32)


def random_detections(rng: np.random.Generator, n: int, n_channels: int) -> Regions:
    """Detections with many equal strengths, in the order that detect gives."""
    channels = rng.integers(0, n_channels, n).astype(np.int32)
    strengths = rng.integers(1, 6, n).astype(np.float32)
    order = np.lexsort((-strengths, channels))
    corner = rng.integers(0, 30, (n, 2))
    boxes = np.concatenate([corner, corner + rng.integers(0, 8, (n, 2))], axis=1).astype(np.int32)
    return Regions(
        channels=channels[order],
        levels=np.ones(n, np.uint8),
        seeds=np.arange(n, dtype=np.int32),
        areas=np.full(n, 4, np.int32),
        means=rng.random((n, 2)),
        covariances=rng.random((n, 3)),
        strengths=strengths[order],
        boxes=boxes,
    )


def brute_force(scales, max_features, max_per_channel, nms_iou, rule="drop") -> list[list[int]]:
    """Kept region indices a scale, by lists and loops."""
    limit = {"drop": max_per_channel, "strongest": max(36, max_per_channel)}[rule]
    pool = []
    for scale, regions in enumerate(scales):
        channels, strengths = regions.channels.tolist(), regions.strengths.tolist()
        ids = [i for i, c in enumerate(channels) if channels.count(c) <= limit]
        if nms_iou is not None:
            ids = [
                ids[i]
                for i in suppress_non_maxima(regions.boxes[ids], regions.strengths[ids], nms_iou)
            ]
        for channel in set(channels):
            best = sorted((-strengths[i], i) for i in ids if channels[i] == channel)
            pool += [(value, scale, i) for value, i in best[:max_per_channel]]
    best = sorted(pool)[:max_features]
    return [sorted(i for _, s, i in best if s == scale) for scale in range(len(scales))]


def assert_same(a: LocalFeatures, b: LocalFeatures) -> None:
    for field in FIELDS:
        left, right = np.asarray(getattr(a, field)), np.asarray(getattr(b, field))
        assert left.dtype == right.dtype
        assert np.array_equal(left, right)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    max_features=st.integers(0, 60),
    max_per_channel=st.integers(0, 12),
    nms_iou=st.sampled_from([0.2, 1.0]),
    rule=st.sampled_from(["drop", "strongest"]),
    n_channels=st.sampled_from([1, 6]),
)
def test_select_equals_brute_force(
    seed, sizes, max_features, max_per_channel, nms_iou, rule, n_channels
):
    rng = np.random.default_rng(seed)
    scales = [random_detections(rng, n, n_channels) for n in sizes]
    options = DetectionOptions(
        max_features=max_features,
        max_per_channel=max_per_channel,
        nms_iou=nms_iou,
        channel_rule=rule,
    )
    features = select(scales, n_channels, options)
    expected = brute_force(scales, max_features, max_per_channel, nms_iou, rule)
    assert features.n_scales == len(scales)
    assert features.n_images == 1
    for scale, ids in enumerate(expected):
        group, regions = group_of(features, 0, scale), scales[scale]
        assert np.array_equal(features.means[group], regions.means[ids].astype(np.float32))
        assert np.array_equal(features.channels[group], regions.channels[ids])
        assert np.array_equal(features.strengths[group], regions.strengths[ids])


def test_select_uses_defaults_of_role():
    rng = np.random.default_rng(0)
    scales = [random_detections(rng, 150, 10), random_detections(rng, 60, 10)]
    query = brute_force(scales, 10, 20, None)
    database = brute_force(scales, 10, 10, 0.2)
    for role, expected in (("query", query), ("database", database)):
        features = select(scales, 10, DetectionOptions(role))
        assert np.diff(features.offsets).tolist() == [len(ids) for ids in expected]
    features = select(scales, 10, DetectionOptions("query", max_features=1000))
    assert np.diff(features.offsets).tolist() == [
        len(ids) for ids in brute_force(scales, 1000, 20, None)
    ]


def test_select_drops_full_channel_at_its_scale_only():
    rng = np.random.default_rng(1)
    full, sparse = random_detections(rng, 21, 1), random_detections(rng, 20, 1)
    features = select([full, sparse], 1, DetectionOptions("query", max_features=100))
    assert np.diff(features.offsets).tolist() == [0, 20]


@pytest.mark.parametrize(
    ("role", "n_regions", "dropped", "strongest"),
    [
        ("query", 20, 20, 20),
        ("query", 21, 0, 20),
        ("query", 36, 0, 20),
        ("query", 37, 0, 0),
        ("database", 10, 10, 10),
        ("database", 11, 0, 10),
        ("database", 37, 0, 0),
    ],
)
def test_select_of_a_full_channel_by_either_rule(role, n_regions, dropped, strongest):
    regions = random_detections(np.random.default_rng(2), n_regions, 1)
    for rule, expected in (("drop", dropped), ("strongest", strongest)):
        options = DetectionOptions(role, channel_rule=rule, nms_iou=1, max_features=100)
        found = select([regions], 1, options)
        assert found.strengths.tolist() == regions.strengths[:expected].tolist()


def test_select_of_the_strongest_suppresses_before_it_counts():
    # Twelve regions of one channel, in pairs of the same box: five boxes could stay of the ten
    # strongest, all six of the twelve.
    boxes = np.repeat(np.arange(6), 2)[:, None] * 10 + np.array([0, 0, 4, 4])
    regions = random_detections(np.random.default_rng(3), 12, 1)
    regions = replace(regions, boxes=boxes, strengths=np.arange(12, 0, -1, dtype=np.float32))
    found = select([regions], 1, DetectionOptions(channel_rule="strongest", max_features=100))
    assert found.strengths.tolist() == [12, 10, 8, 6, 4, 2]


def test_select_of_empty_scales_is_empty():
    empty = detect(np.zeros((5, 6, 7), np.float32), scale=1.0, delta=1)
    features = select([empty, empty], 5, DetectionOptions("database"))
    assert features.n_features == 0
    assert features.offsets.tolist() == [0, 0, 0]
    assert features.means.shape == (0, 2)
    assert features.covariances.shape == (0, 3)
    assert features.channels.dtype == np.int32


def test_detect_finds_positive_definite_features_in_order():
    maps = activation_map(0)
    detections = detect(maps, scale=25.5, delta=4)
    features = select([detections], 12, DetectionOptions("query", max_features=10_000))
    assert features.n_features > 20
    xx, xy, yy = features.covariances.T
    assert (xx * yy > xy**2).all()
    assert (xx > 0).all()
    assert (features.strengths <= maps.max(axis=(1, 2))[features.channels]).all()
    order = np.lexsort((-features.strengths, features.channels))
    assert (order == np.arange(len(order))).all()


def test_detect_shifts_with_the_map():
    maps = np.zeros((1, 20, 20), np.float32)
    maps[0, 4:8, 5:10] = 3
    here = detect(maps, scale=10.0, delta=2)
    there = detect(np.roll(maps, (7, 3), (1, 2)), scale=10.0, delta=2)
    assert len(here) == 1
    np.testing.assert_allclose(there.means - here.means, [[3, 7]])
    np.testing.assert_allclose(there.covariances, here.covariances)


def test_detect_passes_options():
    maps = activation_map(2)
    strict = detect(maps, scale=25.5, delta=4, options=DetectionOptions(max_variation=0.1))
    loose = detect(
        maps, scale=25.5, delta=4, options=DetectionOptions(max_variation=5.0, min_diversity=0.1)
    )
    assert len(strict) < len(detect(maps, scale=25.5, delta=4)) < len(loose)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_detect_refuses_what_is_not_finite(bad):
    maps = activation_map(1)
    maps[3, 2, 1] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        detect(maps, scale=1.0, delta=1)


def test_concatenate_keeps_every_group():
    parts = []
    for seed in range(4):
        scales = [detect(activation_map(seed * 3 + s), scale=25.5, delta=4) for s in range(2)]
        parts.append(select(scales, 12, DetectionOptions("database", max_features=7 * seed)))
    joined = concatenate([concatenate(parts[:2]), concatenate(parts[2:])])
    assert joined.n_images == 4
    assert joined.n_features == sum(part.n_features for part in parts) > 0
    for image, part in enumerate(parts):
        for scale in range(2):
            for field in ("means", "covariances", "strengths", "channels"):
                left = getattr(joined, field)[group_of(joined, image, scale)]
                assert np.array_equal(left, getattr(part, field)[group_of(part, 0, scale)])


def test_concatenate_of_one_is_the_same():
    part = select([detect(activation_map(0), scale=25.5, delta=4)], 12, DetectionOptions("query"))
    assert_same(concatenate([part]), part)


def test_concatenate_of_none_is_refused():
    with pytest.raises(ValueError, match="scales"):
        concatenate([])


def test_concatenate_refuses_different_scales():
    maps = detect(activation_map(0), scale=25.5, delta=4)
    with pytest.raises(ValueError, match="scales"):
        concatenate(
            [
                select([maps], 12, DetectionOptions("query")),
                select([maps, maps], 12, DetectionOptions("query")),
            ]
        )
