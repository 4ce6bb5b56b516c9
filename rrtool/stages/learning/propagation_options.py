"""Options of label propagation, which al-cycle and al-agree share (thesis ch. 3)."""

from dataclasses import dataclass

from rrtool.options import DeviceOptions, option
from rrtool.stages.diffusion.options import SYMMETRIZATIONS

_GRAPH = "Graph and label propagation"
# Up to so many images a graph of exact neighbours takes no longer than an approximate one.
EXACT_UP_TO = 20_000
LABEL_MASSES = ("class", "one")  # of core, which takes time to import


@dataclass(frozen=True, kw_only=True)
class PropagationOptions(DeviceOptions):
    """The graph of features, and label propagation on it (thesis §3.3)."""

    k: int | None = option(
        50, "Neighbours of an image in the graph of --semi and of jlp.", least=1, panel=_GRAPH
    )
    neighbors: str = option(
        "auto",
        "How neighbours are searched: exact, or approximately and faster by ivf or hnsw, whose "
        f"recall is measured; auto takes ivf above {EXACT_UP_TO:,} images, but exact on a GPU and "
        "where faiss is not installed.",
        choices=("auto", "exact", "ivf", "hnsw"), panel=_GRAPH,
    )  # fmt: skip
    gamma: float = option(
        3.0, "Exponent γ of the similarity in the weight of an edge.",
        above=0, most=100, panel=_GRAPH,
    )  # fmt: skip
    symmetrize: str = option(
        "mutual",
        "Which edges are kept: mutual keeps those of images that list each other, sum adds both "
        "directions, as the authors' released code does.",
        choices=SYMMETRIZATIONS, panel=_GRAPH,
    )  # fmt: skip
    alpha: float = option(
        0.99, "How far labels go: the share that moves on along the edges.",
        above=0, below=1, panel=_GRAPH,
    )  # fmt: skip
    label_mass: str = option(
        "class",
        "What propagation starts with: class gives every class the same mass, so that one of many "
        "labels doesn't flood the others; one gives every label 1, as eq. 3.8 is printed.",
        choices=LABEL_MASSES, panel=_GRAPH,
    )  # fmt: skip
