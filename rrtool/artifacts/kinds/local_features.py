"""Local features in activation maps: 24 bytes each, their scale is in the order."""

import math
from dataclasses import dataclass

import numpy as np

from rrtool.artifacts.kinds.images import OverImages
from rrtool.artifacts.schema import Column


@dataclass(frozen=True)
class ImageFeatures:
    """The ``m`` local features of one image.

    Attributes:
        means: ``(m, 2)`` float32 x, y in cells of the own scale's map, centres at integers.
        covariances: ``(m, 3)`` float32 Σ_xx, Σ_xy, Σ_yy in cells².
        strengths: ``(m,)`` float16, largest activation in the region.
        channels: ``(m,)`` uint16, channel = visual word.
        scales: ``(m,)`` position in ``--scales``.
    """

    means: np.ndarray
    covariances: np.ndarray
    strengths: np.ndarray
    channels: np.ndarray
    scales: np.ndarray


class LocalFeaturesFile(OverImages):
    """Local features, from ``detect-local``."""

    KIND = "local-features"
    FACTS = {"n_scales": int, "level_scale": (int, float), "delta": int}
    OPTIONS = {"role": str}
    map_sizes = Column("int32", "n S 2", "width, height in cells")
    means = Column("float32", "m 2", "x, y in cells of the own scale's map, centres at integers")
    covariances = Column("float32", "m 3", "Σ_xx, Σ_xy, Σ_yy in cells²")
    strengths = Column("float16", "m", "largest activation in the region")
    channels = Column("uint16", "m", "channel = visual word")
    offsets = Column(
        "int64", "nS+1", "features of (row, scale); sorted by channel, then falling strength",
        offsets_of="means",
    )  # fmt: skip

    @property
    def n_scales(self) -> int:
        return self.lengths["S"]

    def of(self, row: int) -> ImageFeatures:
        """The local features of one image, at all scales."""
        columns = type(self)
        first = row * self.n_scales
        bounds = self.read(columns.offsets, slice(first, first + self.n_scales + 1))
        places = slice(int(bounds[0]), int(bounds[-1]))
        return ImageFeatures(
            self.read(columns.means, places),
            self.read(columns.covariances, places),
            self.read(columns.strengths, places),
            self.read(columns.channels, places),
            np.repeat(np.arange(self.n_scales), np.diff(bounds)),
        )

    def levels(self) -> tuple[float, int]:
        """Levels per unit of activation, and MSER's step in levels.

        Raises:
            ArtifactError: they are out of their range.
        """
        scale, delta = float(self.extra["level_scale"]), self.extra["delta"]
        if not (math.isfinite(scale) and scale > 0 and 1 <= delta <= 255):
            raise self.damaged(f"levels of the scale {scale} and the delta {delta}")
        return scale, delta
