"""``rrtool report`` of saliency and of objects: what repeats in a collection (thesis fig. 5.9)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from rrtool.artifacts import Artifact, open_artifact
from rrtool.errors import ArtifactError, UsageError
from rrtool.ground_truth.boxes import QueryBox, boxes_of_images
from rrtool.progress import Progress
from rrtool.reports.drawing import Colour, draw_box
from rrtool.reports.overlay import combine_maps, lay_over
from rrtool.reports.pictures import Pictures
from rrtool.reports.saliency_page import (
    REGION_COLOUR,
    TRUTH_COLOUR,
    WEAK_COLOUR,
    SaliencyPage,
    ShownImage,
    render_page,
)
from rrtool.stages.reports.report_objects import Objects, about_objects
from rrtool.stages.reports.report_output import UNTRAINED, evenly_spaced, facts_of
from rrtool.stages.reports.text_output import checked_page, write_text

KINDS = ("saliency", "objects")
_VIEW = 380  # longer side in pixels
_WEAK = 0.25  # regions of less than this share of the heaviest one's weight are drawn faintly
_HOW_TO_DISCOVER = (
    "To see the objects that repeat, give --objects: rrtool discover makes them from the regions, "
    "their graph and their centrality."
)


def run(
    artifact: str,
    output: str | Path,
    *,
    images: str | None,
    objects: str | None = None,
    regions: str | None = None,
    boxes: str | None = None,
    max_images: int = 50,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Write a page that shows the objects of a collection, and the saliency of its images.

    Args:
        artifact: a ``saliency`` artifact; or ``objects``, then the page shows these alone.
        output: the page; a page of an earlier run is replaced.
        images: where the images are, as for ``extract``.
        objects: ``objects`` of the regions that the saliency was made with.
        regions: these regions with their maps, to show feature saliency beside object saliency.
        boxes: true boxes to draw; see ``load_boxes``.
        max_images: of a larger collection, this many evenly spaced images are shown.
        overwrite: replace even a file that is no report.

    Raises:
        RrtoolError: the artifacts do not belong together, or the output cannot be written.
    """
    output = checked_page(output, overwrite)
    if images is None:
        raise UsageError("saliency is shown with its images", expected="--images")
    if max_images < 1:
        raise UsageError("bad --max-images", expected="at least 1", found=max_images)
    with ExitStack() as stack:
        main = stack.enter_context(open_artifact(artifact, *KINDS))
        found, features = _companions(main, objects, regions, boxes, stack)
        pictures = Pictures(images, main.read_texts("names"))
        collection = Objects.of(found) if found else None
        shown = collection.shown(pictures, progress) if collection else None
        views: list[ShownImage] = []
        if main.kind == "saliency":
            maps = [_Maps.of(each) for each in (features, main) if each is not None]
            views = _views(maps, boxes, collection, pictures, max_images, progress)
        page = SaliencyPage(
            _title(main, found),
            shown,
            about_objects(found, shown) if found and shown is not None else _HOW_TO_DISCOVER,
            views,
            _about_images(views, main, features),
            _facts(main, found),
            "" if main.network.get("trained", True) else UNTRAINED,
            boxes is not None,
        )
    if pictures.missing:
        missing = pictures.missing
        progress.message(f"{len(missing)} images cannot be shown, e.g. {min(missing)}")
    return write_text(output, render_page(page))


def _companions(
    main: Artifact,
    objects: str | None,
    regions: str | None,
    boxes: str | None,
    stack: ExitStack,
) -> tuple[Artifact | None, Artifact | None]:
    """The objects and the regions, which must be of the same regions as the saliency."""
    if main.kind == "objects":
        if objects or regions or boxes:
            raise UsageError(
                "--objects, --regions and --boxes go with saliency",
                where=main.path,
                found="objects",
            )
        return main, None
    made_with = {record.role: record for record in main.inputs}["regions"]
    found = stack.enter_context(open_artifact(objects, "objects")) if objects else None
    features = stack.enter_context(open_artifact(regions, "regions")) if regions else None
    for other, digest in (
        (found, found and found.inputs[0].digest),
        (features, features and features.digest),
    ):
        if other is not None and digest != made_with.digest:
            raise ArtifactError(
                f"the {other.kind} are not those of this saliency",
                where=other.path,
                expected=f"made with {made_with.path}",
                todo="give the regions that saliency os was made with, or objects of them",
            )
    if features is not None and "maps/values" not in features:
        raise ArtifactError(
            "no saliency maps in this artifact", where=features.path, todo="use --keep-maps"
        )
    return found, features


