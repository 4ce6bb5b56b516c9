"""Whitenings."""

from __future__ import annotations

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column


class Whitening(Artifact):
    """A mean and a projection, from ``whiten fit`` or ``whiten export``."""

    KIND = "whitening"
    FACTS = {"method": str, "made": dict}
    projection = Column("float32", "d k", "rows by falling eigenvalue, largest entry of each > 0")
    mean = Column("float32", "k", "of l2-normalised descriptors")
    eigenvalues = Column("float64", "d", "of the learnt covariance; NaN from a checkpoint")
