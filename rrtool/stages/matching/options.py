"""Options of detect-local and rerank (thesis ch. 4)."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from rrtool.errors import OptionError
from rrtool.options import (
    Command,
    DeviceOptions,
    Options,
    UpdateOptions,
    again,
    argument,
    artifact,
    option,
)
from rrtool.stages.activations.options import ActivationsOptions, BoxesOptions, OverImagesOptions

CHANNEL_RULES = ("drop", "strongest")
DETECTORS = ("numba", "vlfeat")


@dataclass(frozen=True, kw_only=True)
class LocalOptions(Options):
    """How local features are detected and selected, whatever the images are."""

    max_features: int | None = option(
        None,
        "Features that an image keeps, the strongest of all scales; by default as many as the "
        "network has channels.",
        least=0, panel="Local features",
    )  # fmt: skip
    channel_rule: str = option(
        "drop",
        "What becomes of a channel with more regions than --max-per-channel at one scale: drop "
        "leaves it out, as the thesis says; strongest keeps its strongest regions and leaves a "
        "channel out above 36, as the authors' released code does.",
        choices=CHANNEL_RULES, panel="Local features",
    )  # fmt: skip
    max_per_channel: int | None = option(
        None,
        "Regions of a channel at one scale, see --channel-rule; by default 20 for queries and 10 "
        "for a database.",
        least=0, panel="Local features",
    )  # fmt: skip
    nms_iou: float | None = option(
        None,
        "Leave out a region whose box overlaps a stronger one's by more than this intersection "
        "over union; by default 0.2 for a database, and queries keep all.",
        least=0, most=1, panel="Local features",
    )  # fmt: skip
    min_diversity: float = option(
        0.7,
        "Leave out a region whose area is smaller than that of the next one around it by less than "
        "this share (MSER).",
        least=0, most=1, panel="Local features",
    )  # fmt: skip
    max_variation: float = option(
        0.5, "Leave out a region whose area grows by this share or more within --delta (MSER).",
        least=0, panel="Local features",
    )  # fmt: skip
    delta: int | None = option(
        None,
        "Step of MSER in 8-bit levels; by default it is found from the images, and with "
        "--levels-from theirs counts.",
        least=1, most=255, panel="Local features",
    )  # fmt: skip
    detector: str = option(
        "numba",
        "What finds the regions: vlfeat is the library that the thesis used, which must be "
        "installed (docs/engines.md); numba finds the same ones, many times as fast.",
        choices=DETECTORS, panel="Local features",
    )  # fmt: skip
    levels_from: str | None = artifact(
        None,
        "Local features whose levels are taken over, so that queries and database share them; by "
        "default levels are found from a sample of the images.",
    )


@dataclass(frozen=True, kw_only=True)
class DetectLocalOptions(BoxesOptions, ActivationsOptions, LocalOptions, OverImagesOptions):
    """Detect local features in the activation maps of images (local-features)."""

    COMMAND: ClassVar = Command(
        "detect-local", "rrtool.stages.matching.detect_local", "§4.3.4, §4.4.1"
    )
    role: str = option(
        "database", "What the images are; the defaults of the selection depend on it.",
        choices=("query", "database"), panel="Local features",
    )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """See ``Options``: of the detector if it is another than before there was a choice."""
        found = super().settings()
        if self.detector == DETECTORS[0]:
            del found["detector"]
        return found


_SPATIAL, _RECIPROCAL = "With --method spatial", "With --method reciprocal"
_REFINE, _DESCRIPTORS = "With --method refine", "With --method reciprocal or refine"
_NEEDED = {
    "spatial": ("query_local", "database_local"),
    "reciprocal": ("queries", "database"),
    "refine": ("queries", "database"),
}
# What goes with each method; what is in none goes with all.
_OF = {
    "spatial": (
        *_NEEDED["spatial"], "shortlist", "score", "inlier_threshold", "max_scale_change", "update",
    ),
    "reciprocal": (*_NEEDED["reciprocal"], "graph", "lists", "k1", "k2", "mixture"),
    "refine": (*_NEEDED["refine"], "top", "neighbors", "beta"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RerankOptions(DeviceOptions, UpdateOptions):
    """Re-order each ranking, by spatial verification or by what descriptors share (ranking)."""

    COMMAND: ClassVar = Command("rerank", "rrtool.stages.diffusion.rerank", "§4.3.5–4.3.6")
    ranking: str = argument("The ranking to re-order, from search.")
    method: str = option(
        "spatial",
        "What re-orders it: spatial verifies the head of each ranking by local features; "
        "reciprocal looks at which images are each other's neighbours (k-reciprocal encoding); "
        "refine averages the descriptors of the head among themselves (SuperGlobal).",
        choices=tuple(_OF),
    )
    query_local: str | None = artifact(
        None, "Local features of the queries, from detect-local.", panel=_SPATIAL
    )
    database_local: str | None = artifact(
        None, "Local features of the database, from detect-local.", panel=_SPATIAL
    )
    queries: str | None = artifact(
        None, "Descriptors of the queries; with --method reciprocal their regions too.",
        panel=_DESCRIPTORS,
    )  # fmt: skip
    database: str | None = artifact(
        None, "Descriptors of the database; with --method reciprocal its regions too.",
        panel=_DESCRIPTORS,
    )  # fmt: skip
    graph: str | None = artifact(
        None,
        "The database's neighbours, from build-graph; without it, and where it has too few of "
        "each, they are searched, of up to 50,000 images.",
        panel=_RECIPROCAL,
    )
    lists: str | None = artifact(
        None,
        "In place of --queries and --database: a ranking of the database by itself, from search, "
        "or both re-ordered by regions before. Its hits are the neighbours.",
        panel=_RECIPROCAL,
    )
    k1: tuple[int, ...] | None = option(
        None,
        "Numbers of neighbours among which images must be mutual, over which what comes of it is "
        "averaged; by default 3,5,10,20, each a fifth of the images at most.",
        least=1, most=1000, panel=_RECIPROCAL,
    )  # fmt: skip
    k2: int | None = option(
        None,
        "Nearest images, the image itself among them, whose encodings are averaged; by default 0.3 "
        "of each --k1.",
        least=1, most=1000, panel=_RECIPROCAL,
    )  # fmt: skip
    mixture: float | None = option(
        None,
        "Share of the descriptors' own similarity; by default 0.3, with regions 0.1.",
        least=0, most=1, panel=_RECIPROCAL,
    )  # fmt: skip
    top: int = option(
        400, "Entries of each ranking that are re-ordered, M.", least=1, most=10_000, panel=_REFINE
    )
    neighbors: int | None = option(
        None,
        "Nearest of these with which each is averaged, K; by default 9, but at most a fortieth of "
        "the images and at least 3.",
        least=0, most=1000, panel=_REFINE,
    )  # fmt: skip
    beta: float = option(
        0.15, "How much these weigh, times their similarity.", least=0, most=100, panel=_REFINE
    )
    shortlist: int = option(
        100, "Entries of each ranking that are verified.", least=1, panel=_SPATIAL
    )
    score: str = option(
        "fused",
        "What re-orders them: fused takes similarity and matches together, inliers counts the "
        "matches that agree, as the thesis does.",
        choices=("fused", "inliers"), panel=_SPATIAL,
    )  # fmt: skip
    inlier_threshold: float = option(
        2.0, "Largest distance at which a match agrees, in cells of the database's activation map.",
        above=0, most=1_000_000, panel=_SPATIAL,
    )  # fmt: skip
    max_scale_change: float = option(
        3.0, "Largest factor by which a match may grow or shrink the object.",
        least=1, most=1_000_000, panel=_SPATIAL,
    )  # fmt: skip
    update: bool = again(
        UpdateOptions, "update", False,
        help="Bring a ranking up to date whose inputs have changed: a query is kept whose own "
        "local features are the same and those and the similarities of its whole shortlist. Keeps "
        "a digest of these in the ranking for it.",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        by_lists = self.method == "reciprocal" and self.lists is not None
        for name in (*_NEEDED[self.method], "graph") if by_lists else ():
            if getattr(self, name) is not None:
                raise OptionError(
                    f"{self.typed(name)} does not go with --lists", option=name,
                    found=getattr(self, name), todo="leave one of them out",
                )  # fmt: skip
        for name in () if by_lists else _NEEDED[self.method]:
            if getattr(self, name) is None:
                raise OptionError(
                    f"missing {self.typed(name)}", option=name,
                    expected=f"what --method {self.method} re-orders by",
                )  # fmt: skip
        others = {name for names in _OF.values() for name in names} - {*_OF[self.method]}
        for each in fields(self):
            if each.name in others and getattr(self, each.name) != each.default:
                raise OptionError(
                    f"{self.typed(each.name)} does not go with --method {self.method}",
                    option=each.name, found=getattr(self, each.name),
                    todo="leave it out, or choose another --method",
                )  # fmt: skip
        if self.k1 == ():
            raise OptionError("bad --k1", option="k1", expected="one number or more", found="none")

    def settings(self) -> dict[str, Any]:
        """See ``Options``: those of verification alone; the other methods say their own."""
        others = {"method", *_OF["reciprocal"], *_OF["refine"]}
        return {name: value for name, value in super().settings().items() if name not in others}
