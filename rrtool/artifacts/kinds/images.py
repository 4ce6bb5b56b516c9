"""What all artifacts over images have."""

from __future__ import annotations

from typing import Any

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts, schema_of


class OverImages(Artifact):
    """One row an image; an image that cannot be used keeps its row, with a reason."""

    names = Texts("n", "of the images")
    reasons = Texts("n", "why an image failed; empty where it didn't")
    status = Column("uint8", "n", "0 good, 1 failed")
    image_sizes = Column("int32", "n 2", "width, height of the upright image, pixels")
    boxes = Column("float32", "n 4", "the part that was described: x0, y0, x1, y1, pixels")
    file_signatures = Column("int64", "n 2", "size in bytes, time of change in ns")

    def values(self, kind: type[Artifact], *, without: str = "") -> dict[str, Any]:
        """The values that it has of a kind's columns, for another artifact over the same images.

        Args:
            without: the one column that is left out.
        """
        return {
            attribute: getattr(self, attribute)
            for attribute, column in schema_of(kind).items()
            if isinstance(column, Column) and attribute != without and column in self
        }

    @property
    def facts(self) -> dict[str, Any]:
        """Its facts for what is made of it: what ``extract`` skipped is no news there."""
        return {key: value for key, value in self.extra.items() if key != "n_skipped"}
