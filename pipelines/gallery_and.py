"""Lists the gallery of a benchmark and, behind it, all photos of another folder: distractors.

python pipelines/gallery_and.py GROUND_TRUTH PHOTOS DISTRACTORS > database.txt
"""

import os
import sys

from rrtool.errors import RrtoolError
from rrtool.images.collection import collect
from rrtool.images.listing import list_images


def main() -> int:
    ground_truth, photos, distractors = sys.argv[1:]
    try:
        gallery = collect(photos, gallery_source=ground_truth).paths
        others = list_images(distractors).paths
    except RrtoolError as error:
        print(f"{sys.argv[0]}: {error}", file=sys.stderr)
        return 1
    for path in (*gallery, *others):
        sys.stdout.buffer.write(os.fsencode(os.path.abspath(path)) + b"\0")
    return 0


if __name__ == "__main__":
    sys.exit(main())
