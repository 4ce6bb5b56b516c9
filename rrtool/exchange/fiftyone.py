"""FiftyOne's format of image classification: ``labels.json``, by names without extension."""

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rrtool.errors import UsageError
from rrtool.exchange.labelled import LabelledImage, LabelRow


def is_fiftyone(content: object) -> bool:
    """Whether a JSON has the table ``labels`` of this format."""
    return isinstance(content, dict) and isinstance(content.get("labels"), dict)


def rows_of(content: Mapping[str, Any], path: str) -> list[LabelRow]:
    """The labels, one row each; images without (null) are left out.

    Raises:
        UsageError: the classes are no list of names, or a label is none.
    """
    classes = content.get("classes")
    is_list = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if classes is not None and not is_list:
        expected = "classes, a list of names"
        raise UsageError("no labels as FiftyOne has them", where=path, expected=expected)
    rows = []
    for name, target in content["labels"].items():
        where = f"{path}, {name}"
        found = target if isinstance(target, list) else [target]
        labels = [label for one in found if (label := _label(one, classes, where)) is not None]
        if len(labels) > 1:
            problem = f"{len(labels)} classes of one image"
            rows.append(LabelRow(where, "", (name,), "", problem))
        elif labels:
            rows.append(LabelRow(where, "", (name,), labels[0]))
    return rows


def _label(target: Any, classes: list[str] | None, where: str) -> str | None:
    if isinstance(target, dict):  # with a confidence or attributes beside it
        target = target.get("label")
    if target is None or isinstance(target, str):
        return target
    is_index = isinstance(target, int) and not isinstance(target, bool)
    if classes is not None and is_index and 0 <= target < len(classes):
        return classes[target]
    n = len(classes or ())
    expected = f"a class, or its place below {n}" if n else "the name of a class"
    raise UsageError("no label", where=where, expected=expected, found=str(target)[:60])


def labels_pieces(images: Sequence[LabelledImage], class_names: Sequence[str]) -> Iterator[str]:
    """The file, an image a line: the place of its class, or null.

    Raises:
        UsageError: two images differ in their extension alone.
    """
    yield f'{{\n"classes": {json.dumps(list(class_names))},\n"labels": {{'
    places = {name: place for place, name in enumerate(class_names)}
    seen: dict[str, str] = {}
    before = "\n"
    for image in images:
        stem = posixpath.splitext(image.name)[0]
        if stem in seen:
            raise UsageError(
                "two images differ in their extension alone, which this form leaves out",
                found=f"{seen[stem]}, {image.name}", todo="use --format label-studio or coco",
            )  # fmt: skip
        seen[stem] = image.name
        yield f"{before}{json.dumps(stem)}: {json.dumps(places.get(image.label))}"
        before = ",\n"
    yield "\n}\n}\n"
