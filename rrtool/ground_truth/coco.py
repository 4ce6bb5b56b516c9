"""COCO's JSON: images, categories, and annotations of one category each, mostly with a box."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rrtool.errors import UsageError
from rrtool.ground_truth.json_files import read_json
from rrtool.ground_truth.names import Box

TABLES = ("images", "categories", "annotations")


@dataclass(frozen=True)
class Annotation:
    """One annotation.

    Attributes:
        where: its place, for messages.
        image: name of the image.
        category: its name.
        box: ``(x0, y0, x1, y1)`` in pixels; None where it has none.
    """

    where: str
    image: str
    category: str
    box: Box | None


def is_coco(content: object) -> bool:
    """Whether a JSON has COCO's three tables."""
    return isinstance(content, dict) and all(isinstance(content.get(t), list) for t in TABLES)


def load_coco(path: str) -> list[Annotation]:
    """The annotations of a file, in its order.

    Raises:
        UsageError: it cannot be read, or is no such file.
    """
    return annotations_of(read_json(path), path)


def annotations_of(content: Any, path: str) -> list[Annotation]:
    """The same of what was read from a file.

    Raises:
        UsageError: it is no such file, or an annotation is of an image or a category that is not
            there, or has a box of no size.
    """
    if not is_coco(content):
        expected = f"a table with the lists {', '.join(TABLES)}"
        raise UsageError("no annotations as COCO has them", where=path, expected=expected)
    images = _named(content["images"], "file_name", f"{path}, images")
    categories = _named(content["categories"], "name", f"{path}, categories")
    found = []
    for position, one in enumerate(content["annotations"]):
        where = f"{path}, annotation {_id_or(one, position)}"
        if not isinstance(one, dict):
            raise UsageError("no annotation", where=where, expected="a table", found=str(one)[:40])
        image = _of(images, one, "image_id", where)
        category = _of(categories, one, "category_id", where)
        found.append(Annotation(where, image, category, _box(one.get("bbox"), where)))
    return found


def _id_or(one: object, position: int) -> object:
    return one.get("id", position) if isinstance(one, dict) else position


def _named(table: list[Any], key: str, where: str) -> dict[object, str]:
    """The names of a table by id."""
    found: dict[object, str] = {}
    for one in table:
        number = one.get("id") if isinstance(one, dict) else None
        name = one.get(key) if isinstance(one, dict) else None
        if not isinstance(number, (int, str)) or not isinstance(name, str) or not name:
            expected = f"id and {key} of each"
            raise UsageError("malformed table", where=where, expected=expected, found=str(one)[:60])
        if found.setdefault(number, name) != name:
            raise UsageError("an id occurs twice", where=where, found=number)
    return found


def _of(names: Mapping[object, str], one: Mapping[str, Any], key: str, where: str) -> str:
    number = one.get(key)
    if not isinstance(number, (int, str)) or number not in names:
        raise UsageError(f"{key} of nothing in this file", where=where, found=str(number)[:40])
    return names[number]


def _box(value: object, where: str) -> Box | None:
    if value is None or value == []:
        return None
    if isinstance(value, list) and len(value) == 4 and all(map(_is_number, value)):
        x, y, width, height = map(float, value)
        if width > 0 and height > 0:
            return x, y, x + width, y + height
    expected = "bbox with x, y, width and height in pixels"
    raise UsageError("malformed box", where=where, expected=expected, found=str(value)[:60])


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e18 and math.isfinite(value)
