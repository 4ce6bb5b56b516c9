"""The rows of a run: images, each perhaps with the box of a query in it."""

from dataclasses import dataclass

import numpy as np

from rrtool.artifacts.provenance import InputRecord, image_input
from rrtool.errors import UsageError
from rrtool.ground_truth.boxes import load_boxes, match_boxes
from rrtool.ground_truth.names import rows_of_entries
from rrtool.ground_truth.revisited import load_revisited
from rrtool.images.decode import Box
from rrtool.images.listing import file_signatures, list_images


@dataclass(frozen=True)
class Collection:
    """Rows in the order of the artifact.

    Attributes:
        names: image name of each row (a name recurs where an image has several boxes).
        paths: its file.
        boxes: its box, None for the whole image.
        signatures: ``(n, 2)`` int64, size in bytes and time of change in ns.
        inputs: records for the provenance.
        skipped: ``(path, reason)`` of photos that cannot be used and have no row.
        passed_over: ``(path, reason)`` of what lies beside the photos and is none.
    """

    names: list[str]
    paths: list[str]
    boxes: list[Box | None]
    signatures: np.ndarray
    inputs: list[InputRecord]
    skipped: list[tuple[str, str]]
    passed_over: list[tuple[str, str]]

    def __len__(self) -> int:
        return len(self.names)

    def share(self, rows: slice) -> "Collection":
        """Some of its rows; what has no row goes with the first."""
        nothing = list[tuple[str, str]]()
        return Collection(
            self.names[rows], self.paths[rows], self.boxes[rows], self.signatures[rows],
            self.inputs,
            self.skipped if rows.start == 0 else nothing,
            self.passed_over if rows.start == 0 else nothing,
        )  # fmt: skip


def collect(
    images: str, boxes_source: str | None = None, gallery_source: str | None = None
) -> Collection:
    """List ``images``; with boxes, one row per box, in the order of the boxes.

    Args:
        gallery_source: a revisited or INSTRE ground truth: only the images of its gallery are
            listed, for its queries are no part of the database that they are asked of.

    Raises:
        UsageError: see ``list_images``, ``load_boxes`` and ``load_revisited``; or none of the
            boxes or gallery images is listed.
    """
    listed = list_images(images)
    positions, missing = list(range(len(listed.names))), list[tuple[str, str]]()
    boxes: list[Box | None] | None = None
    if boxes_source is not None:
        if gallery_source is not None:
            raise UsageError("--boxes make queries, --gallery a database", found="both")
        positions, boxes, missing = _boxed_rows(listed.names, boxes_source)
    elif gallery_source is not None:
        positions, missing = _gallery_rows(listed.names, gallery_source)
    boxes = boxes or [None] * len(positions)
    names = [listed.names[i] for i in positions]
    paths = [listed.paths[i] for i in positions]
    signatures = file_signatures(paths)
    labels = [f"{name}\0{box}" if box else name for name, box in zip(names, boxes, strict=True)]
    inputs = [image_input(images, labels, signatures)]
    sizes_and_times = np.array(signatures, dtype=np.int64).reshape(-1, 2)
    skipped = listed.skipped + missing
    return Collection(names, paths, boxes, sizes_and_times, inputs, skipped, listed.passed_over)


def _boxed_rows(
    names: list[str], source: str
) -> tuple[list[int], list[Box | None], list[tuple[str, str]]]:
    """Image and box of each row, and the boxes whose image is not among ``names``."""
    query_boxes = load_boxes(source)
    image_of = {
        id(box): image
        for image, found in enumerate(match_boxes(query_boxes, names))
        for box in found
    }
    present = [box for box in query_boxes if id(box) in image_of]
    missing = [box.name for box in query_boxes if id(box) not in image_of]
    if not present:
        raise UsageError(
            "none of the boxes is of one of these images",
            where=source,
            expected=", ".join(missing[:3]) or "at least one box",
            found=", ".join(names[:3]),
        )
    rows = [image_of[id(box)] for box in present]
    reason = f"{source} has a box for it, but the image is not there"
    return rows, [box.box for box in present], [(name, reason) for name in missing]


def _gallery_rows(names: list[str], source: str) -> tuple[list[int], list[tuple[str, str]]]:
    """The images of a gallery, in the order of ``names``, and those that are not there."""
    gallery = load_revisited(source).gallery
    rows = rows_of_entries(gallery, names, where=source)
    reason = f"{source} has it in its gallery, but the image is not there"
    missing = [(name, reason) for name, row in zip(gallery, rows, strict=True) if row < 0]
    return sorted(rows[rows >= 0].tolist()), missing
