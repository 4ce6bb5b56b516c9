"""Labels in a file of any form that is known; its content says which it is."""

import os
from pathlib import Path

from rrtool.errors import UsageError
from rrtool.exchange import fiftyone, label_studio
from rrtool.exchange.labelled import LabelRow
from rrtool.files import open_regular
from rrtool.ground_truth.coco import annotations_of, is_coco
from rrtool.ground_truth.json_files import read_json
from rrtool.images.listing import list_images
from rrtool.tables import read_table, unreadable

_FORMS = "an export of Label Studio, COCO, or labels.json of FiftyOne"
_LAYOUTS = ("id", "name", "label"), ("id", "label"), ("name", "label")
# Label Studio's CSV counts its own tasks in ``id``; ``row`` is ours, where the tasks were. Titles
# are compared without their underscores.
_OF_LABEL_STUDIO = ("annotationid", "row", "name", "label"), ("annotationid", "name", "label")
_BLANKS = b" \t\r\n"


def read_labels(path: str) -> list[LabelRow]:
    """The labels of a table, an export of Label Studio, COCO, FiftyOne, or of class folders.

    Raises:
        UsageError: it cannot be read, or is none of these.
    """
    path = labels_path(path)
    if os.path.isdir(path):
        return _of_folders(path)
    return _of_json(path) if _is_json(path) else _of_table(path)


def labels_path(path: str) -> str:
    """The file or folder that labels are read of: FiftyOne's file of its folder, else as it is."""
    inside = os.path.join(path, "labels.json")
    return inside if os.path.isfile(inside) else path


def _is_json(path: str) -> bool:
    """By its suffix, or by how it begins: no name of an image does so with a quote behind."""
    if path.lower().endswith(".json"):
        return True
    try:
        with open_regular(path) as file:
            start = file.read(1 << 12).removeprefix(b"\xef\xbb\xbf").lstrip(_BLANKS)
    except OSError as error:
        raise unreadable(Path(path), error) from None
    return start[:1] in (b"{", b"[") and start[1:].lstrip(_BLANKS)[:1] in (b'"', b"{", b"]", b"}")


def _of_json(path: str) -> list[LabelRow]:
    content = read_json(path)
    if isinstance(content, list):
        return label_studio.rows_of(content, path)
    if is_coco(content):
        return [
            LabelRow(one.where, "", (one.image,), one.category)
            for one in annotations_of(content, path)
        ]
    if fiftyone.is_fiftyone(content):
        return fiftyone.rows_of(content, path)
    if isinstance(content, dict) and "data" in content:  # a single task
        return label_studio.rows_of([content], path)
    found = ", ".join(list(content)[:5]) if isinstance(content, dict) else type(content).__name__
    raise UsageError("no labels in this JSON", where=path, expected=_FORMS, found=found or "{}")


def _of_table(path: str) -> list[LabelRow]:
    table = read_table(Path(path), *_OF_LABEL_STUDIO, *_LAYOUTS, allow_empty=True)
    is_foreign = "annotationid" in table.columns
    rows = []
    for line, values in table.rows:
        cells = dict(zip(table.columns, values, strict=True))
        id_text = cells.get("row" if is_foreign else "id", "").strip()
        name = cells.get("name", "")
        own = (name, *label_studio.names_of_address(name)) if is_foreign else (name,)
        rows.append(LabelRow(f"{path}, line {line}", id_text, own, cells["label"].strip()))
    return rows


def _of_folders(path: str) -> list[LabelRow]:
    """The images of each folder; those of folders in it, too.

    Where the images themselves lie in folders of their classes, their names begin with these.
    """
    rows = []
    for name in list_images(path).names:
        where = os.path.join(path, name)
        label, _, inner = name.partition("/")
        if inner:
            rows.append(LabelRow(where, "", (name, inner), label))
        else:
            rows.append(LabelRow(where, "", (name,), "", "it lies in no folder of a class"))
    return rows
