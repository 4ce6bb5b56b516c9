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


_SPATIAL, _RECIPROCAL = "With --method spatial", "With --method reciprocal"
_OF_SPATIAL = (
    "query_local", "database_local", "shortlist", "score", "inlier_threshold", "max_scale_change",
    "update",
)  # fmt: skip
_OF_RECIPROCAL = ("queries", "database", "graph", "k1", "k2", "mixture")


@dataclass(frozen=True, kw_only=True)
class RerankOptions(DeviceOptions, UpdateOptions):
    """Re-order each ranking, by spatial verification or by common neighbours (ranking)."""

    COMMAND: ClassVar = Command("rerank", "rrtool.stages.diffusion.rerank", "§4.3.5–4.3.6")
    ranking: str = argument("The ranking to re-order, from search.")
    method: str = option(
        "spatial",
        "What re-orders it: spatial verifies the head of each ranking by local features; "
        "reciprocal looks at which images are each other's neighbours (k-reciprocal encoding).",
        choices=("spatial", "reciprocal"),
    )
    query_local: str | None = artifact(
        None, "Local features of the queries, from detect-local.", panel=_SPATIAL
    )
    database_local: str | None = artifact(
        None, "Local features of the database, from detect-local.", panel=_SPATIAL
    )
    queries: str | None = artifact(None, "Descriptors of the queries.", panel=_RECIPROCAL)
    database: str | None = artifact(None, "Descriptors of the database.", panel=_RECIPROCAL)
    graph: str | None = artifact(
        None,
        "The database's neighbours, from build-graph; by default they are searched.",
        panel=_RECIPROCAL,
    )
    k1: int | None = option(
        None,
        "Neighbours among which images must be mutual; by default a tenth of the images, 20 at "
        "most.",
        least=1, most=1000, panel=_RECIPROCAL,
    )  # fmt: skip
    k2: int | None = option(
        None,
        "Nearest images, the image itself among them, whose encodings are averaged; by default 0.3 "
        "of --k1.",
        least=1, most=1000, panel=_RECIPROCAL,
    )  # fmt: skip
    mixture: float = option(
        0.5, "Share of the descriptors' own similarity.", least=0, most=1, panel=_RECIPROCAL
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
        others: tuple[str, ...] = _OF_RECIPROCAL
        needed: tuple[str, ...] = ("query_local", "database_local")
        if self.method == "reciprocal":
            others, needed = _OF_SPATIAL, ("queries", "database")
        for name in needed:
            if getattr(self, name) is None:
                raise OptionError(
                    f"missing {self.typed(name)}", option=name,
                    expected=f"what --method {self.method} re-orders by",
                )  # fmt: skip
        for each in fields(self):
            name = each.name
            if name in others and getattr(self, name) != each.default:
                raise OptionError(
                    f"{self.typed(name)} does not go with --method {self.method}", option=name,
                    found=getattr(self, name), todo="leave it out, or choose the other --method",
                )  # fmt: skip

    def settings(self) -> dict[str, Any]:
        """See ``Options``: those of the method alone."""
        others = ("method", *_OF_RECIPROCAL)
        return {name: value for name, value in super().settings().items() if name not in others}
