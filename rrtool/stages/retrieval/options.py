"""Options of extract, search, whiten and reduce-regions (thesis ch. 2)."""

from dataclasses import MISSING, dataclass
from typing import ClassVar

from rrtool.errors import OptionError, UsageError
from rrtool.options import (
    Command,
    OutputOptions,
    SeedOptions,
    UpdateOptions,
    again,
    argument,
    artifact,
    option,
)
from rrtool.stages.activations.options import BoxesOptions, NetworkOptions, OverImagesOptions

# A class token takes the place of pooling.
CLASS_TOKEN = "cls"  # noqa: S105 - no password
# Rankings of a database up to this size are whole: those of Oxford and Paris are evaluated so.
WHOLE_UP_TO, DEFAULT_TOP = 8000, 1000
POOLINGS = ("gem", "mac", "spoc", "rmac", "crow", CLASS_TOKEN)


@dataclass(frozen=True, kw_only=True)
class ExtractOptions(BoxesOptions, NetworkOptions, OverImagesOptions):
    """Describe every image, or every box, by one l2-normalised vector (features).

    What else ``extract`` takes out of the same pass: ``stages.extraction.options``.
    """

    COMMAND: ClassVar = Command("extract", "rrtool.stages.extraction.extract", "§2.5, §4.4.1")
    pool: str | None = option(
        None,
        "Pooling of the activation maps, or cls for a transformer's class token; by default the "
        "checkpoint's own, else gem.",
        choices=POOLINGS, panel="Descriptor",
    )  # fmt: skip
    gem_exponent: float | None = option(
        None, "Exponent ω of GeM; by default the checkpoint's own, else 3.",
        above=0, most=100, panel="Descriptor",
    )  # fmt: skip
    whitening: str = option(
        "auto",
        "Whitening that the network carries: auto applies it if there is exactly one, none "
        "applies none, any other text names the set that it was learnt on.",
        panel="Descriptor",
    )
    center: str | None = artifact(
        None,
        "Whiten about the same mean as these features: give it for queries, with the features of "
        "the database. By default the mean is that of the images themselves, where the whitening "
        "is the one that comes with rrtool.",
    )
    region_whitening: str | None = artifact(
        None,
        "Whiten each region of R-MAC before they are added up, by this whitening, from whiten fit "
        "on features of --pool mac; the sum is then not whitened by the checkpoint.",
    )
    regions: int | None = option(
        None,
        "Describe regions in place of whole images, placed as by R-MAC at so many levels "
        "(regions).",
        least=1, most=10, panel="Descriptor",
    )  # fmt: skip

    zoom: int | None = option(
        None,
        "Show the network each region of --regions alone, its longer side at so many pixels, in "
        "place of a part of the map of the whole image: what surrounds a small thing then has no "
        "part in its descriptor. Takes the place of --scales.",
        least=1, most=4096, panel="Descriptor",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.zoom is not None and self.regions is None:
            raise OptionError("--zoom has no effect alone", option="zoom", todo="give --regions")
        if self.zoom is not None and self.scales is not None:
            raise UsageError("--zoom and --scales do not go together", found="--scales")
        if self.pool == CLASS_TOKEN and self.regions is not None:
            raise UsageError("--pool cls has no maps", found="--regions", todo="use another --pool")
        if self.region_whitening is not None:
            if self.regions is not None:
                what = "--region-whitening is for regions that are added up"
                raise UsageError(what, found="--regions", todo="use whiten apply on them")
            if self.whitening not in ("auto", "none"):
                what = "--region-whitening and --whitening do not go together"
                raise UsageError(what, found=f"--whitening {self.whitening}")


@dataclass(frozen=True, kw_only=True)
class SearchOptions(UpdateOptions):
    """Rank the database by cosine similarity to each query (ranking)."""

    COMMAND: ClassVar = Command("search", "rrtool.stages.retrieval.search", "§2.5")
    queries: str = argument("Features or regions of the queries.")
    database: str = argument("Features or regions of the database.")
    top: int | None = option(
        None,
        f"Entries that each ranking keeps; by default the whole database of up to {WHOLE_UP_TO} "
        f"images, and {DEFAULT_TOP} of a larger one.",
        least=1,
    )
    expand: int = option(
        0, "Average each query with so many of its nearest images and search again; 0 does not.",
        least=0, panel="Expansion",
    )  # fmt: skip
    expand_alpha: float = option(
        0.0, "Weigh what is averaged by similarity to this power; 0 weighs all alike.",
        least=0, most=100, panel="Expansion",
    )  # fmt: skip
    augment: int = option(
        0, "Average each database image with so many of its nearest first; 0 does not.",
        least=0, panel="Expansion",
    )  # fmt: skip
    regional: bool = option(
        False, "Accept nothing but regions on both sides; the ranking is the same without.",
        shapes=False,
    )  # fmt: skip

    update: bool = again(
        UpdateOptions, "update", False,
        help="Bring a ranking up to date whose queries or database have changed: queries that are "
        "the same are compared with new descriptors of the database alone, and searched anew where "
        "they have lost a hit. Keeps a digest of each descriptor in the ranking for it.",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.expand_alpha and not (self.expand or self.augment):
            raise OptionError(
                "--expand-alpha has no effect alone", option="expand_alpha",
                todo="give --expand or --augment",
            )  # fmt: skip

    def top_of(self, n_images: int) -> int | None:
        """Entries that each ranking of so many images keeps; None for all."""
        return self.top or (None if n_images <= WHOLE_UP_TO else DEFAULT_TOP)

    def method(self) -> str:
        """In words, such as ``global + DBA 5 + AQE 10``."""
        weights = f" (α {self.expand_alpha:g})" if self.expand_alpha else ""
        prefix = "α" if self.expand_alpha else "A"
        steps = ["global"]
        if self.augment:
            steps.append(f"DBA {self.augment}{weights}")
        if self.expand:
            steps.append(f"{prefix}QE {self.expand}{weights}")
        return " + ".join(steps)


WHITENING_METHODS = ("supervised", "pca", "center")


@dataclass(frozen=True, kw_only=True)
class WhitenFitOptions(OutputOptions):
    """Learn a whitening from features and matching images (whitening)."""

    COMMAND: ClassVar = Command(
        "whiten fit", "rrtool.stages.retrieval.whiten_fit", "§5.3.5, eq. 5.11–5.12"
    )
    features: str = argument(
        "Features that are not whitened, or regions, for a method that needs no matches."
    )
    groups: str | None = option(
        None,
        "Which images match: those of one label, by prefix:REGEX, folder, or a CSV name,label.",
        role="file", panel="Inputs",
    )  # fmt: skip
    pairs: str | None = option(
        None, "Which images match: a CSV of two names a row.", role="file", panel="Inputs"
    )
    method: str = option(
        "supervised",
        "What to learn: supervised by matching images, pca without any, center the mean alone.",
        choices=WHITENING_METHODS,
    )
    dim: int | None = option(None, "Dimensions to keep; by default all.", least=1)
    shrinkage: float | None = option(
        None,
        "Share of the identity in the covariance; by default as much as the number of images "
        "calls for.",
        least=0, most=1,
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        given = [name for name in ("groups", "pairs") if getattr(self, name) is not None]
        if self.method == "supervised" and len(given) != 1:
            raise UsageError(
                "supervised whitening learns from matching images",
                expected="--groups or --pairs",
                found="both" if given else "neither",
            )
        if self.method != "supervised" and given:
            raise UsageError(
                f"--method {self.method} takes no matching images", found=f"--{given[0]}"
            )
        if self.method == "center" and (self.dim, self.shrinkage) != (None, None):
            raise UsageError("--method center has neither --dim nor --shrinkage")


@dataclass(frozen=True, kw_only=True)
class WhitenApplyOptions(OutputOptions):
    """Whiten features or regions (features, regions)."""

    COMMAND: ClassVar = Command(
        "whiten apply", "rrtool.stages.retrieval.whiten_apply", "§5.3.5, eq. 5.11"
    )
    features: str = argument("Features or regions that are not whitened.")
    whitening: str = argument("A whitening, from whiten fit or whiten export.")
    center: str | None = artifact(
        None,
        "Subtract the mean of these features (the database's) in place of the learnt one.",
    )


@dataclass(frozen=True, kw_only=True)
class WhitenExportOptions(OutputOptions):
    """Take a checkpoint's own whitening out of it (whitening)."""

    COMMAND: ClassVar = Command("whiten export", "rrtool.stages.retrieval.whiten_export", "§5.3.5")
    checkpoint: str = argument("A retrieval checkpoint that carries a whitening.", role="file")
    set: str | None = option(
        None,
        "Of several, the whitening learnt on this set; NAME/ss is the form for one scale, NAME/ms "
        "for several.",
    )


@dataclass(frozen=True, kw_only=True)
class ReduceRegionsOptions(SeedOptions, OutputOptions):
    """Describe every image by fewer regions: the means of a Gaussian mixture (regions)."""

    COMMAND: ClassVar = Command(
        "reduce-regions", "rrtool.stages.retrieval.regions.reduce_regions", "§5.4.4, figure 5.10"
    )
    regions: str = argument("Regions, from extract --regions or saliency fs.")
    n_regions: int = option(MISSING, "Regions that an image keeps at most.", least=1)
