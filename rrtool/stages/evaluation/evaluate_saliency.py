"""``rrtool evaluate --boxes``: saliency maps and regions against true boxes (thesis §5.4.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import Evaluation, Regions, Saliency, Salient, open_artifact, source_input
from rrtool.core.discovery.object_saliency import THETA, best_iou, saliency_precision
from rrtool.errors import ArtifactError
from rrtool.ground_truth.boxes import QueryBox, boxes_of_images
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import Datasets, Wanted, make
from rrtool.stages.evaluation.options import EvaluateOptions

IOUS = (0.3, 0.5)


@dataclass(frozen=True)
class SaliencyScores:
    """How well one artifact agrees with the boxes.

    Attributes:
        path: of the artifact.
        method: what the maps are.
        precisions: ``(n,)`` share of each image's saliency inside its boxes, mean over scales;
            NaN for an image without box or map.
        overlaps: ``(m,)`` largest IoU of any region with each box of an image that is there.
    """

    path: str
    method: str
    precisions: np.ndarray
    overlaps: np.ndarray

    def summary(self) -> dict[str, Any]:
        """JSON-compatible means."""
        counted = self.precisions[~np.isnan(self.precisions)]
        return {
            "saliency": self.path,
            "method": self.method,
            "saliency_precision": float(counted.mean()) if len(counted) else None,
            **{
                f"region_recall@{iou:g}": float((self.overlaps >= iou).mean())
                if len(self.overlaps)
                else None
                for iou in IOUS
            },
            "n_images": len(counted),
            "n_boxes": len(self.overlaps),
        }


def run(options: EvaluateOptions, progress: Progress) -> list[dict[str, Any]]:
    """Score saliency maps and their regions by true boxes, of which an image may have several.

    Returns:
        JSON-compatible means of each artifact.

    Raises:
        RrtoolError: an artifact has no maps, or none of its images has a box.
    """
    boxes = str(options.boxes)
    scores, inputs, n_images = [], [], 0
    for position, path in enumerate(options.rankings):
        with open_artifact(path, Saliency, Regions) as artifact:
            n_images += artifact.lengths["n"]
            inputs.append(artifact.as_input(f"saliency {position}"))
            matched = _matched(artifact, boxes, progress)
            if options.dry_run:
                continue
            try:
                scores += _score(artifact, matched)
            except ValueError as error:
                raise artifact.damaged(error) from None
    summary = [score.summary() for score in scores]
    if options.output is not None:
        make(
            options, Wanted(options.output, Evaluation, {"ious": list(IOUS)}),
            lambda outputs: outputs[0].publish(_columns(scores), extra={"saliencies": summary}),
            progress, amount=lambda outputs: Amount(n_images, "images"),
            inputs=[*inputs, source_input("boxes", boxes)],
        )  # fmt: skip
    elif options.dry_run:
        progress.message("without -o nothing is written")
    return summary


def _matched(artifact: Salient, boxes: str, progress: Progress) -> list[list[QueryBox]]:
    """The boxes of each image."""
    if not artifact.has_maps:
        raise ArtifactError(
            "no saliency maps in this artifact", where=artifact.path, todo="use --keep-maps"
        )
    return boxes_of_images(boxes, artifact.names, progress.message)


def _score(artifact: Salient, matched: Sequence[Sequence[QueryBox]]) -> list[SaliencyScores]:
    """Of feature saliency also FS^θ, which is what object saliency builds on (fig. 5.6)."""
    good, described, regions = artifact.status == 0, artifact.boxes, artifact.region_boxes
    is_feature_saliency = isinstance(artifact, Regions)
    powers = [1.0, THETA] if is_feature_saliency else [1.0]
    precisions, overlaps = np.full((len(powers), len(matched)), np.nan), [np.zeros(0)]
    for row in [row for row, found in enumerate(matched) if found and good[row]]:
        pixels = np.array([box.box for box in matched[row]])
        maps = artifact.saliency_maps(row)
        for i, power in enumerate(powers):
            precisions[i, row] = _precision([m**power for m in maps], pixels, described[row])
        overlaps.append(best_iou(regions[artifact.of(row)], pixels))
    method = "FS" if is_feature_saliency else "OS"
    found = [SaliencyScores(artifact.path, method, precisions[0], np.concatenate(overlaps))]
    if is_feature_saliency:
        found.append(SaliencyScores(artifact.path, f"FS^{THETA:g}", precisions[1], np.zeros(0)))
    return found


def _precision(maps: Sequence[np.ndarray], pixels: np.ndarray, described: np.ndarray) -> float:
    """Mean over scales of the share of the map inside the boxes; NaN without any saliency."""
    found = []
    for saliency_map in maps:
        if not saliency_map.size or not saliency_map.any():
            continue
        height, width = saliency_map.shape
        corner, size = described[[0, 1, 0, 1]], described[2:] - described[:2]
        cells = (pixels - corner) / np.tile(size, 2) * [width, height, width, height]
        # Boxes of one image may overlap; what lies in two counts once, up to the whole.
        found.append(min(1.0, sum(saliency_precision(saliency_map, box) for box in cells)))
    return float(np.mean(found)) if found else float("nan")


def _columns(scores: Sequence[SaliencyScores]) -> Datasets:
    values = {}
    for position, score in enumerate(scores):
        values[f"{position}/saliency_precisions"] = score.precisions
        values[f"{position}/overlaps"] = score.overlaps
    return Evaluation.columns(scores=values)
