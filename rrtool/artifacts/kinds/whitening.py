"""Whitenings."""

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column


class Whitening(Artifact):
    """A mean and a projection, from ``whiten fit`` or ``whiten export``."""

    KIND = "whitening"
    FACTS = {"method": str, "made": dict}
    projection = Column("float32", "d k", "rows by falling eigenvalue, largest entry of each > 0")
    mean = Column("float32", "k", "of l2-normalised descriptors")
    eigenvalues = Column("float64", "d", "of the learnt covariance; NaN from a checkpoint")

    @property
    def is_of_checkpoint(self) -> bool:
        """Whether it comes from ``whiten export``."""
        return self.extra["method"] == "checkpoint"

    @property
    def label(self) -> str:
        """What tells descriptors whitened by it apart; a checkpoint's is called as by extract."""
        if self.is_of_checkpoint:
            return str(self.extra.get("set"))
        return f"{self.extra['method']} {self.digest[:8]}"
