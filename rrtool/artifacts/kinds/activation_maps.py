"""Activation maps: the last layer's output for every image and scale."""

import math

import numpy as np

from rrtool.artifacts.kinds.images import OverImages
from rrtool.artifacts.schema import Column
from rrtool.artifacts.sparse import Sparse


class ActivationMaps(OverImages):
    """Activation maps, from ``extract --save-maps``.

    Those of older versions have float32 activations, zeros among them, and neither units nor bits.
    """

    KIND = "activation-maps"
    FACTS = {"n_channels": int}
    OPTIONS = {"scales": list}
    map_sizes = Column("int32", "n S 2", "width, height in cells")
    activations = Column(
        "float16 float32", "*",
        "those that are not zero, in their unit, in the order row, scale, channel, y, x",
        positive=True,
    )  # fmt: skip
    offsets = Column("int64", "nS+1", "of each (row, scale)", offsets_of="activations")
    units = Column(
        "float32", "n S", "power of two that activations are multiplied by",
        optional=True, positive=True,
    )  # fmt: skip
    bits = Column(
        "uint8", "*",
        "a bit for each channel, y, x, the highest first: 0 where the activation is zero; each "
        "(row, scale) begins with a new byte",
        name="nonzero/bits", optional=True,
    )  # fmt: skip
    bits_offsets = Column(
        "int64", "nS+1", "of each (row, scale)",
        name="nonzero/offsets", optional=True, offsets_of="nonzero/bits",
    )  # fmt: skip

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
        columns = ActivationMaps
        if columns.bits not in self:
            return self.maps_of(
                row, columns.map_sizes, columns.activations, columns.offsets, self.n_channels
            )
        sizes = self.read(columns.map_sizes, slice(row, row + 1))[0].tolist()
        units = self.read(columns.units, slice(row, row + 1))[0]
        values = self.parts_of(row, columns.activations, columns.offsets, self.n_scales)
        bits = self.parts_of(row, columns.bits, columns.bits_offsets, self.n_scales)
        shapes = [(self.n_channels, height, width) for width, height in sizes]
        return [
            self._dense(shape, *stored)
            for shape, *stored in zip(shapes, bits, values, units, strict=True)
        ]

    def _dense(
        self, shape: tuple[int, ...], bits: np.ndarray, values: np.ndarray, unit: np.float32
    ) -> np.ndarray:
        largest = float(values.max(initial=0)) * float(unit)
        if largest > float(np.finfo(np.float32).max):
            raise self.damaged(f"activations up to {largest:g}")
        try:
            flat = Sparse(bits, values.astype(np.float32) * unit, math.prod(shape)).dense()
        except ValueError as error:
            what = "sizes, bits and activations do not fit together"
            raise self.damaged(error, what) from None
        return flat.reshape(shape)
