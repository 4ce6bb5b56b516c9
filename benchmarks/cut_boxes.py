"""Cut the largest box of each photo out, as a photo of its own of at least 224 pixels.

python benchmarks/cut_boxes.py logos/boxes.csv logos/images -o crops

The table has name, x0, y0, x1, y1 in pixels. One box a photo, so that no two are of the same.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from PIL import Image

_LEAST_SIDE = 224  # of the longer side; smaller boxes are enlarged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("boxes")
    parser.add_argument("images")
    parser.add_argument("-o", "--output", required=True)
    arguments = parser.parse_args()
    largest: dict[str, tuple[int, tuple[int, ...]]] = {}
    with open(arguments.boxes, newline="", encoding="utf-8") as table:
        for row in csv.DictReader(table):
            x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
            found = (x1 - x0) * (y1 - y0), (x0, y0, x1, y1)
            largest[row["name"]] = max(found, largest.get(row["name"], found))
    folder = Path(arguments.output)
    folder.mkdir(parents=True)
    for name, (_, box) in largest.items():
        with Image.open(Path(arguments.images, name)) as photo:
            cut = photo.convert("RGB").crop(box)
        factor = max(1, _LEAST_SIDE / max(cut.size))
        width, height = (round(factor * side) for side in cut.size)
        cut.resize((width, height), Image.Resampling.BICUBIC).save(
            folder / f"{Path(name).stem}.png"
        )
    print(f"{len(largest)} photos")


if __name__ == "__main__":
    main()
