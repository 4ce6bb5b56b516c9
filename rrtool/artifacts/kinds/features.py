"""Features: one descriptor an image."""

from collections.abc import Iterator, Sequence

from rrtool.artifacts.kinds.images import OverImages
from rrtool.artifacts.schema import Column


class Features(OverImages):
    """Global descriptors, from ``extract``, ``whiten apply`` or object discovery."""

    KIND = "features"
    descriptors = Column("float32 float16", "n d", "l2-normalised; zero where failed")
    center = Column(
        "float32", "k", "mean of descriptors, subtracted before they were whitened", optional=True
    )
    unwhitened = Column(
        "float32", "n k", "descriptors before they were whitened about their own mean",
        optional=True,
    )  # fmt: skip
    n_scales_without_regions = Column(
        "uint8", "n", "of saliency: scales at which the whole map was described", optional=True
    )

    def rows(self) -> Iterator[Sequence[object]]:
        """One line an image: its name, its status, and its descriptor; see ``Artifact.rows``."""
        yield "name", "status", *(f"d{i}" for i in range(self.lengths["d"]))
        for name, status, vector in zip(self.names, self.status, self.descriptors, strict=True):
            yield name, int(status), *vector.tolist()
