"""Boxes that were found against true ones: by counting cells, by plain loops, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.evaluation.localization import (
    FoundBoxes,
    best_iou,
    centre_inside,
    correct_localization,
    discovery_average_precision,
    overlaps,
)

NONE = np.zeros((0, 4))


def test_best_iou_equals_counting_of_cells():
    rng = np.random.default_rng(8)

    def random_boxes(n):
        x, y = (np.sort([rng.permutation(12)[:2] for _ in range(n)]) for _ in range(2))
        return np.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], axis=1)

    def mask(box):
        cells = np.zeros((12, 12), bool)
        cells[box[1] : box[3], box[0] : box[2]] = True
        return cells

    boxes, truth = random_boxes(9), random_boxes(15)
    expected = [
        max((mask(box) & mask(true)).sum() / (mask(box) | mask(true)).sum() for box in boxes)
        for true in truth
    ]
    np.testing.assert_allclose(best_iou(boxes, truth), expected, rtol=1e-12)


def test_best_iou_hand_worked():
    truth = np.array([[0, 0, 4, 4], [10, 10, 12, 12], [4, 0, 8, 4]])
    boxes = np.array([[0, 0, 4, 4], [2, 0, 6, 4]])
    assert best_iou(boxes, truth).tolist() == [1, 0, 8 / 24]


def test_best_iou_of_nothing():
    none, one = np.zeros((0, 4)), np.array([[0, 0, 1, 1]])
    assert best_iou(none, one).tolist() == [0]
    assert best_iou(one, none).shape == (0,)


def test_best_iou_refuses_unfit_boxes():
    good = np.array([[0, 0, 1, 1]])
    for bad in (np.array([[1, 0, 1, 1]]), np.array([[0, np.nan, 1, 1]]), np.array([0, 0, 1, 1])):
        with pytest.raises(ValueError, match="box"):
            best_iou(bad, good)
        with pytest.raises(ValueError, match="box"):
            best_iou(good, bad)


def test_centre_inside_hand_worked():
    truth = np.array([[0, 0, 4, 4], [10, 10, 12, 12]])
    boxes = np.array([[1, 1, 2, 2], [3, 3, 5, 5], [4, 4, 6, 6], [9, 9, 13, 13]])
    assert centre_inside(boxes, truth).tolist() == [True, True, False, True]
    assert centre_inside(boxes, NONE).tolist() == [False] * 4
    assert centre_inside(NONE, truth).shape == (0,)


# --- of a collection -----------------------------------------------------------------------------

TRUE = np.array([[0, 0, 4, 4], [10, 10, 14, 14]])
LEFT, HALF, RIGHT, BESIDE = [0, 0, 4, 4], [0, 0, 4, 2], [10, 10, 14, 15], [6, 0, 8, 2]
IMAGES = [
    FoundBoxes(np.array([BESIDE, LEFT, RIGHT]), TRUE, np.array([0.9, 0.8, 0.3])),
    FoundBoxes(np.array([HALF, LEFT]), TRUE, np.array([0.7, 0.6])),
    FoundBoxes(NONE, TRUE[:1], np.zeros(0)),
]


def test_correct_localization_hand_worked():
    assert correct_localization(IMAGES, first=False).tolist() == [True, True, False]
    assert correct_localization(IMAGES, first=True).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="no first one"):
        correct_localization([FoundBoxes(TRUE, TRUE)], first=True)


def test_discovery_average_precision_hand_worked():
    # .9 wrong, .8 and .7 (IoU 1/2) right, .6 on what was found: wrong, .3 right; 5 true boxes.
    # Precisions at the right ones are 1/2, 2/3, 3/5; made monotone 2/3, 2/3, 3/5.
    assert discovery_average_precision(IMAGES) == pytest.approx((2 / 3 + 2 / 3 + 3 / 5) / 5)
    assert discovery_average_precision(IMAGES[2:]) == 0
    assert np.isnan(discovery_average_precision([]))
    with pytest.raises(ValueError, match="no order"):
        discovery_average_precision([FoundBoxes(TRUE, TRUE)])


def test_discovery_average_precision_equals_the_loops_of_pascal_voc():
    """As the development kit does it: a list of detections, each looks for its object."""
    rng = np.random.default_rng(4)
    for _ in range(40):
        images = []
        for _ in range(5):
            truth = np.array([[x, y, x + 4, y + 4] for x, y in rng.integers(0, 20, (3, 2))])
            boxes = truth[rng.integers(0, 3, 6)] + rng.integers(0, 3, (6, 1))
            images.append(FoundBoxes(boxes, truth, rng.random(6)))
        detections = sorted(
            ((score, i, box) for i, image in enumerate(images)
             for score, box in zip(image.scores, image.boxes, strict=True)),
            key=lambda each: -each[0],
        )  # fmt: skip
        taken, n_right, curve = set(), 0, []
        for place, (_, i, box) in enumerate(detections, start=1):
            best, at = 0.0, -1
            for j, true in enumerate(images[i].truth):
                w = min(box[2], true[2]) - max(box[0], true[0])
                h = min(box[3], true[3]) - max(box[1], true[1])
                shared = max(w, 0) * max(h, 0)
                union = np.prod(box[2:] - box[:2]) + np.prod(true[2:] - true[:2]) - shared
                if shared / union > best:
                    best, at = shared / union, j
            if best >= 0.5 and (i, at) not in taken:
                taken.add((i, at))
                n_right += 1
            curve.append((n_right / 15, n_right / place))
        area, before = 0.0, 0.0
        for k, (recall, _) in enumerate(curve):
            area += (recall - before) * max(p for _, p in curve[k:])
            before = recall
        assert discovery_average_precision(images) == pytest.approx(area, rel=0, abs=1e-12)


def test_found_boxes_refuse_what_is_none():
    with pytest.raises(ValueError, match="no area"):
        FoundBoxes(np.array([[1, 1, 1, 2]]), TRUE)
    with pytest.raises(ValueError, match="not a number"):
        FoundBoxes(TRUE, TRUE, np.array([1, np.nan]))
    assert overlaps(NONE, TRUE).shape == (0, 2)
