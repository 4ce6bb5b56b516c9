"""Objects and salient regions as boxes in the forms of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rrtool.artifacts import Objects, Regions, Saliency
from rrtool.core.matching.nms import suppress_non_maxima
from rrtool.errors import UsageError
from rrtool.exchange import coco
from rrtool.exchange.boxes import voc, yolo
from rrtool.exchange.boxes.images import BoxedImages
from rrtool.stages.exchange.rankings import Files

# Of a photo's heaviest region: those that the page of saliency frames strongly.
_LEAST_WEIGHT = 0.25
# Regions of several scales that share more are the same thing.
_MOST_IOU = 0.5


def files_of_boxes(artifact: Objects | Regions | Saliency, form: str, output: Path) -> Files:
    """The files of boxes, each made when it is asked for.

    Args:
        output: the file of ``coco``, else the folder.

    Raises:
        UsageError: the format has no place for a name, or the regions are of no saliency.
    """
    images = _of_objects(artifact) if isinstance(artifact, Objects) else _of_saliency(artifact)
    if form == "coco":
        return {output: lambda: _coco_pieces(images)}
    texts = (yolo if form == "yolo" else voc).texts(images)
    return {output / path: lambda text=text: [text] for path, text in texts.items()}  # type: ignore[misc]


def _of_objects(objects: Objects) -> BoxedImages:
    """Each object is a class, but for those that ``--labels`` has given one."""
    sizes = np.diff(objects.offsets)
    labels = objects.labels() or [""] * len(sizes)
    names = [label or f"object {number}" for number, label in enumerate(labels, start=1)]
    class_names = list(dict.fromkeys(names))
    known = {name: place for place, name in enumerate(class_names)}
    places = np.array([known[name] for name in names], dtype=np.int64)
    return BoxedImages(
        objects.names,
        objects.image_sizes,
        class_names,
        objects.images,
        np.repeat(places, sizes),
        objects.boxes,
        objects.weights,
        objects.path,
    )


def _of_saliency(artifact: Regions | Saliency) -> BoxedImages:
    """Of each photo the regions that count, one of each place."""
    if type(artifact).region_weights not in artifact:
        raise UsageError(
            "these regions were not found by saliency", where=artifact.path,
            expected="regions of saliency fs or saliency os",
        )  # fmt: skip
    boxes, weights, offsets = artifact.region_boxes, artifact.region_weights, artifact.offsets
    kept = [np.zeros(0, dtype=np.int64)]
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        own = start + np.flatnonzero(
            weights[start:stop] >= _LEAST_WEIGHT * weights[start:stop].max(initial=0)
        )
        edges = boxes[own].round().astype(np.int64) - np.array([0, 0, 1, 1])
        edges[:, 2:] = np.maximum(edges[:, 2:], edges[:, :2])
        kept.append(own[suppress_non_maxima(edges, weights[own], _MOST_IOU)])
    rows = np.concatenate(kept)
    images = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    return BoxedImages(
        artifact.names, artifact.image_sizes, ["salient"], images[rows],
        np.zeros(len(rows), dtype=np.int64), boxes[rows], weights[rows], artifact.path,
    )  # fmt: skip


def _coco_pieces(images: BoxedImages) -> Iterator[str]:
    """A category for each class, and an annotation for each box, as they are."""
    sizes = images.sizes.tolist()
    columns = (images.images, images.classes, images.boxes, images.scores)
    return coco.pieces(
        (
            {"id": row, "file_name": name, "width": width, "height": height}
            for row, (name, (width, height)) in enumerate(zip(images.names, sizes, strict=True))
        ),
        images.class_names,
        (
            coco.boxed(number, image, one + 1, tuple(box), score)
            for number, (image, one, box, score) in enumerate(
                zip(*(column.tolist() for column in columns), strict=True), start=1
            )
        ),
    )