@dataclass(frozen=True)
class _Maps:
    """Saliency maps and regions of the images of an artifact, read image by image."""

    artifact: Artifact
    caption: str
    names: list[str]
    good: np.ndarray
    sizes: np.ndarray
    rows: dict[str, int]

    @staticmethod
    def of(artifact: Artifact) -> _Maps:
        names = artifact.read_texts("names")
        caption = "object saliency" if artifact.kind == "saliency" else "feature saliency"
        good, sizes = artifact.read("status") == 0, artifact.read("map_sizes")
        rows = {name: row for row, name in enumerate(names)}
        return _Maps(artifact, caption, names, good, sizes, rows)

    def view(self, name: str, picture: Image.Image, shrunk: float) -> Image.Image | None:
        """The picture with its saliency and regions; None where the artifact has none."""
        row = self.rows.get(name)
        if row is None or not self.good[row]:
            return None
        view = lay_over(picture, combine_maps(self._maps(row), picture.size))
        start, stop = self.artifact.read("offsets", slice(row, row + 2)).tolist()
        boxes = self.artifact.read("region_boxes", slice(start, stop)) * shrunk
        weights = self.artifact.read("region_weights", slice(start, stop))
        weak = weights < _WEAK * weights.max(initial=0)
        faint = _with_boxes(view, boxes[weak], WEAK_COLOUR, 1)
        return _with_boxes(faint, boxes[~weak], REGION_COLOUR, 2)

    def _maps(self, row: int) -> list[np.ndarray]:
        n_scales = self.sizes.shape[1]
        bounds = slice(row * n_scales, (row + 1) * n_scales + 1)
        starts = self.artifact.read("maps/offsets", bounds).tolist()
        return [
            self.artifact.read("maps/values", slice(start, stop)).reshape(size[::-1])
            for (start, stop), size in zip(pairwise(starts), self.sizes[row], strict=True)
        ]


def _views(
    maps: list[_Maps],
    boxes: str | None,
    collection: Objects | None,
    pictures: Pictures,
    max_images: int,
    progress: Progress,
) -> list[ShownImage]:
    """Photo, feature and object saliency of evenly spaced images."""
    names = maps[-1].names
    truth = boxes_of_images(boxes, names) if boxes else [[]] * len(names)
    shown = evenly_spaced(len(names), max_images)
    views = []
    with progress.task("report", len(shown), "images") as advance:
        for row in shown:
            name = names[row]
            numbers = collection.in_image(name) if collection else []
            columns = _columns(maps, name, truth[row], pictures)
            views.append(ShownImage(name, columns, numbers))
            advance(1)
    return views


def _columns(
    maps: list[_Maps], name: str, truth: list[QueryBox], pictures: Pictures
) -> list[tuple[str, Image.Image | None]]:
    loaded = pictures.load(name, _VIEW)
    if loaded is None:
        return [("photo", None)]
    picture, shrunk = loaded
    views: list[tuple[str, Image.Image | None]] = [("photo", picture)]
    views += [(each.caption, each.view(name, picture, shrunk)) for each in maps]
    true_boxes = [np.array(box.box) * shrunk for box in truth]
    return [
        (caption, view and _with_boxes(view, true_boxes, TRUTH_COLOUR, 2))
        for caption, view in views
    ]


def _with_boxes(
    view: Image.Image, boxes: Iterable[np.ndarray], colour: Colour, width: int
) -> Image.Image:
    for box in boxes:
        view = draw_box(view, box, width, colour)
    return view


def _title(main: Artifact, found: Artifact | None) -> str:
    if found is not None:
        return f"What repeats in {found.extra['n_images']} photos"
    return f"Saliency of {len(main.read('status'))} photos"


def _about_images(views: list[ShownImage], main: Artifact, features: Artifact | None) -> str:
    if not views:
        return ""
    total = len(main.read("status"))
    which = f"{len(views)} of {total} photos, evenly spaced. " if len(views) < total else ""
    what = (
        "Feature saliency is what stands out in a photo by itself; object saliency is what of it "
        "repeats in the collection."
    )
    if features is None:
        what += " For feature saliency, give --regions made with --keep-maps."
    return which + what


def _facts(main: Artifact, found: Artifact | None) -> dict[str, str]:
    options = main.options if main.kind == "saliency" else main.extra["description"]
    described = {**options, "network": main.network}
    if found is not None:
        described["discovery"] = found.options
    return {**facts_of(described), main.kind: main.path, "made": main.created}
