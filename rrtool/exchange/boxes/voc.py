"""Pascal VOC's annotations: an XML for each image."""

import math
import posixpath
import re
from collections.abc import Iterator
from xml.sax.saxutils import escape

from rrtool.errors import UsageError
from rrtool.exchange.boxes.images import BoxedImages, Texts, paths_of
from rrtool.ground_truth.names import Box

# What XML 1.0 has no way to write.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def texts(images: BoxedImages) -> Texts:
    """For each image ``Annotations/<its name>.xml``.

    Pixels count from 1 and both ends belong to a box, as in VOC's own files.

    Raises:
        UsageError: a name has what XML cannot write, or see ``paths_of``.
    """
    for name in (*images.class_names, *images.names):
        if found := _FORBIDDEN.search(name):
            raise UsageError(
                "XML cannot write this name", where=images.where,
                found=f"{found[0]!a} in {name!a}",
                todo="give it another one, or use --format coco",
            )  # fmt: skip
    paths = paths_of(images, ".xml")
    return {
        f"Annotations/{paths[row]}": "".join(_pieces(images, row, boxes))
        for row, boxes in images.of_images()
    }


def _pieces(images: BoxedImages, row: int, boxes: list[tuple[int, Box]]) -> Iterator[str]:
    folder, name = posixpath.split(images.names[row])
    width, height = images.sizes[row].tolist()
    yield f"<annotation>\n  <folder>{_text(folder)}</folder>\n"
    yield f"  <filename>{_text(name)}</filename>\n  <size><width>{width}</width>"
    yield f"<height>{height}</height><depth>3</depth></size>\n  <segmented>0</segmented>\n"
    for one, box in boxes:
        yield f"  <object>\n    <name>{_text(images.class_names[one])}</name>\n"
        yield "    <pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>\n"
        x0, y0, x1, y1 = _pixels(box)
        yield f"    <bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        yield f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox>\n  </object>\n"
    yield "</annotation>\n"


def _text(text: str) -> str:
    return escape(text, {"\r": "&#13;"})


def _pixels(box: Box) -> tuple[int, int, int, int]:
    """The pixels that a box touches, from 1."""
    x0, y0, x1, y1 = box
    return math.floor(x0) + 1, math.floor(y0) + 1, math.ceil(x1), math.ceil(y1)
