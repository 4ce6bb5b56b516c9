"""Features: one descriptor an image."""

from __future__ import annotations

from rrtool.artifacts.kinds.images import OverImages
from rrtool.artifacts.schema import Column


class Features(OverImages):
    """Global descriptors, from ``extract``, ``whiten apply`` or object discovery."""

    KIND = "features"
    descriptors = Column("float32 float16", "n d", "l2-normalised; zero where failed")
    n_scales_without_regions = Column(
        "uint8", "n", "of saliency: scales at which the whole map was described", optional=True
    )
