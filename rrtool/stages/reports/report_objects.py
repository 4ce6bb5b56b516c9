"""Discovered objects for the page of ``rrtool report``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rrtool.artifacts import Artifact
from rrtool.progress import Progress
from rrtool.reports.drawing import draw_box
from rrtool.reports.pictures import Pictures
from rrtool.reports.saliency_page import REGION_COLOUR, Crop, ShownObject

_PHOTO, _CROP, _CROPPED_FROM = 240, 118, 1024  # longer sides in pixels
_N_OBJECTS, _N_CROPS = 60, 14


@dataclass(frozen=True)
class Objects:
    """The columns of an ``objects`` artifact."""

    names: list[str]
    offsets: np.ndarray
    images: np.ndarray
    boxes: np.ndarray

    @staticmethod
    def of(artifact: Artifact) -> Objects:
        columns = [artifact.read(name) for name in ("offsets", "images", "boxes")]
        return Objects(artifact.read_texts("names"), *columns)

    def shown(self, pictures: Pictures, progress: Progress) -> list[ShownObject]:
        """The largest objects with their crops."""
        n = min(_N_OBJECTS, len(self.offsets) - 1)
        shown = []
        with progress.task("report", n, "objects") as advance:
            for start, stop in list(pairwise(self.offsets.tolist()))[:n]:
                shown.append(self._shown(range(start, stop), pictures))
                advance(1)
        return shown

    def _shown(self, members: range, pictures: Pictures) -> ShownObject:
        names = [self.names[self.images[member]] for member in members]
        photo = pictures.load(names[0], _PHOTO)
        box = self.boxes[members[0]]
        crops = [
            Crop(name, pictures.crop(name, self.boxes[member], _CROPPED_FROM, _CROP))
            for name, member in zip(names[:_N_CROPS], members, strict=False)
        ]
        drawn = photo and draw_box(photo[0], box * photo[1], 2, REGION_COLOUR)
        return ShownObject(drawn, crops, names[_N_CROPS:])

    def in_image(self, name: str) -> list[int]:
        """Numbers, from 1, of the objects on the page that the image shows."""
        row = self.names.index(name) if name in self.names else -1
        places = np.flatnonzero(self.images == row)
        numbers = np.searchsorted(self.offsets, places, side="right")
        return [number for number in numbers.tolist() if number <= _N_OBJECTS]


def about_objects(found: Artifact, shown: Sequence[ShownObject]) -> str:
    """How many objects there are, and what of them the page shows."""
    facts = found.extra
    if not shown:
        return "Nothing was found in several photos."
    rest = facts["n_objects"] - len(shown)
    more = f" The {rest} smallest are left out here; {found.path} has them." if rest else ""
    return (
        f"{facts['n_objects']} objects were found, each in {found.options['min_images']} photos or "
        f"more; {facts['n_images_with_objects']} of {facts['n_images']} photos show at least one. "
        f"Biggest first; of each, the most typical sight first.{more}"
    )
