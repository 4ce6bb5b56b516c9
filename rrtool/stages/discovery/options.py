"""Options of saliency fs, saliency os, centrality and discover (thesis ch. 5)."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from typing import Any, ClassVar

from rrtool.errors import OptionError
from rrtool.options import (
    Command,
    DeviceOptions,
    Options,
    OutputOptions,
    SeedOptions,
    argument,
    artifact,
    option,
)
from rrtool.stages.activations.options import ActivationsOptions, OverImagesOptions
from rrtool.stages.diffusion.options import MAX_ITERATIONS

# Of core, which takes time to import.
AGGREGATIONS = ("weighted", "sum")
NORMALIZATIONS = ("max", "crow")
PATCH_POOLINGS = ("gem", "max")
SAMPLES = ("weighted", "equal")
SEARCH_METHODS = ("auto", "exact", "ivf", "hnsw")


def _rho(default: Any) -> Any:
    return option(
        default, "Power ρ to which a saliency map is raised before regions are detected on it.",
        above=0, most=100, panel="Salient regions",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SalientOptions(Options):
    """How regions are found on a saliency map, and what becomes of them (METHODS §7)."""

    rho: float = _rho(MISSING)
    sigma: float = option(
        2.5, "Variance σ of the Gaussian sample at each position of a map, in square cells.",
        above=0, panel="Salient regions",
    )  # fmt: skip
    overlap: float = option(
        0.55, "Threshold τ of the purge of overlapping regions; a larger one keeps fewer.",
        above=0, below=1, panel="Salient regions",
    )  # fmt: skip
    samples: str = option(
        "weighted",
        "How the positions of a map count where regions are fitted to them: weighted by their "
        "saliency, or equally, as eq. 5.6–5.8 are printed.",
        choices=SAMPLES, panel="Salient regions",
    )  # fmt: skip
    aggregate: str = option(
        "weighted",
        "How an image adds up its regions: weighted by the saliency that each explains, or as a "
        "plain sum.",
        choices=AGGREGATIONS, panel="Salient regions",
    )  # fmt: skip
    whole: float = option(
        0.8,
        "Share of the whole photo in its descriptor; the rest is its regions'. With 0 it is "
        "described by them alone, as in the thesis, and what surrounds the object is forgotten.",
        least=0, most=1, panel="Salient regions",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FeatureSaliencyOptions(SalientOptions):
    """How regions of feature saliency are found."""

    rho: float = _rho(7.0)
    saliency_normalization: str = option(
        "max",
        "What feature saliency is scaled to: max to a maximum of 1, so that every map counts "
        "alike; crow by CroW's norm alone, as in the thesis.",
        choices=NORMALIZATIONS, panel="Salient regions",
    )  # fmt: skip
    keep_maps: bool = option(
        False, "Store the saliency maps beside the regions, for evaluate and report.",
        panel="Salient regions",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RegionsOptions(SalientOptions):
    """How regions are found on a saliency map and described (METHODS §7)."""

    gem_exponent: float = option(
        3.0, "Exponent ω of GeM, by which each region is described.",
        above=0, most=100, panel="Salient regions",
    )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """What regions and descriptors depend on beside the activations, JSON-compatible."""
        return {**super().settings(), "pool": "gem", "whitening": "none", "boxes": False}


@dataclass(frozen=True, kw_only=True)
class ObjectSaliencyOptions(RegionsOptions):
    """How object saliency is computed (METHODS §7)."""

    rho: float = _rho(2.0)
    theta: float = option(
        3.0, "Exponent θ of eq. 5.14: how much feature saliency counts.",
        least=0, most=100, panel="Saliency",
    )  # fmt: skip
    patch: int | None = option(
        None, "Side of a patch in cells; by default a third of the map's shorter side.",
        least=1, panel="Saliency",
    )  # fmt: skip
    patch_pooling: str = option(
        "gem",
        "How a patch is pooled: gem as the regions it is compared with, or max, as the text of "
        "§5.3.8 has it.",
        choices=PATCH_POOLINGS, panel="Saliency",
    )  # fmt: skip
    k: int = option(
        50, "Regions of the collection that a patch is compared with.", least=1, panel="Saliency"
    )
    gamma: float = option(
        3.0, "Exponent γ of the similarity of a patch to a region.",
        above=0, most=100, panel="Saliency",
    )  # fmt: skip
    method: str = option(
        "auto",
        "Search for these regions: exact, or approximate by ivf or hnsw; auto is exact among up "
        "to 10,000 regions, and ivf among more where faiss is installed.",
        choices=SEARCH_METHODS, panel="Saliency",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _SaliencyOptions(RegionsOptions, ActivationsOptions, OverImagesOptions):
    """What both kinds of saliency take."""

    features: str | None = None


@dataclass(frozen=True, kw_only=True)
class SaliencyFsOptions(FeatureSaliencyOptions, _SaliencyOptions):
    """Find and describe the regions of feature saliency (regions)."""

    COMMAND: ClassVar = Command(
        "saliency fs", "rrtool.stages.discovery.saliency_fs", "§5.3.3–5.3.5", "docs/discovery.md"
    )
    features: str | None = option(
        None, "Write the FS.EGM descriptors of the images too, to this artifact (features).",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SaliencyOsOptions(ObjectSaliencyOptions, _SaliencyOptions):
    """Map what repeats in a collection, and describe its images by that (saliency, features)."""

    COMMAND: ClassVar = Command(
        "saliency os", "rrtool.stages.discovery.saliency_os", "§5.3.8–5.3.10", "docs/discovery.md"
    )
    regions: str = artifact(MISSING, "Regions of the collection, from saliency fs.")
    centrality: str = artifact(MISSING, "Centrality of these regions, from centrality.")
    whitening: str | None = artifact(
        None, "What the regions were whitened with; by default they are not whitened."
    )
    center: str | None = artifact(
        None, "Features whose mean centred the regions; by default the whitening's own mean did."
    )
    features: str = option(
        MISSING, "Write the OS.EGM descriptors of the images to this artifact (features).",
        role="output", shapes=False, panel="Output",
    )  # fmt: skip


# What each measure takes, and the defaults; a smaller tolerance costs float64 iterations little.
MEASURES: Mapping[str, Mapping[str, Any]] = {
    "degree": {},
    "eigenvector": {"tol": 1e-8, "max_iter": 1000},
    "pagerank": {"alpha": 0.85, "tol": 1e-8, "max_iter": 1000},
    "katz": {"alpha": 0.99, "tol": 1e-6, "max_iter": 100},
    "betweenness": {"samples": None},
    "closeness": {"samples": None},
}


@dataclass(frozen=True, kw_only=True)
class CentralityOptions(SeedOptions, DeviceOptions, OutputOptions):
    """Measure how significant each vertex of a graph is (centrality)."""

    COMMAND: ClassVar = Command("centrality", "rrtool.stages.discovery.centrality", "§5.3.7")
    graph: str = argument("A graph, from build-graph.")
    measure: str = option(
        MISSING, "What significance is: " + ", ".join(MEASURES) + ".", choices=tuple(MEASURES)
    )
    alpha: float | None = option(
        None, "Weight of the edges in pagerank (by default 0.85) and katz (by default 0.99).",
        above=0, below=1,
    )  # fmt: skip
    samples: int | None = option(
        None,
        "Vertices from which betweenness or closeness is estimated; by default all, of up to "
        "30,000.",
        least=2,
    )
    tol: float | None = option(
        None, "Residual at which the iteration stops; by default 1e-6 for katz, else 1e-8.",
        above=0, below=1,
    )  # fmt: skip
    max_iter: int | None = option(
        None, "Iterations at most; by default 100 for katz, else 1000.",
        least=1, most=MAX_ITERATIONS,
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        for name in ("alpha", "samples", "tol", "max_iter"):
            if getattr(self, name) is not None and name not in MEASURES[self.measure]:
                takers = [measure for measure in MEASURES if name in MEASURES[measure]]
                raise OptionError(
                    f"{self.measure} takes no {self.typed(name)}", option=name,
                    expected=f"{' or '.join(takers)} with it",
                )  # fmt: skip

    def parameters(self) -> dict[str, Any]:
        """What the measure is computed with: its own parameters only, defaults filled in."""
        known = MEASURES[self.measure]
        given = {name: getattr(self, name) for name in known}
        filled = {name: known[name] if value is None else value for name, value in given.items()}
        return {**filled, "seed": self.seed} if self.samples is not None else filled


@dataclass(frozen=True, kw_only=True)
class DiscoverOptions(OutputOptions):
    """Find the objects that repeat in a collection (objects)."""

    COMMAND: ClassVar = Command(
        "discover", "rrtool.stages.discovery.discover", "§5.3.7", "docs/discovery.md"
    )
    regions: str = argument("Regions of a collection, from saliency fs.")
    graph: str = artifact(MISSING, "The graph of these regions, from build-graph.")
    centrality: str = artifact(MISSING, "The centrality of this graph, from centrality.")
    verify: str | None = artifact(
        None,
        "Local features of the photos, from detect-local: only edges count whose regions, with "
        "what is around them, match beyond chance.",
    )
    labels: str | None = option(
        None,
        "Classes of some photos, as al-cycle takes them: they are spread over the graph of "
        "regions, and objects and regions get those that reach them.",
        role="file", panel="Inputs",
    )  # fmt: skip
    min_images: int = option(3, "Images that an object is seen in at least.", least=2)
    quantile: float = option(
        0.7, "Leave out edges that weigh less than this quantile of those between images.",
        least=0, most=1,
    )  # fmt: skip
    cohesion: float = option(
        0.5, "Share of an object's other regions that each has an edge to at least.",
        least=0, most=1,
    )  # fmt: skip
    overlap: float = option(
        0.5,
        "Regions of one image are the same thing where they share more than this part of the "
        "smaller one.",
        least=0, most=1,
    )  # fmt: skip
    merge: bool = option(
        False,
        "Make one of objects that the same photos show at a steady place to each other, such as a "
        "cap and a label.",
    )
