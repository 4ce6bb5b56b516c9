"""COCO's JSON out: images and their classes, or objects and their boxes."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rrtool.exchange.labelled import LabelledImage
from rrtool.ground_truth.names import Box

Table = Iterable[dict[str, Any]]


def labels_pieces(images: Sequence[LabelledImage], class_names: Sequence[str]) -> Iterator[str]:
    """Images and categories, and an annotation without a box for each label."""
    places = {name: place for place, name in enumerate(class_names, start=1)}
    labelled = [image for image in images if image.label]
    return pieces(
        ({"id": image.row, "file_name": image.name} for image in images),
        class_names,
        (
            {"id": number, "image_id": image.row, "category_id": places[image.label]}
            for number, image in enumerate(labelled, start=1)
        ),
    )


def boxed(number: int, image: int, category: int, box: Box, score: float) -> dict[str, Any]:
    """An annotation with a box ``(x0, y0, x1, y1)``."""
    x0, y0, x1, y1 = box
    width, height = x1 - x0, y1 - y0
    return {
        "id": number, "image_id": image, "category_id": category,
        "bbox": [x0, y0, width, height], "area": width * height, "iscrowd": 0, "score": score,
    }  # fmt: skip


def pieces(images: Table, categories: Sequence[str], annotations: Table) -> Iterator[str]:
    """A file, a line an entry.

    Args:
        categories: their names; they count from 1.
    """
    named = ({"id": place, "name": name} for place, name in enumerate(categories, start=1))
    tables = {"images": images, "categories": named, "annotations": annotations}
    for place, (title, table) in enumerate(tables.items()):
        yield f'{"," if place else "{"}\n"{title}": ['
        before = "\n"
        for entry in table:
            yield before + json.dumps(entry)
            before = ",\n"
        yield "\n]"
    yield "\n}\n"
