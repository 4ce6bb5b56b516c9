"""Local features in activation maps: 24 bytes each, their scale is in the order."""

from __future__ import annotations

from rrtool.artifacts.kinds.images import OverImages
from rrtool.artifacts.schema import Column


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
        "int64",
        "nS+1",
        "features of (row, scale); sorted by channel, then falling strength",
        offsets_of="means",
    )

    @property
    def n_scales(self) -> int:
        return self.lengths["S"]
