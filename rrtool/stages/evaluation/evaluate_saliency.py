"""``rrtool evaluate --boxes``: saliency maps and regions against true boxes (thesis §5.4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, InputRecord, Provenance, create, open_artifact
from rrtool.core.discovery.object_saliency import THETA, best_iou, saliency_precision
from rrtool.errors import ArtifactError
from rrtool.ground_truth.boxes import boxes_of_images
from rrtool.networks.checkpoints import digest_of_file
from rrtool.progress import Progress

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


def run(
    saliencies: Sequence[str],
    output: str | Path | None,
    *,
    boxes: str,
    overwrite: bool = False,
    progress: Progress,
) -> list[SaliencyScores]:
    """Score saliency maps and their regions by true boxes.

    Args:
        saliencies: ``saliency`` artifacts, or ``regions`` made with ``--keep-maps``.
        output: the ``evaluation`` artifact to write; None writes none.
        boxes: see ``load_boxes``; an image may have several.

    Raises:
        RrtoolError: an artifact has no maps, or none of its images has a box.
    """
    scores, records = [], []
    for position, path in enumerate(saliencies):
        with open_artifact(path, "saliency", "regions") as artifact:
            scores += _score(artifact, boxes)
            records.append(artifact.as_input(f"saliency {position}"))
    if output is not None:
        digest = digest_of_file(boxes) if Path(boxes).is_file() else boxes
        records.append(InputRecord("boxes", boxes, "boxes", "", digest))
        _write(output, scores, records, overwrite, progress)
    return scores


def _score(artifact: Artifact, boxes: str) -> list[SaliencyScores]:
    """Of feature saliency also FS^θ, which is what object saliency builds on (fig. 5.6)."""
    if "maps/values" not in artifact:
        raise ArtifactError(
            "no saliency maps in this artifact", where=artifact.path, todo="use --keep-maps"
        )
    names = artifact.read_texts("names")
    matched = boxes_of_images(boxes, names)
    good, described = artifact.read("status") == 0, artifact.read("boxes")
    offsets, regions = artifact.read("offsets"), artifact.read("region_boxes")
    sizes, starts = artifact.read("map_sizes"), artifact.read("maps/offsets")
    values = artifact.read("maps/values")
    is_feature_saliency = artifact.kind == "regions"
    powers = [1.0, THETA] if is_feature_saliency else [1.0]
    precisions, overlaps = np.full((len(powers), len(names)), np.nan), [np.zeros(0)]
    n_scales = sizes.shape[1]
    for row in [row for row, found in enumerate(matched) if found and good[row]]:
        pixels = np.array([box.box for box in matched[row]])
        maps = [
            values[starts[row * n_scales + s] : starts[row * n_scales + s + 1]].reshape(
                sizes[row, s, ::-1]
            )
            for s in range(n_scales)
        ]
        for i, power in enumerate(powers):
            precisions[i, row] = _precision([m**power for m in maps], pixels, described[row])
        overlaps.append(best_iou(regions[offsets[row] : offsets[row + 1]], pixels))
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


def _write(
    output: str | Path,
    scores: Sequence[SaliencyScores],
    records: list[InputRecord],
    overwrite: bool,
    progress: Progress,
) -> None:
    provenance = Provenance("evaluation", {"ious": list(IOUS)}, records)
    with create(output, provenance, overwrite=overwrite) as target:
        if target.is_current:
            progress.message(f"{target.path} is up to date")
            return
        columns = {}
        for position, score in enumerate(scores):
            columns[f"{position}/saliency_precisions"] = score.precisions
            columns[f"{position}/overlaps"] = score.overlaps
        target.publish(columns, extra={"saliencies": [score.summary() for score in scores]})
