"""Greedy non-maximum suppression of region boxes (thesis §4.3.4, §4.4.1)."""

import numba
import numpy as np


def suppress_non_maxima(
    boxes: np.ndarray, strengths: np.ndarray, iou_threshold: float
) -> np.ndarray:
    """Keeps the strongest boxes of those that overlap.

    Boxes are taken by falling strength, ties by lower index; one is suppressed when its
    intersection over union with a box kept before exceeds the threshold. Boxes are inclusive
    pixel bounding boxes: their width is ``x1 - x0 + 1``.

    Args:
        boxes: ``(n, 4)`` integers ``(x0, y0, x1, y1)``, with ``x0 <= x1`` and ``y0 <= y1``.
        strengths: ``(n,)``, finite.
        iou_threshold: from 0 (nothing that touches stays) to 1 (nothing is suppressed).

    Returns:
        ``(m,)`` int64, the kept indices in rising order.

    Raises:
        ValueError: the shapes don't fit, a box is empty, a strength is NaN, or the threshold is
            not in [0, 1].
    """
    _check(boxes, strengths, iou_threshold)
    order = np.argsort(-np.asarray(strengths, np.float64), kind="stable")
    kept = np.empty(len(order), np.int64)
    n_kept = _suppress(
        np.ascontiguousarray(boxes[order], dtype=np.int64), float(iou_threshold),
        np.empty((5, len(order)), np.int64), kept,
    )  # fmt: skip
    return np.sort(order[kept[:n_kept]])


def _check(boxes: np.ndarray, strengths: np.ndarray, iou_threshold: float) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or strengths.shape != boxes.shape[:1]:
        raise ValueError(
            f"boxes {boxes.shape} and strengths {strengths.shape}, expected (n, 4) and (n,)"
        )
    if (boxes[:, :2] > boxes[:, 2:]).any():
        raise ValueError("a box ends before it starts, expected x0 <= x1 and y0 <= y1")
    if np.isnan(strengths).any():
        raise ValueError("a strength is NaN, expected finite numbers")
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"the IoU threshold is {iou_threshold}, expected 0 to 1")


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _suppress(boxes, iou_threshold, found, kept):
    """Greedy pass over boxes in falling strength; returns how many are kept.

    Each box meets the kept ones only, the strongest first, and leaves at the first that suppresses
    it. The threshold is compared without a division, which is the same for positive unions.

    Args:
        found: ``(5, n)``, room for the sides and areas of the kept boxes.
        kept: ``(n,)``, filled with their positions.
    """
    n_kept = 0
    for i in range(boxes.shape[0]):
        left, top, right, bottom = boxes[i, 0], boxes[i, 1], boxes[i, 2] + 1, boxes[i, 3] + 1
        area = (right - left) * (bottom - top)
        suppressed = False
        for j in range(n_kept):
            width = min(right, found[2, j]) - max(left, found[0, j])
            height = min(bottom, found[3, j]) - max(top, found[1, j])
            if width <= 0 or height <= 0:
                continue
            shared = width * height
            if shared > iou_threshold * (area + found[4, j] - shared):
                suppressed = True
                break
        if not suppressed:
            found[0, n_kept], found[1, n_kept] = left, top
            found[2, n_kept], found[3, n_kept] = right, bottom
            found[4, n_kept], kept[n_kept] = area, i
            n_kept += 1
    return n_kept
