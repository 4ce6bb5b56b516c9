"""YOLO's labels: a text of boxes for each image, and the classes."""

import json

from rrtool.errors import UsageError
from rrtool.exchange.boxes.images import BoxedImages, Texts, paths_of


def texts(images: BoxedImages) -> Texts:
    """``data.yaml``, ``classes.txt``, and for each image ``labels/<its name>.txt``.

    A line is the class, then the box's centre, width and height as shares of the image's.

    Raises:
        UsageError: the name of a class has several lines, or see ``paths_of``.
    """
    for name in images.class_names:
        if len(name.splitlines()) != 1 or name != name.strip():
            raise UsageError(
                "YOLO has no such class: its list has one a line", where=images.where,
                found=json.dumps(name), todo="give it another name, or use --format coco",
            )  # fmt: skip
    paths = paths_of(images, ".txt")
    found = {
        "data.yaml": "".join(_yaml_lines(images)),
        "classes.txt": "".join(f"{name}\n" for name in images.class_names),
    }
    for row, boxes in images.of_images():
        width, height = images.sizes[row].tolist()
        found[f"labels/{paths[row]}"] = "".join(
            f"{one} {(x0 + x1) / 2 / width:.6f} {(y0 + y1) / 2 / height:.6f}"
            f" {(x1 - x0) / width:.6f} {(y1 - y0) / height:.6f}\n"
            for one, (x0, y0, x1, y1) in boxes
        )
    return found


def _yaml_lines(images: BoxedImages) -> list[str]:
    """Photos are looked for in ``images`` beside ``labels``; a JSON text is one in YAML, too."""
    names = [f"  {place}: {json.dumps(name)}\n" for place, name in enumerate(images.class_names)]
    return ["path: .\n", "train: images\n", "val: images\n", "names:\n", *names]
