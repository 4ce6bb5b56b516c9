"""Activation maps: the last layer's output for every image and scale."""

import numpy as np

from rrtool.artifacts.kinds.images import OverImages
from rrtool.artifacts.schema import Column


class ActivationMaps(OverImages):
    """Activation maps, from ``extract --save-maps``."""

    KIND = "activation-maps"
    FACTS = {"n_channels": int}
    OPTIONS = {"scales": list}
    map_sizes = Column("int32", "n S 2", "width, height in cells")
    activations = Column(
        "float32", "*", "flat, in the order row, scale, channel, y, x", positive=True
    )
    offsets = Column("int64", "nS+1", "of each (row, scale)", offsets_of="activations")

    @property
    def n_channels(self) -> int:
        return self.extra["n_channels"]

    @property
    def n_scales(self) -> int:
        return self.lengths["S"]

    def of(self, row: int) -> list[np.ndarray]:
        """The maps ``(k, h, w)`` float32 of an image, one a scale; h = w = 0 where there is none.

        Raises:
            ArtifactError: there are fewer activations than the maps' sizes say.
        """
        columns = ActivationMaps.map_sizes, ActivationMaps.activations, ActivationMaps.offsets
        return self.maps_of(row, *columns, self.n_channels)
