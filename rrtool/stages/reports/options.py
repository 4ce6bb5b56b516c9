"""Options of report, inspect and demo."""

from dataclasses import MISSING, dataclass
from typing import ClassVar

from rrtool.errors import OptionError, UsageError
from rrtool.options import Command, Options, SeedOptions, argument, artifact, option
from rrtool.stages.activations.options import NamedNetworkOptions

# Of the thesis, and made of several artifacts each.
FIGURES = ("2.7", "4.2", "4.6", "5.3", "5.4", "5.5", "5.7", "5.8", "5.10")
ALL = "all"


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """Show what artifacts hold as one HTML page: rankings, objects, learning curves, agreement."""

    COMMAND: ClassVar = Command(
        "report", "rrtool.stages.reports.report",
        "figures 2.7, 3.2–3.6, 4.2–4.6, 5.3–5.10; table 3.3",
        quick=False,
    )  # fmt: skip
    artifacts: tuple[str, ...] = argument(
        "A ranking, best from rerank; saliency or objects; mined tuples; an al-agreement; "
        "al-states of any runs; records of train; or, for --figures, artifacts of one collection."
    )
    output: str = option(
        MISSING, "The HTML page to write.",
        role="output", shapes=False, panel="Output", flags=("--output", "-o"),
    )  # fmt: skip
    overwrite: bool = option(
        False, "Replace even a file that is no page of rrtool report.",
        shapes=False, replaces=True, panel="Output",
    )  # fmt: skip
    images: str | None = option(
        None,
        "The images of a ranking's database, or of saliency, objects or tuples: a folder or a "
        "list, as for extract.",
        role="images", panel="Images",
    )  # fmt: skip
    query_images: str | None = option(
        None, "The images of a ranking's queries; by default those of --images.",
        role="images", panel="Images",
    )  # fmt: skip
    max_queries: int = option(
        50, "Show so many queries, or images, evenly spaced over all of them.",
        least=1, panel="Images", flags=("--max-queries", "--max-images"),
    )  # fmt: skip
    query_local: str | None = artifact(
        None, "Local features of a ranking's queries; with those of the database, draw matches."
    )
    database_local: str | None = artifact(
        None, "Local features of a ranking's database; with those of the queries, draw matches."
    )
    verified: str | None = artifact(
        None,
        "Show the matches of this verified ranking, from rerank, beside a ranking of the same "
        "queries that has none, such as one from diffuse.",
    )
    ground_truth: str | None = option(
        None, "Mark what a ranking has right and wrong by this ground truth, as for evaluate.",
        role="file", panel="Inputs",
    )  # fmt: skip
    objects: str | None = artifact(
        None, "Beside saliency show these objects, from discover, of the same regions."
    )
    regions: str | None = artifact(
        None,
        "Beside object saliency show the feature saliency of its regions, from saliency fs "
        "--keep-maps.",
    )
    boxes: str | None = option(
        None, "Draw these true boxes on saliency, as for evaluate.", role="file", panel="Inputs"
    )
    figures: tuple[str, ...] | None = option(
        None,
        "Make these figures of the thesis, such as 4.6,5.7, or all that the artifacts allow. Of "
        "artifacts that serve alike the first counts.",
        choices=(ALL, *FIGURES), panel="Figures",
    )  # fmt: skip
    photo: str | None = option(
        None,
        "The photo that figures of one photo show, by its name in the artifacts; by default the "
        "first with a true box.",
        panel="Figures",
    )

    def check(self) -> None:
        super().check()
        if not self.artifacts:
            raise OptionError("no ARTIFACTS", option="artifacts", expected="one or more paths")
        if (self.query_local is None) != (self.database_local is None):
            raise UsageError(
                "matches need the local features of both sides",
                expected="--query-local and --database-local",
                found="one of the two",
            )
        if self.photo is not None and self.figures is None:
            raise OptionError("--photo goes with --figures", option="photo", found=self.photo)


@dataclass(frozen=True, kw_only=True)
class InspectOptions(Options):
    """Tell what an artifact is, where it comes from, and how many of its rows are good."""

    COMMAND: ClassVar = Command(
        "inspect", "rrtool.stages.reports.inspect", "ch. 2–5", "docs/artifacts.md"
    )
    artifact: str = argument("An artifact of any kind.")
    verify: bool = option(False, "Check that the content is still what was written.", shapes=False)


@dataclass(frozen=True, kw_only=True)
class DemoOptions(NamedNetworkOptions, SeedOptions):
    """Make scenes with planted objects, run the main job on them, and show the result."""

    COMMAND: ClassVar = Command(
        "demo", "rrtool.stages.reports.demo", "ch. 4", "docs/reproduction.md"
    )
    folder: str = argument("Folder for everything that is made.", "demo", role="output")
    short: bool = option(False, "Make fewer and smaller scenes.")
    scenes_only: bool = option(
        False, "Make scenes to measure on, of small objects in clutter, and stop."
    )

    def written(self) -> dict[str, str]:
        return {}  # but a folder
