"""Regions: several boxes and descriptors an image; and saliency, the maps that they come from."""

import numpy as np

from rrtool.artifacts.kinds.images import OverImages
from rrtool.artifacts.schema import Column


class Salient(OverImages):
    """Boxes of regions, image after image, and the saliency maps that some were found on."""

    region_boxes = Column("float32", "r 4", "x0, y0, x1, y1 in pixels of the whole image")
    region_scales = Column("uint8", "r", "position in --scales", optional=True)
    region_saliencies = Column(
        "float32", "r", "of saliency: mean saliency in each region", optional=True, positive=True
    )
    region_weights = Column(
        "float32", "r", "of saliency: share of the map's saliency that each explains, sum 1 a "
        "scale", optional=True,
    )  # fmt: skip
    offsets = Column("int64", "n+1", "regions of each image", offsets_of="region_boxes")
    n_scales_without_regions = Column(
        "uint8", "n", "of saliency: scales on whose map no region was found", optional=True
    )
    map_sizes = Column("int32", "n S 2", "width, height in cells", optional=True)
    map_values = Column(
        "float32", "*", "saliency maps, flat, in the order row, scale, y, x",
        name="maps/values", optional=True,
    )  # fmt: skip
    map_offsets = Column(
        "int64", "nS+1", "of each (row, scale)",
        name="maps/offsets", optional=True, offsets_of="maps/values",
    )  # fmt: skip

    @property
    def has_maps(self) -> bool:
        """Whether the saliency maps are stored."""
        columns = Salient.map_sizes, Salient.map_values, Salient.map_offsets
        return all(column in self for column in columns)

    def saliency_maps(self, row: int) -> list[np.ndarray]:
        """The maps ``(h, w)`` float32 of an image, one a scale.

        Raises:
            ArtifactError: they are not stored, or damaged.
        """
        return self.maps_of(row, Salient.map_sizes, Salient.map_values, Salient.map_offsets)

    def of(self, row: int) -> slice:
        """The places of an image's regions."""
        start, stop = self.read(Salient.offsets, slice(row, row + 2)).tolist()
        return slice(start, stop)


class Regions(Salient):
    """Described regions, from ``extract --regions``, ``saliency fs`` or ``reduce-regions``."""

    KIND = "regions"
    OPTIONS = {"regions": str}
    descriptors = Column("float32 float16", "r d", "l2-normalised, image after image")


class Saliency(Salient):
    """Object saliency and its regions, from ``saliency os``."""

    KIND = "saliency"
