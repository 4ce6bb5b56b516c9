"""Saliency maps and regions against true boxes (thesis §5.4.2, METHODS §13)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rrtool.artifacts import Regions, Saliency, Salient, source_input
from rrtool.core.discovery.object_saliency import THETA
from rrtool.core.evaluation.localization import BOX_RULES, FoundBoxes
from rrtool.core.evaluation.saliency_maps import (
    MAP_RULES,
    ThresholdCurves,
    max_f,
    max_iou,
    saliency_precision,
    threshold_curves,
)
from rrtool.errors import UsageError
from rrtool.ground_truth.boxes import QueryBox, boxes_of_images
from rrtool.progress import Progress
from rrtool.stages.evaluation.box_scores import BoxScores
from rrtool.stages.evaluation.options import EvaluateOptions
from rrtool.stages.evaluation.scored import Scored, number

_POWERED = f"FS^{THETA:g}"


@dataclass(frozen=True)
class _MapScores:
    """How well the maps of one artifact agree with the boxes.

    Attributes:
        precisions: ``(n,)`` share of each image's saliency inside its boxes, mean over scales;
            NaN for an image without box or map.
        curves: of each image that has both, mean over scales.
    """

    precisions: np.ndarray
    curves: list[ThresholdCurves] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """JSON-compatible means."""
        counted = self.precisions[~np.isnan(self.precisions)]
        precisions, recalls, ious = (
            np.array([getattr(curve, name) for curve in self.curves])
            for name in ("precisions", "recalls", "ious")
        )
        return {
            "saliency_precision": float(counted.mean()) if len(counted) else None,
            "maxF": number(max_f(precisions, recalls)),
            "maxIoU": number(max_iou(ious)),
        }


class SaliencyScorer:
    """Scores saliency maps and their regions by true boxes, of which an image may have several."""

    kinds = Saliency, Regions
    role, counted, settings = "saliency", ("n", "images"), {"saliency": 2}

    def __init__(self, options: EvaluateOptions, progress: Progress) -> None:
        if options.ground_truth is not None:
            raise UsageError("saliency is scored by boxes alone", expected="no --ground-truth")
        self._source, self._is_dry = str(options.boxes), options.dry_run
        self._progress = progress
        self.inputs = [source_input("boxes", self._source)]

    def score(self, artifact: Salient) -> list[Scored]:
        """Of feature saliency also FS^θ, which is what object saliency builds on (fig. 5.6).

        Raises:
            RrtoolError: none of the images has a box, or the artifact is damaged.
        """
        truth = boxes_of_images(self._source, artifact.names, self._progress.message)
        if not artifact.has_maps:
            self._progress.message(
                f"{artifact.path} has no saliency maps: its regions alone are scored"
                " (--keep-maps stores them)"
            )
        if self._is_dry:
            return []
        try:
            return _score(artifact, _pixels(artifact, truth))
        except ValueError as error:
            raise artifact.damaged(error) from None


def saliency_precisions(
    artifact: Salient, truth: Sequence[Sequence[QueryBox]]
) -> dict[str, np.ndarray]:
    """How much of the saliency of each image lies in its boxes (fig. 5.6 and 5.7).

    Args:
        truth: the true boxes of each image.

    Returns:
        By method, FS and FS^θ or OS: ``(n,)`` float64, NaN for an image without box or map.
    """
    pixels = _pixels(artifact, truth)
    if not isinstance(artifact, Regions):
        return {"OS": _of_maps(artifact, pixels, 1.0).precisions}
    return {
        method: _of_maps(artifact, pixels, power).precisions
        for method, power in (("FS", 1.0), (_POWERED, THETA))
    }


def _pixels(artifact: Salient, truth: Sequence[Sequence[QueryBox]]) -> dict[int, np.ndarray]:
    """True boxes ``(t, 4)`` of the images that were read and have some, by row."""
    good = artifact.status == 0
    return {
        row: np.array([box.box for box in found])
        for row, found in enumerate(truth)
        if found and good[row]
    }


def _score(artifact: Salient, truth: dict[int, np.ndarray]) -> list[Scored]:
    is_feature_saliency = isinstance(artifact, Regions)
    method = "FS" if is_feature_saliency else "OS"
    maps, regions = _of_maps(artifact, truth, 1.0), BoxScores(_found(artifact, truth))
    counts = {"n_images": len(truth), "n_boxes": regions.n_true}
    first = {"saliency": artifact.path, "method": method, **maps.summary(), **regions.summary(),
             **counts, "rules": MAP_RULES | BOX_RULES}  # fmt: skip
    values = {"saliency_precisions": maps.precisions, **regions.values()}
    found = [Scored(first, values)]
    if is_feature_saliency and artifact.has_maps:
        powered = _of_maps(artifact, truth, THETA)
        more = {"method": _POWERED, **powered.summary(), **dict.fromkeys(regions.summary())}
        found.append(Scored(first | more, {"saliency_precisions": powered.precisions}))
    return found


def _found(artifact: Salient, truth: dict[int, np.ndarray]) -> list[FoundBoxes]:
    """The regions of each image that has true boxes."""
    boxes, scored = artifact.region_boxes, Salient.region_saliencies in artifact
    saliencies = artifact.region_saliencies if scored else None
    found = []
    for row, pixels in truth.items():
        own = artifact.of(row)
        scores = None if saliencies is None else saliencies[own]
        found.append(FoundBoxes(boxes[own], pixels, scores))
    return found


def _of_maps(artifact: Salient, truth: dict[int, np.ndarray], power: float) -> _MapScores:
    """Of the maps to a power."""
    scores = _MapScores(np.full(artifact.lengths["n"], np.nan))
    if not artifact.has_maps:
        return scores
    described = artifact.boxes
    for row, pixels in truth.items():
        precisions, curves = [], []
        for saliency_map in artifact.saliency_maps(row):
            if not saliency_map.size or not saliency_map.any():
                continue
            cells = _in_cells(pixels, described[row], saliency_map.shape)
            precisions.append(saliency_precision(saliency_map**power, cells))
            curve = threshold_curves(saliency_map**power, cells)
            curves += [] if curve is None else [curve]
        if precisions:
            scores.precisions[row] = np.mean(precisions)
        if curves:
            scores.curves.append(_mean(curves))
    return scores


def _in_cells(pixels: np.ndarray, described: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Boxes ``(t, 4)`` of an image in cells of the map of its part that was described."""
    height, width = shape
    corner, size = described[[0, 1, 0, 1]], described[2:] - described[:2]
    return (pixels - corner) / np.tile(size, 2) * [width, height, width, height]


def _mean(curves: Sequence[ThresholdCurves]) -> ThresholdCurves:
    return ThresholdCurves(
        *(np.mean([getattr(curve, name) for curve in curves], axis=0)
          for name in ("precisions", "recalls", "ious"))
    )  # fmt: skip
