"""Merging parts of one thing against hand-made scenes."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.discovery.merging import merge_parts
from rrtool.core.discovery.object_discovery import DiscoveredObjects

N = 6


def scene(places: list[np.ndarray]) -> tuple[DiscoveredObjects, np.ndarray, np.ndarray]:
    """Objects by the boxes ``(N, 4)`` of each in the photos 0 … N − 1; NaN where it is not seen."""
    regions, images, boxes, sizes = [], [], [], []
    for place in places:
        seen = np.flatnonzero(np.isfinite(place[:, 0]))
        regions.append(len(images) + np.arange(len(seen)))
        images += seen.tolist()
        boxes.append(place[seen])
        sizes.append(len(seen))
    weights = np.concatenate([np.linspace(1, 0.5, size) for size in sizes]).astype(np.float32)
    found = DiscoveredObjects(
        np.concatenate([[0], np.cumsum(sizes)]), np.concatenate(regions), weights
    )
    return found, np.array(images), np.concatenate(boxes)


def boxes_at(x: np.ndarray, y: np.ndarray, size: np.ndarray) -> np.ndarray:
    return np.column_stack([x, y, x + size, y + size]).astype(np.float64)


def thing(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where something is in each photo, and how large."""
    generator = np.random.default_rng(seed)
    return *generator.uniform(50, 400, (2, N)), generator.uniform(20, 90, N)


def test_parts_that_keep_their_place_are_one_object_with_a_box_around_them() -> None:
    x, y, size = thing()
    front, cap = boxes_at(x, y, size), boxes_at(x + 0.2 * size, y - 0.6 * size, 0.5 * size)
    cap[5] = np.nan  # its cap is hidden there
    found, images, boxes = scene([front, cap])
    merged, around = merge_parts(found, images, boxes, 3)
    assert merged.offsets.tolist() == [0, N]
    assert merged.regions.tolist() == list(range(N))  # those of the front
    assert merged.weights.tolist() == found.weights[:N].tolist()
    expected = front.copy()
    expected[:5, 1] = cap[:5, 1]
    np.testing.assert_allclose(around, expected)
    assert (around.dtype, merged.weights.dtype) == (boxes.dtype, np.float32)


def test_part_that_is_seen_more_often_leads_and_others_add_their_photos() -> None:
    x, y, size = thing()
    front, cap = boxes_at(x, y, size), boxes_at(x, y - size, size)
    cap[4], front[0] = np.nan, np.nan
    front[1] = np.nan
    found, images, boxes = scene([cap, front])
    merged, around = merge_parts(found, images, boxes, 3)
    assert merged.offsets.tolist() == [0, N]
    assert images[merged.regions].tolist() == [0, 1, 2, 3, 5, 4]  # the cap's, then the front's
    np.testing.assert_allclose(around[-1], front[4])


@pytest.mark.parametrize("case", ["elsewhere each time", "of another size", "seldom together"])
def test_things_of_their_own_stay_so(case: str) -> None:
    x, y, size = thing()
    one, other = boxes_at(x, y, size), boxes_at(x + size, y, 0.5 * size)
    if case == "elsewhere each time":
        other = boxes_at(*thing(1)[:2], 0.5 * size)
    elif case == "of another size":
        other = boxes_at(x + size, y, size * np.array([0.1, 0.3, 1, 2, 4, 8]))
    else:
        one[4:], other[:3] = np.nan, np.nan
    found, images, boxes = scene([one, other])
    merged, around = merge_parts(found, images, boxes, 3)
    assert merged.offsets.tolist() == found.offsets.tolist()
    assert merged.regions.tolist() == found.regions.tolist()
    np.testing.assert_array_equal(around, boxes[found.regions])


def test_a_wrong_sight_does_not_part_them_and_three_parts_are_one() -> None:
    x, y, size = thing()
    parts = [boxes_at(x, y + place * size, size) for place in range(3)]
    parts[1][2] = [0, 0, 9, 9]
    found, images, boxes = scene([*parts, boxes_at(*thing(4))])
    merged, _ = merge_parts(found, images, boxes, 3)
    assert merged.offsets.tolist() == [0, N, 2 * N]
    assert merged.regions.tolist() == [*range(N), *range(3 * N, 4 * N)]


def test_merged_objects_of_most_photos_come_first() -> None:
    x, y, size = thing()
    alone = boxes_at(*thing(3))
    alone[5] = np.nan
    parts = [boxes_at(x, y, size), boxes_at(x, y + size, size)]
    parts[0][5], parts[1][4], parts[0][4] = np.nan, np.nan, parts[0][4]
    found, images, boxes = scene([alone, *parts])
    merged, _ = merge_parts(found, images, boxes, 3)
    assert np.diff(merged.offsets).tolist() == [6, 5]


def test_merging_nothing_or_flat_boxes_leaves_them() -> None:
    nothing = DiscoveredObjects(
        np.zeros(1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32)
    )
    merged, around = merge_parts(nothing, np.zeros(0, np.int64), np.zeros((0, 4)), 3)
    assert (len(merged), around.shape) == (0, (0, 4))
    flat = boxes_at(*thing()[:2], np.zeros(N))
    found, images, boxes = scene([flat, flat])
    assert len(merge_parts(found, images, boxes, 3)[0]) == 2
