"""Offline diffusion: the solution of every vertex, kept sparse."""

from __future__ import annotations

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts


class OfflineDiffusion(Artifact):
    """Solutions of every vertex, from ``diffuse --prepare``."""

    KIND = "offline-diffusion"
    OPTIONS = {"alpha": (int, float)}
    names = Texts("n", "of the images")
    residuals = Column("float64", "v", "of the solver")
    n_iterations = Column("int32", "v", "of the solver")
    columns_ = Column("int32", "e", "vertices, ascending in each row", name="columns", ids_of="v")
    values = Column("float32", "e", "the positive entries of the solution")
    offsets = Column("int64", "v+1", "entries of each vertex", offsets_of="values")
