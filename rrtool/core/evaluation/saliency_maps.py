"""How well saliency maps agree with true boxes (§5.4.2, METHODS §13).

Boxes are ``(x0, y0, x1, y1)`` in cells, see ``localization``.
"""

from dataclasses import dataclass

import numpy as np

from rrtool.core.evaluation.localization import checked_boxes

BETA_SQUARED = 0.3
N_THRESHOLDS = 256
MAP_RULES = {
    "saliency_precision_rule": "share of a map's mass inside the true boxes, mean over scales and "
    "images",
    "maxF_rule": "maps cut at 256 thresholds of their maximum; largest F, β² = 0.3, of the mean "
    "precision and the mean recall of the chosen area, one threshold for all images",
    "maxIoU_rule": "the same maps; largest mean IoU of the chosen area with the true boxes",
}


def coverage(shape: tuple[int, int], boxes: np.ndarray) -> np.ndarray:
    """Share of each cell that boxes cover.

    Args:
        shape: ``(h, w)`` of the map.
        boxes: ``(t, 4)``; one may leave the map. What lies in two boxes counts once, up to the
            whole cell.

    Returns:
        ``(h, w)`` float64 in [0, 1].

    Raises:
        ValueError: a box is malformed.
    """
    height, width = shape
    covered = np.zeros(shape)
    for x0, y0, x1, y1 in checked_boxes(boxes).tolist():
        covered += np.outer(_covered(height, y0, y1), _covered(width, x0, x1))
    return np.minimum(covered, 1)


def saliency_precision(saliency_map: np.ndarray, boxes: np.ndarray) -> float:
    """Share of the map's mass inside true boxes (§5.4.2).

    A cell that the boxes cover partly counts by the covered share.

    Args:
        saliency_map: ``(h, w)``, non-negative.
        boxes: ``(t, 4)``, see ``coverage``.

    Returns:
        0 to 1; 0 for a map without mass, which points at nothing.

    Raises:
        ValueError: the map holds negative, NaN or infinite values, or a box is malformed.
    """
    mass = _checked_map(saliency_map)
    total = mass.sum()
    inside = (mass * coverage(mass.shape, boxes)).sum()
    return float(inside / total) if total > 0 else 0.0


@dataclass(frozen=True, eq=False)
class ThresholdCurves:
    """A map cut at the thresholds t = 0, 1/255 … 1 of its maximum: cells of t or more are chosen.

    Attributes:
        precisions: ``(256,)`` share of the chosen area that lies in the boxes.
        recalls: ``(256,)`` share of the boxes that is chosen.
        ious: ``(256,)`` area of both over that of either.
    """

    precisions: np.ndarray
    recalls: np.ndarray
    ious: np.ndarray


def threshold_curves(saliency_map: np.ndarray, boxes: np.ndarray) -> ThresholdCurves | None:
    """How well a map agrees with the boxes wherever it is cut.

    Args and errors are those of ``saliency_precision``.

    Returns:
        None for a map without mass, and for boxes that lie beside the map.
    """
    values = _checked_map(saliency_map)
    inside = coverage(values.shape, boxes)
    if not (values.max(initial=0) > 0 and inside.any()):
        return None
    levels = np.floor(values / values.max() * (N_THRESHOLDS - 1)).astype(np.int64).ravel()
    chosen, hit = (
        np.bincount(levels, weights, N_THRESHOLDS)[::-1].cumsum()[::-1]
        for weights in (np.ones(levels.size), inside.ravel())
    )
    total = inside.sum()
    return ThresholdCurves(hit / chosen, hit / total, hit / (chosen + total - hit))


def max_f(precisions: np.ndarray, recalls: np.ndarray) -> float:
    """Largest F_β over the thresholds, β² = 0.3, of the mean precision and recall (maxF).

    Args:
        precisions, recalls: ``(n, 256)`` of the images.

    Returns:
        A value in [0, 1]; NaN without an image.
    """
    if not len(precisions):
        return float("nan")
    precision, recall = np.mean(precisions, axis=0), np.mean(recalls, axis=0)
    weighted = BETA_SQUARED * precision + recall
    f = np.divide((1 + BETA_SQUARED) * precision * recall, weighted,
                  out=np.zeros_like(weighted), where=weighted > 0)  # fmt: skip
    return float(f.max())


def max_iou(ious: np.ndarray) -> float:
    """Largest mean IoU over the thresholds; ``ious`` are ``(n, 256)``. NaN without an image."""
    return float(np.mean(ious, axis=0).max()) if len(ious) else float("nan")


def _checked_map(saliency_map: np.ndarray) -> np.ndarray:
    values = np.asarray(saliency_map, np.float64)
    # NaN fails every comparison, so it fails these too.
    if not (values.min(initial=0) >= 0 and values.max(initial=0) < np.inf):
        raise ValueError("the saliency map holds negative, NaN or infinite values")
    return values


def _covered(length: int, start: float, end: float) -> np.ndarray:
    """``(length,)`` share of each cell ``[i, i + 1]`` that lies in ``[start, end]``."""
    cells = np.arange(length)
    return np.clip(np.minimum(cells + 1, end) - np.maximum(cells, start), 0, None)
