"""Boxes in images and what they show, as they are given out: pre-labels of a labelling team."""

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from rrtool.errors import UsageError
from rrtool.ground_truth.names import Box
from rrtool.images.short_names import short_names

# The text of a file, or its pieces, by its path in the folder that is written.
Texts = Mapping[str, str]


@dataclass(frozen=True)
class BoxedImages:
    """Images of a collection with boxes.

    Attributes:
        names: of the images.
        sizes: ``(n, 2)`` int, width and height in pixels; zero of those that were not read.
        class_names: of what boxes show.
        images: ``(m,)`` int, the image of each box.
        classes: ``(m,)`` int, places in ``class_names``.
        boxes: ``(m, 4)`` x0, y0, x1, y1 in pixels from the corner of the top left one.
        scores: ``(m,)``.
        where: the artifact, for messages.
    """

    names: Sequence[str]
    sizes: np.ndarray
    class_names: Sequence[str]
    images: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    where: str

    def of_images(self) -> Iterator[tuple[int, list[tuple[int, Box]]]]:
        """Rows of the images that were read, each with the classes and boxes that it has.

        Boxes are cut at the image's border; one that nothing is left of is left out.
        """
        order = np.argsort(self.images, kind="stable")
        bounds = np.searchsorted(self.images[order], np.arange(len(self.names) + 1))
        limits = np.tile(self.sizes, 2)[self.images]
        boxes = np.clip(self.boxes.astype(np.float64), 0, limits)
        is_left = np.all(boxes[:, :2] < boxes[:, 2:], axis=1)
        for row, (start, stop) in enumerate(pairwise(bounds.tolist())):
            if not self.sizes[row].all():
                continue
            own = [place for place in order[start:stop].tolist() if is_left[place]]
            yield row, [(int(self.classes[i]), _box(boxes[i])) for i in own]


def _box(box: np.ndarray) -> Box:
    x0, y0, x1, y1 = box.tolist()
    return x0, y0, x1, y1


def paths_of(images: BoxedImages, suffix: str) -> list[str]:
    """A file for each image: of its name, but for the suffix; of a list without common folders.

    Raises:
        UsageError: a name leads out of the folder, or two images would have one file.
    """
    names = list(images.names)
    if any(_leads_out(name) for name in names):
        names = short_names(names)
    taken: dict[str, str] = {}
    for name, original in zip(names, images.names, strict=True):
        if _leads_out(name):
            raise UsageError(
                "this name leads out of the folder of the labels", where=images.where,
                expected="names inside one folder", found=f"'{original}'",
            )  # fmt: skip
        first = taken.setdefault(posixpath.splitext(name)[0] + suffix, original)
        if first is not original:
            raise UsageError(
                f"two images would have one {suffix} file", where=images.where,
                expected="names that differ in more than their suffix",
                found=f"'{first}' and '{original}'",
            )  # fmt: skip
    folders = {folder for path in taken for folder in _folders_of(path)}
    if both := folders & taken.keys():
        raise UsageError(
            "a file of labels would be a folder, too", where=images.where,
            found=f"'{taken[min(both)]}'",
        )  # fmt: skip
    return list(taken)


def _leads_out(name: str) -> bool:
    parts = name.split("/")
    return not all(part not in ("", ".", "..") for part in parts)


def _folders_of(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
