"""Query boxes: the part of each query image that shows the object, in pixels."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rrtool.errors import UsageError
from rrtool.ground_truth.names import Box, find_entry, first_few
from rrtool.ground_truth.oxford import load_oxford
from rrtool.ground_truth.revisited import load_revisited
from rrtool.ground_truth.tables import read_table

_COLUMNS = ("name", "x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class QueryBox:
    """A box of one image.

    Attributes:
        name: relative path of the image; without an extension it stands for any image with that
            path or stem.
        box: `(x0, y0, x1, y1)` in pixels of the image as stored, from the corner of its top-left
            pixel; x1 > x0 and y1 > y0. It may reach beyond the image.
    """

    name: str
    box: Box


def load_boxes(source: str) -> list[QueryBox]:
    """Reads query boxes in the order of the source.

    Args:
        source: a CSV/TSV file `name,x0,y0,x1,y1`, a revisited or INSTRE `.pkl` or `.mat` file,
            or a folder of Oxford5k text files (in the order of their names; an image may have
            several boxes).

    Raises:
        UsageError: the source is missing or malformed.
    """
    path = Path(source)
    if os.path.isdir(path):  # unlike Path's, it takes names of any length
        return [QueryBox(query.image, query.box) for query in load_oxford(source).queries]
    if path.suffix.lower() in (".pkl", ".pickle", ".mat"):
        return [QueryBox(query.name, query.box) for query in load_revisited(source).queries]
    return [
        QueryBox(name, _parse_box(numbers, f"{path}, line {line}"))
        for line, (name, *numbers) in read_table(path, _COLUMNS)
    ]


def match_boxes(boxes: Sequence[QueryBox], names: Sequence[str]) -> list[list[QueryBox]]:
    """The boxes of each image, in the order of `boxes`; none for an image without.

    An image is matched by its exact relative path, or by its stem to a box whose name has no
    extension. Boxes of images that are not there are left out.

    Raises:
        UsageError: boxes of one name match two images.
    """
    by_name: dict[str, list[QueryBox]] = {}
    for box in boxes:
        by_name.setdefault(box.name, []).append(box)
    taken: dict[str, str] = {}
    matched = []
    for name in names:
        found = find_entry(by_name, name) or []
        if found and taken.setdefault(found[0].name, name) != name:
            what = f"two images match the box of '{found[0].name}'"
            twins = [taken[found[0].name], name]
            todo = "write the boxes with full relative paths"
            raise UsageError(what, found=first_few(twins), todo=todo)
        matched.append(found)
    return matched


def boxes_of_images(source: str, names: Sequence[str]) -> list[list[QueryBox]]:
    """The boxes of each image (``load_boxes``, ``match_boxes``).

    Raises:
        UsageError: none of the boxes is of one of the images, too.
    """
    boxes = load_boxes(source)
    matched = match_boxes(boxes, names)
    if not any(matched):
        raise UsageError(
            "none of the boxes is of one of these images",
            where=source,
            expected=first_few(list(names)),
            found=first_few([box.name for box in boxes]),
        )
    return matched


def _parse_box(cells: Sequence[str], where: str) -> Box:
    try:
        x0, y0, x1, y1 = map(float, cells)
    except ValueError as error:
        raise _malformed(where, "four numbers x0,y0,x1,y1 in pixels", cells) from error
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise _malformed(where, "finite numbers", cells)
    if x1 <= x0 or y1 <= y0:
        raise _malformed(where, "x1 > x0 and y1 > y0", cells)
    return x0, y0, x1, y1


def _malformed(where: str, expected: str, cells: Sequence[str]) -> UsageError:
    return UsageError("malformed box", where=where, expected=expected, found=f"'{','.join(cells)}'")
