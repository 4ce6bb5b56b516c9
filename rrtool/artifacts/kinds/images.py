"""What all artifacts over images have."""

from __future__ import annotations

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts


class OverImages(Artifact):
    """One row an image; an image that cannot be used keeps its row, with a reason."""

    names = Texts("n", "of the images")
    reasons = Texts("n", "why an image failed; empty where it didn't")
    status = Column("uint8", "n", "0 good, 1 failed")
    image_sizes = Column("int32", "n 2", "width, height of the upright image, pixels")
    boxes = Column("float32", "n 4", "the part that was described: x0, y0, x1, y1, pixels")
    file_signatures = Column("int64", "n 2", "size in bytes, time of change in ns")
