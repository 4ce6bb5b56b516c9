"""Where things are: boxes that were found against true boxes (METHODS §13).

Boxes are ``(x0, y0, x1, y1)`` from the corner of the top-left pixel or cell, which covers
``[0, 1]``: half-open rectangles of cells are such boxes, and so are pixels over the stride.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

IOU = 0.5
# What a score means, in words, for whoever compares it with another tool's.
BOX_RULES = {
    "region_recall_rule": "share of the true boxes that a box found overlaps by this IoU or more",
    "CorLoc_rule": "share of the images with true boxes whose box of the largest score, or for "
    "CorLoc_any one of whose boxes, overlaps a true box by an IoU of 0.5 or more",
    "odAP_rule": "boxes of all images with true boxes by falling score; right is the first on the "
    "true box that it overlaps most, by an IoU of 0.5 or more; area under the precision, made "
    "monotone, over the recall of true boxes",
    "centres_inside_rule": "share of the boxes found whose centre lies in a true box",
}


@dataclass(frozen=True, eq=False)
class FoundBoxes:
    """What was found in one image, and what is there.

    Attributes:
        boxes: ``(r, 4)`` found.
        truth: ``(t, 4)``, t ≥ 1: an image whose objects nobody marked tells nothing.
        scores: ``(r,)`` of the boxes found, the best largest, comparable between images; None
            where they have none.

    Raises:
        ValueError: boxes are not four finite numbers each, or have no area; or a score is NaN.
    """

    boxes: np.ndarray
    truth: np.ndarray
    scores: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name in ("boxes", "truth"):
            object.__setattr__(self, name, checked_boxes(getattr(self, name)))
        if self.scores is not None and np.isnan(self.scores).any():
            raise ValueError("a score is not a number")


def overlaps(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of every box with every true one.

    Args:
        boxes: ``(r, 4)`` found.
        truth: ``(t, 4)``.

    Returns:
        ``(r, t)`` float64.

    Raises:
        ValueError: boxes are malformed: not four numbers, NaN, or of no area.
    """
    boxes, truth = checked_boxes(boxes), checked_boxes(truth)
    low = np.maximum(boxes[:, None, :2], truth[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], truth[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    return shared / (_areas(boxes)[:, None] + _areas(truth)[None] - shared)


def best_iou(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of each true box with the box that fits it best.

    Args and errors are those of ``overlaps``.

    Returns:
        ``(t,)`` float64; zeros where nothing was found. The share above a threshold is recall.
    """
    return overlaps(boxes, truth).max(axis=0, initial=0)


def centre_inside(boxes: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Whether the centre of each box lies in a true one, or on its border; ``(r,)`` bool.

    Args and errors are those of ``overlaps``.
    """
    boxes, truth = checked_boxes(boxes), checked_boxes(truth)
    centres = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, None]
    return ((truth[None, :, :2] <= centres) & (centres <= truth[None, :, 2:])).all(2).any(1)


def correct_localization(images: Sequence[FoundBoxes], *, first: bool) -> np.ndarray:
    """Whether a box of each image overlaps a true one by an IoU of 0.5 or more (CorLoc).

    Args:
        images: of the collection that have true boxes.
        first: look at the box with the largest score alone, of equal ones at the first; else at
            all.

    Returns:
        ``(n,)`` bool, whose mean is CorLoc; False where nothing was found.

    Raises:
        ValueError: the first box is asked for where boxes have no scores.
    """
    if first and any(image.scores is None for image in images):
        raise ValueError("boxes without scores have no first one")
    found = []
    for image in images:
        boxes = image.boxes
        if first and image.scores is not None and len(boxes):
            boxes = boxes[[int(np.argmax(image.scores))]]
        found.append(bool((overlaps(boxes, image.truth) >= IOU).any()))
    return np.array(found, dtype=bool)


def discovery_average_precision(images: Sequence[FoundBoxes]) -> float:
    """Average precision of all boxes found in a collection, whatever they show (odAP).

    The boxes of all images are taken by falling score, equal ones in the order of the images. A
    box is right if the true box of its image that it overlaps most does so by an IoU of 0.5 or
    more and has not been found before: a second box on one object is wrong. The area is that
    under the precision, made monotone, over the recall of true boxes, as in PASCAL VOC from 2010.

    Args:
        images: of the collection that have true boxes.

    Returns:
        A value in [0, 1]; NaN without a true box.

    Raises:
        ValueError: boxes have no scores.
    """
    scores, right = [np.zeros(0)], [np.zeros(0, dtype=bool)]
    for image in images:
        if image.scores is None:
            raise ValueError("boxes without scores have no order")
        scores.append(np.asarray(image.scores, dtype=np.float64))
        right.append(_first_hits(image))
    n_true = sum(len(image.truth) for image in images)
    if n_true == 0:
        return float("nan")
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hits = np.concatenate(right)[order]
    precisions = np.cumsum(hits) / (np.arange(len(hits)) + 1)
    envelope = np.maximum.accumulate(precisions[::-1])[::-1]
    return float(envelope[hits].sum() / n_true)


def _first_hits(image: FoundBoxes) -> np.ndarray:
    """Whether each box is the first, by score, on the true box that it overlaps most."""
    ious = overlaps(image.boxes, image.truth)
    hits, seen = np.zeros(len(ious), dtype=bool), set()
    for box in np.argsort(-np.asarray(image.scores), kind="stable").tolist():
        if not ious.shape[1]:
            break
        true = int(ious[box].argmax())
        hits[box] = ious[box, true] >= IOU and true not in seen
        if hits[box]:
            seen.add(true)
    return hits


def checked_boxes(boxes: np.ndarray) -> np.ndarray:
    """Boxes as ``(n, 4)`` float64.

    Raises:
        ValueError: they have another shape, are not finite, or one has no area.
    """
    boxes = np.asarray(boxes, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"boxes are {boxes.shape}, expected (n, 4)")
    if not (np.isfinite(boxes).all() and (boxes[:, :2] < boxes[:, 2:]).all()):
        raise ValueError("a box is not finite or has no area, expected x0 < x1 and y0 < y1")
    return boxes


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
