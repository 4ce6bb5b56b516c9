"""Non-maximum suppression against a plain loop over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtool.core.matching.nms import suppress_non_maxima


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Counts the shared pixels of two inclusive boxes on a grid."""
    grid = np.zeros((2, 40, 40), bool)
    for layer, (x0, y0, x1, y1) in zip(grid, (a, b), strict=True):
        layer[y0 : y1 + 1, x0 : x1 + 1] = True
    return float((grid[0] & grid[1]).sum() / (grid[0] | grid[1]).sum())


def brute_force(boxes: np.ndarray, strengths: np.ndarray, threshold: float) -> list[int]:
    remaining = sorted(range(len(boxes)), key=lambda i: (-strengths[i], i))
    kept = []
    while remaining:
        best = remaining.pop(0)
        kept.append(best)
        remaining = [i for i in remaining if iou(boxes[best], boxes[i]) <= threshold]
    return sorted(kept)


def random_boxes(rng: np.random.Generator, n: int, side: int, extent: int) -> np.ndarray:
    corner = rng.integers(0, extent, (n, 2))
    return np.concatenate([corner, corner + rng.integers(0, side, (n, 2))], axis=1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 25),
    side=st.integers(1, 15),
    threshold=st.sampled_from([0.0, 0.2, 0.25, 0.5, 1.0]),
)
def test_suppress_non_maxima_equals_brute_force(seed, n, side, threshold):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, n, side, 20)
    strengths = rng.integers(0, 5, n).astype(np.float32)  # many ties
    kept = suppress_non_maxima(boxes, strengths, threshold)
    assert kept.tolist() == brute_force(boxes, strengths, threshold)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_suppress_non_maxima_is_idempotent(seed):
    rng = np.random.default_rng(seed)
    boxes, strengths = random_boxes(rng, 60, 9, 25), rng.random(60).astype(np.float32)
    kept = suppress_non_maxima(boxes, strengths, 0.2)
    again = suppress_non_maxima(boxes[kept], strengths[kept], 0.2)
    assert again.tolist() == list(range(len(kept)))


def test_suppress_non_maxima_keeps_overlap_at_threshold():
    # Widths are inclusive: 1 shared pixel of 5 is an IoU of exactly 0.2.
    boxes = np.array([[0, 0, 2, 0], [2, 0, 4, 0]])
    strengths = np.array([2.0, 1.0])
    assert suppress_non_maxima(boxes, strengths, 0.2).tolist() == [0, 1]
    assert suppress_non_maxima(boxes, strengths, 0.19).tolist() == [0]


def test_suppress_non_maxima_prefers_lower_index_on_ties():
    boxes = np.array([[0, 0, 3, 3]] * 3)
    assert suppress_non_maxima(boxes, np.ones(3), 0.2).tolist() == [0]


def test_suppress_non_maxima_lets_suppressed_boxes_suppress_nothing():
    boxes = np.array([[0, 0, 9, 0], [5, 0, 14, 0], [10, 0, 19, 0]])
    strengths = np.array([3.0, 2.0, 1.0])
    assert suppress_non_maxima(boxes, strengths, 0.2).tolist() == [0, 2]


def test_suppress_non_maxima_of_nothing_is_empty():
    kept = suppress_non_maxima(np.empty((0, 4), np.int32), np.empty(0, np.float32), 0.2)
    assert kept.shape == (0,)
    assert kept.dtype == np.int64


@pytest.mark.parametrize(
    ("boxes", "strengths", "threshold", "message"),
    [
        (np.zeros((2, 3), int), np.zeros(2), 0.2, "boxes"),
        (np.zeros((2, 4), int), np.zeros(3), 0.2, "strengths"),
        (np.array([[2, 0, 1, 0]]), np.zeros(1), 0.2, "ends before"),
        (np.zeros((1, 4), int), np.array([np.nan]), 0.2, "NaN"),
        (np.zeros((1, 4), int), np.zeros(1), 1.5, "threshold"),
    ],
)
def test_suppress_non_maxima_refuses_unfit_input(boxes, strengths, threshold, message):
    with pytest.raises(ValueError, match=message):
        suppress_non_maxima(boxes, strengths, threshold)
