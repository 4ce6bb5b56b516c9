"""Centrality of the vertices of a graph."""

from rrtool.artifacts.reader import Artifact
from rrtool.artifacts.schema import Column, Texts


class Centrality(Artifact):
    """How significant each vertex of a graph is, from ``centrality``."""

    KIND = "centrality"
    FACTS = {"measure": str, "vertices": str}
    names = Texts("n", "of the images")
    centrality = Column("float32", "v", "mean 1 over good vertices; failed ones 0", positive=True)
    status = Column("uint8", "v", "as in the graph")
