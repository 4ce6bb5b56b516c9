"""Saliency maps against true boxes: by counting on a finer grid, by plain loops, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.evaluation.saliency_maps import (
    coverage,
    max_f,
    max_iou,
    saliency_precision,
    threshold_curves,
)


def test_saliency_precision_equals_counting_on_a_fine_grid():
    rng = np.random.default_rng(7)
    saliency = rng.random((5, 7))
    fine = np.repeat(np.repeat(saliency, 10, axis=0), 10, axis=1)
    for _ in range(30):
        x0, x1 = np.sort(rng.permutation(90)[:2]) - 10
        y0, y1 = np.sort(rng.permutation(70)[:2]) - 10
        inside = fine[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)].sum() / fine.sum()
        box = np.array([x0, y0, x1, y1]) / 10
        assert saliency_precision(saliency, box[None]) == pytest.approx(inside, abs=1e-12)


def test_saliency_precision_hand_worked():
    saliency = np.array([[1, 3], [0, 4]], np.float32)
    assert saliency_precision(saliency, np.array([[0, 0, 2, 2]])) == 1
    assert saliency_precision(saliency, np.array([[1, 0, 2, 1]])) == 3 / 8
    assert saliency_precision(saliency, np.array([[0.5, 0.5, 1.5, 1.5]])) == 0.25
    assert saliency_precision(saliency, np.array([[-5, -5, 0, 2]])) == 0
    assert saliency_precision(saliency, np.array([[0.25, 0, 0.5, 1]])) == 0.25 / 8


def test_saliency_precision_of_zeros_is_zero():
    assert saliency_precision(np.zeros((3, 4)), np.array([[0, 0, 4, 3]])) == 0


def test_saliency_precision_refuses_unfit_input():
    with pytest.raises(ValueError, match="saliency map holds"):
        saliency_precision(np.array([[1, np.nan]]), np.array([[0, 0, 1, 1]]))
    for box in ([0, 0, 0, 1], [1, 0, 0, 1], [0, 0, np.nan, 1]):
        with pytest.raises(ValueError, match="no area"):
            saliency_precision(np.ones((2, 2)), np.array([box]))


def test_what_lies_in_two_boxes_counts_once():
    saliency = np.array([[1, 3], [0, 4]], np.float32)
    boxes = np.array([[0, 0, 2, 1], [1, 0, 2, 2]])
    assert saliency_precision(saliency, boxes) == 1
    assert coverage((2, 2), boxes).tolist() == [[1, 1], [0, 1]]


# --- cut at thresholds ----------------------------------------------------------------------------


def test_threshold_curves_equal_plain_masks():
    rng = np.random.default_rng(3)
    for _ in range(20):
        saliency = rng.gamma(0.5, size=(6, 5)) * (rng.random((6, 5)) < 0.7)
        x0, y0 = rng.integers(0, 4, 2)
        box = np.array([[x0, y0, x0 + rng.integers(1, 4), y0 + rng.integers(1, 4)]])
        curves = threshold_curves(saliency, box)
        mask = np.zeros((6, 5), bool)
        mask[box[0, 1] : box[0, 3], box[0, 0] : box[0, 2]] = True
        for k in range(0, 256, 15):
            chosen = saliency * 255 >= k * saliency.max()
            both = (chosen & mask).sum()
            assert curves.precisions[k] == pytest.approx(both / chosen.sum())
            assert curves.recalls[k] == pytest.approx(both / mask.sum())
            assert curves.ious[k] == pytest.approx(both / (chosen | mask).sum())


def test_max_f_and_iou_hand_worked():
    # The object is the left half. Above .5 only its two cells are chosen, at .2 three cells.
    saliency = np.array([[1.0, 0.2], [0.6, 0.0]])
    curves = threshold_curves(saliency, np.array([[0, 0, 1, 2]]))
    assert max_iou(curves.ious[None]) == 1
    assert max_f(curves.precisions[None], curves.recalls[None]) == 1
    # With an image whose saliency misses, P and R at the best threshold are the means.
    other = threshold_curves(saliency[:, ::-1], np.array([[0, 0, 1, 2]]))
    both = (
        np.stack([curves.precisions, other.precisions]),
        np.stack([curves.recalls, other.recalls]),
    )
    f = [1.3 * p * r / (0.3 * p + r) for p, r in zip(both[0].mean(0), both[1].mean(0), strict=True)]
    assert max_f(*both) == pytest.approx(max(f))
    assert max_f(*both) == pytest.approx(1.3 * 0.5 * 1 / (0.3 * 0.5 + 1))  # at 0: all is chosen
    assert max_iou(np.stack([curves.ious, other.ious])) == pytest.approx((1 + 0) / 2)


def test_threshold_curves_of_nothing():
    box = np.array([[0, 0, 1, 1]])
    assert threshold_curves(np.zeros((2, 2)), box) is None
    assert threshold_curves(np.ones((2, 2)), box + 5) is None
    assert np.isnan(max_f(np.zeros((0, 256)), np.zeros((0, 256))))
    assert np.isnan(max_iou(np.zeros((0, 256))))
    never = np.zeros((1, 256))
    assert max_f(never, never) == 0
