"""Options of detect-local and rerank (thesis ch. 4)."""

from dataclasses import MISSING, dataclass
from typing import ClassVar

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


@dataclass(frozen=True, kw_only=True)
class RerankOptions(DeviceOptions, UpdateOptions):
    """Verify the head of each ranking spatially and re-order it (ranking)."""

    COMMAND: ClassVar = Command("rerank", "rrtool.stages.matching.rerank", "§4.3.5–4.3.6")
    ranking: str = argument("The ranking to verify, from search.")
    query_local: str = artifact(MISSING, "Local features of the queries, from detect-local.")
    database_local: str = artifact(MISSING, "Local features of the database, from detect-local.")
    shortlist: int = option(100, "Entries of each ranking that are verified.", least=1)
    score: str = option(
        "fused",
        "What re-orders them: fused takes similarity and matches together, inliers counts the "
        "matches that agree, as the thesis does.",
        choices=("fused", "inliers"),
    )
    inlier_threshold: float = option(
        2.0, "Largest distance at which a match agrees, in cells of the database's activation map.",
        above=0, most=1_000_000,
    )  # fmt: skip
    max_scale_change: float = option(
        3.0, "Largest factor by which a match may grow or shrink the object.",
        least=1, most=1_000_000,
    )  # fmt: skip
    update: bool = again(
        UpdateOptions, "update", False,
        help="Bring a ranking up to date whose inputs have changed: a query is kept whose own "
        "local features are the same and those and the similarities of its whole shortlist. Keeps "
        "a digest of these in the ranking for it.",
    )  # fmt: skip
