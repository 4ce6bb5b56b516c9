"""``rrtool report`` of saliency and of objects: what repeats in a collection (thesis fig. 5.9)."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from rrtool.artifacts import Objects, Regions, Saliency, open_artifact
from rrtool.errors import ArtifactError
from rrtool.ground_truth.boxes import QueryBox, boxes_of_images
from rrtool.images.short_names import common_folder, short_names
from rrtool.progress import Progress
from rrtool.reports.document import facts_of, warning_of
from rrtool.reports.drawing import Colour, draw_box
from rrtool.reports.overlay import combine_maps, lay_over
from rrtool.reports.pictures import Pictures, evenly_spaced, tell_missing
from rrtool.reports.saliency_page import (
    REGION_COLOUR,
    TRUTH_COLOUR,
    WEAK_COLOUR,
    ShownImage,
    ShownObject,
    render_page,
)
from rrtool.stages.reports.options import ReportOptions
from rrtool.stages.reports.text_output import write_text

# Longer sides in pixels: of a view; of an object's photo, crop, and photo that is cropped.
_VIEW, _PHOTO, _CROP, _CROPPED_FROM = 380, 240, 118, 1024
_N_OBJECTS, _N_CROPS = 60, 14
_WEAK = 0.25  # regions of less than this share of the heaviest one's weight are drawn faintly
_HOW_TO_DISCOVER = (
    "To see the objects that repeat, give --objects: rrtool discover makes them from the regions, "
    "their graph and their centrality."
)


def write(options: ReportOptions, output: Path, progress: Progress) -> None:
    """Write a page that shows the objects of a collection, and the saliency of its images.

    Raises:
        RrtoolError: the artifacts do not belong together, or the output cannot be written.
    """
    with ExitStack() as stack:
        main = cast("Saliency | Objects", open_artifact(options.artifacts[0], Saliency, Objects))
        stack.enter_context(main)
        found, features = _companions(main, options, stack)
        pictures = Pictures(options.images or "", main.names)
        collection = None if found is None else _Collection(found, pictures)
        title = f"Saliency of {len(main.names)} photos"
        if found is not None:
            title = f"What repeats in {found.extra['n_images']} photos"
        views, about_images = None, ""
        if isinstance(main, Saliency):
            views = _Views(main, features, options, collection, pictures)
            about_images = views.about()
        pieces = render_page(
            title=title,
            warning=warning_of(main.network),
            facts=_facts(main, found),
            objects=[] if collection is None else collection.shown(progress),
            about_objects=_HOW_TO_DISCOVER if collection is None else collection.about(),
            images=[] if views is None else views.shown(progress),
            about_images=about_images,
            with_truth=options.boxes is not None,
        )
        write_text(output, pieces)
    tell_missing(progress, pictures)


def _companions(
    main: Saliency | Objects, options: ReportOptions, stack: ExitStack
) -> tuple[Objects | None, Regions | None]:
    """The objects and the regions, which must be of the same regions as the saliency."""
    if isinstance(main, Objects):
        return main, None
    made_with, found, features = main.input("regions"), None, None
    if options.objects is not None:
        found = stack.enter_context(open_artifact(options.objects, Objects))
    if options.regions is not None:
        features = stack.enter_context(open_artifact(options.regions, Regions))
    for other, digest in (
        (found, found and found.input("regions").digest),
        (features, features and features.digest),
    ):
        if other is not None and digest != made_with.digest:
            raise ArtifactError(
                f"the {other.kind} are not those of this saliency",
                where=other.path,
                expected=f"made with {made_with.path}",
                todo="give the regions that saliency os was made with, or objects of them",
            )
    if features is not None and not features.has_maps:
        raise ArtifactError(
            "no saliency maps in this artifact", where=features.path, todo="use --keep-maps"
        )
    return found, features


class _Collection:
    """The objects of a collection."""

    def __init__(self, objects: Objects, pictures: Pictures) -> None:
        self._objects = objects
        self._pictures = pictures
        self._names, self._offsets = objects.names, objects.offsets
        self._shown_names = short_names(self._names)
        self._images, self._boxes = objects.images, objects.boxes
        self._rows = {name: row for row, name in enumerate(self._names)}
        self._n_shown = min(_N_OBJECTS, len(self._offsets) - 1)
        if not np.diff(self._offsets).all():
            raise ArtifactError("damaged objects: one shows nothing", where=objects.path)

    def shown(self, progress: Progress) -> Iterator[ShownObject]:
        """The largest objects with their crops."""
        with progress.task("report", self._n_shown, "objects") as advance:
            for start, stop in pairwise(self._offsets[: self._n_shown + 1].tolist()):
                yield self._shown(range(start, stop))
                advance(1)

    def _shown(self, members: range) -> ShownObject:
        rows = [self._images[member] for member in members]
        names = [self._shown_names[row] for row in rows]
        photo = self._pictures.load(self._names[rows[0]], _PHOTO)
        box = self._boxes[members[0]]
        crops = [
            (names[place], self._crop(rows[place], members[place]))
            for place in range(min(_N_CROPS, len(rows)))
        ]
        drawn = photo and draw_box(photo[0], box * photo[1], 2, REGION_COLOUR)
        return ShownObject(drawn, crops, names[_N_CROPS:])

    def _crop(self, row: int, member: int) -> Image.Image | None:
        box = self._boxes[member]
        return self._pictures.crop(self._names[row], box, _CROPPED_FROM, _CROP)

    def in_image(self, name: str) -> list[int]:
        """Numbers, from 1, of the objects on the page that the image shows."""
        places = np.flatnonzero(self._images == self._rows.get(name, -1))
        numbers = np.searchsorted(self._offsets, places, side="right")
        return [number for number in numbers.tolist() if number <= _N_OBJECTS]

    def about(self) -> str:
        """How many objects there are, and what of them the page shows."""
        facts = self._objects.extra
        if not self._n_shown:
            return "Nothing was found in several photos."
        rest = facts["n_objects"] - self._n_shown
        path = self._objects.path
        more = f" The {rest} smallest are left out here; {path} has them." if rest else ""
        return (
            f"{facts['n_objects']} objects were found, each in "
            f"{self._objects.options['min_images']} photos or more; "
            f"{facts['n_images_with_objects']} of {facts['n_images']} photos show at least one. "
            f"Biggest first; of each, the most typical sight first.{more}"
        )


class _Views:
    """Photo, feature and object saliency of evenly spaced images."""

    def __init__(
        self,
        saliency: Saliency,
        features: Regions | None,
        options: ReportOptions,
        collection: _Collection | None,
        pictures: Pictures,
    ) -> None:
        self._maps = [_Maps(saliency, "object saliency")]
        if features is not None:
            self._maps.insert(0, _Maps(features, "feature saliency"))
        self._names, self._collection, self._pictures = saliency.names, collection, pictures
        self._shown_names = short_names(self._names)
        self._truth: list[list[QueryBox]] = [[]] * len(self._names)
        if options.boxes is not None:
            self._truth = boxes_of_images(options.boxes, self._names)
        self._rows = evenly_spaced(len(self._names), options.max_queries)

    def about(self) -> str:
        """Which images they are, and what they show."""
        n, total = len(self._rows), len(self._names)
        which = f"{n} of {total} photos, evenly spaced. " if n < total else ""
        what = (
            "Feature saliency is what stands out in a photo by itself; object saliency is what of "
            "it repeats in the collection."
        )
        if len(self._maps) == 1:
            what += " For feature saliency, give --regions made with --keep-maps."
        return which + what

    def shown(self, progress: Progress) -> Iterator[ShownImage]:
        """The images, each with its views."""
        with progress.task("report", len(self._rows), "images") as advance:
            for row in self._rows:
                name = self._names[row]
                numbers = self._collection.in_image(name) if self._collection else []
                views = self._columns(name, self._truth[row])
                yield ShownImage(self._shown_names[row], views, numbers)
                advance(1)

    def _columns(self, name: str, truth: list[QueryBox]) -> list[tuple[str, Image.Image | None]]:
        loaded = self._pictures.load(name, _VIEW)
        if loaded is None:
            return [("photo", None)]
        picture, shrunk = loaded
        views: list[tuple[str, Image.Image | None]] = [("photo", picture)]
        views += [(each.caption, each.view(name, picture, shrunk)) for each in self._maps]
        true_boxes = [np.array(box.box) * shrunk for box in truth]
        return [
            (caption, view and _with_boxes(view, true_boxes, TRUTH_COLOUR, 2))
            for caption, view in views
        ]


class _Maps:
    """Saliency maps and regions of the images of an artifact, read image by image."""

    def __init__(self, artifact: Saliency | Regions, caption: str) -> None:
        self.caption = caption
        self._artifact = artifact
        self._good = artifact.status == 0
        self._rows = {name: row for row, name in enumerate(artifact.names)}

    def view(self, name: str, picture: Image.Image, shrunk: float) -> Image.Image | None:
        """The picture with its saliency and regions; None where the artifact has none."""
        row = self._rows.get(name)
        if row is None or not self._good[row]:
            return None
        maps = self._artifact.saliency_maps(row)
        view = lay_over(picture, combine_maps(maps, picture.size))
        places = self._artifact.of(row)
        boxes = self._artifact.read(Saliency.region_boxes, places) * shrunk
        weights = self._artifact.read(Saliency.region_weights, places)
        weak = weights < _WEAK * weights.max(initial=0)
        faint = _with_boxes(view, boxes[weak], WEAK_COLOUR, 1)
        return _with_boxes(faint, boxes[~weak], REGION_COLOUR, 2)


def _with_boxes(
    view: Image.Image, boxes: Iterable[np.ndarray], colour: Colour, width: int
) -> Image.Image:
    for box in boxes:
        view = draw_box(view, box, width, colour)
    return view


def _facts(main: Saliency | Objects, found: Objects | None) -> dict[str, str]:
    options = main.options if isinstance(main, Saliency) else main.extra["description"]
    described = {**options, "network": main.network}
    if found is not None:
        described["discovery"] = found.options
    folder = common_folder(main.names)
    where = {"photos": folder} if folder else {}
    return {**facts_of(described), main.kind: main.path, **where, "made": main.created}
