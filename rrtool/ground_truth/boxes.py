"""Query boxes: the part of each query image that shows the object, in pixels."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rrtool.errors import UsageError
from rrtool.ground_truth.coco import load_coco
from rrtool.ground_truth.matching import match_names, spelling
from rrtool.ground_truth.names import Box, first_few, require_alike
from rrtool.ground_truth.oxford import load_oxford
from rrtool.ground_truth.revisited import Revisited, load_revisited
from rrtool.tables import read_table

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
        source: a CSV/TSV file `name,x0,y0,x1,y1`, a COCO `.json` file, a revisited or INSTRE
            `.pkl` or `.mat` file, or a folder of Oxford5k text files (in the order of their
            names; an image may have several boxes).

    Raises:
        UsageError: the source is missing or malformed.
    """
    path = Path(source)
    if os.path.isdir(path):  # unlike Path's, it takes names of any length
        return [QueryBox(query.image, query.box) for query in load_oxford(source).queries]
    if path.suffix.lower() in (".pkl", ".pickle", ".mat"):
        return _boxes_of(load_revisited(source))
    if path.suffix.lower() == ".json":
        found = [(one.image, one.box) for one in load_coco(source) if one.box is not None]
        return [QueryBox(*one) for one in dict.fromkeys(found)]
    table = read_table(path, _COLUMNS)
    boxes: dict[tuple[str, Box], QueryBox] = {}  # a row that is there twice is one box
    for line, (name, *numbers) in table.rows:
        box = _parse_box(numbers, table.separator, f"{path}, line {line}")
        boxes.setdefault((spelling(name), box), QueryBox(name, box))
    return list(boxes.values())


def _boxes_of(benchmark: Revisited) -> list[QueryBox]:
    queries = benchmark.queries
    boxes = [QueryBox(query.name, query.box) for query in queries if query.box is not None]
    if len(boxes) < len(queries):
        raise UsageError(
            "this ground truth has no boxes: its queries are whole images", where=benchmark.source,
            todo="give a folder or a list of the query images instead",
        )  # fmt: skip
    return boxes


def match_boxes(boxes: Sequence[QueryBox], names: Sequence[str]) -> list[list[QueryBox]]:
    """The boxes of each image (`match_names`), in the order of `boxes`; none for one without.

    Boxes of images that are not there are left out.

    Raises:
        UsageError: boxes of one name match two images, or two names one image.
    """
    by_name: dict[str, list[int]] = {}
    for position, box in enumerate(boxes):
        by_name.setdefault(box.name, []).append(position)
    entries = list(by_name)
    taken: dict[int, str] = {}
    matched = []
    for name, own in zip(names, match_names(entries, names), strict=True):
        require_alike([entries[entry] for entry in own], name, "the boxes")
        for entry in own:
            if taken.setdefault(entry, name) != name:
                what = f"two images match the box of '{entries[entry]}'"
                todo = "write the boxes with full relative paths"
                raise UsageError(what, found=first_few([taken[entry], name]), todo=todo)
        positions = sorted(position for entry in own for position in by_name[entries[entry]])
        matched.append([boxes[position] for position in positions])
    return matched


def boxes_of_images(
    source: str, names: Sequence[str], tell: Callable[[str], None] | None = None
) -> list[list[QueryBox]]:
    """The boxes of each image (``load_boxes``, ``match_boxes``).

    Args:
        tell: gets a line if some of the boxes are of no image.

    Raises:
        UsageError: none of the boxes is of one of the images, too.
    """
    boxes = load_boxes(source)
    matched = match_boxes(boxes, names)
    used = {id(box) for found in matched for box in found}
    left = [box.name for box in boxes if id(box) not in used]
    if not used:
        raise UsageError(
            "none of the boxes is of one of these images",
            where=source,
            expected=first_few(list(names)),
            found=first_few(left),
        )
    if left and tell is not None:
        few = f"{first_few(left)}; images are {first_few(list(names))}"
        tell(f"{source}: {len(left)} of {len(boxes)} boxes are of no image here: {few}")
    return matched


def _parse_box(cells: Sequence[str], separator: str, where: str) -> Box:
    # Where cells are separated by semicolons, decimals may be written with a comma.
    numbers = [cell.replace(",", ".") if separator == ";" else cell for cell in cells]
    try:
        x0, y0, x1, y1 = map(float, numbers)
    except ValueError as error:
        raise _malformed(where, "four numbers x0,y0,x1,y1 in pixels", cells) from error
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise _malformed(where, "finite numbers", cells)
    if x1 <= x0 or y1 <= y0:
        raise _malformed(where, "x1 > x0 and y1 > y0", cells)
    return x0, y0, x1, y1


def _malformed(where: str, expected: str, cells: Sequence[str]) -> UsageError:
    return UsageError("malformed box", where=where, expected=expected, found=f"'{','.join(cells)}'")
