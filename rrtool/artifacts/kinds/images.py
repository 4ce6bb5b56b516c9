"""What all artifacts over images have."""

from itertools import pairwise
from typing import Any

import numpy as np

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts, schema_of


class OfImages(Artifact):
    """One row an image; an image that cannot be used keeps its row, with a reason."""

    names = Texts("n", "of the images")
    reasons = Texts("n", "why an image failed; empty where it didn't")
    status = Column("uint8", "n", "0 good, 1 failed")


class OverImages(OfImages):
    """One row an image; an image that cannot be used keeps its row, with a reason."""

    image_sizes = Column("int32", "n 2", "width, height of the upright image, pixels")
    boxes = Column("float32", "n 4", "the part that was described: x0, y0, x1, y1, pixels")
    file_signatures = Column("int64", "n 2", "size in bytes, time of change in ns")
    file_digests = Column(
        "uint8", "n 16", "BLAKE2b-128 of each file; zero where it could not be read", optional=True
    )

    def maps_of(
        self, row: int, sizes: Column, values: Column, offsets: Column, *depth: int
    ) -> list[np.ndarray]:
        """The maps ``(*depth, h, w)`` of an image that a flat column holds, one a scale.

        Raises:
            ArtifactError: there are fewer values than the maps' sizes say.
        """
        shapes = self.read(sizes, slice(row, row + 1))[0].tolist()
        found = self.parts_of(row, values, offsets, len(shapes))
        return [
            self.shaped(part, (*depth, height, width))
            for part, (width, height) in zip(found, shapes, strict=True)
        ]

    def parts_of(
        self, row: int, values: Column, offsets: Column, n_scales: int
    ) -> list[np.ndarray]:
        """What a flat column holds of an image, at each scale."""
        first = row * n_scales
        bounds = self.read(offsets, slice(first, first + n_scales + 1)).tolist()
        return [self.read(values, slice(*ends)) for ends in pairwise(bounds)]

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
        no_news = ("n_skipped", "passed_over")
        return {key: value for key, value in self.extra.items() if key not in no_news}
