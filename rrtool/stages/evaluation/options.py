"""Options of evaluate (thesis §2.5, §5.4.2)."""

from dataclasses import dataclass
from typing import ClassVar

from rrtool.errors import OptionError, UsageError
from rrtool.options import Command, OverwriteOptions, argument, artifact, declarations, option

PROTOCOLS = ("groups", "revisited", "oxford5k", "instre", "holidays", "copydays", "ukbench")
SCORES = ("short", "all")
CUTOFFS = (1, 5, 10)
MOST = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(OverwriteOptions):
    """Score rankings by a protocol, saliency and objects by true boxes (evaluation)."""

    COMMAND: ClassVar = Command(
        "evaluate", "rrtool.stages.evaluation.evaluate", "§2.5, §5.4.2", quick=False
    )
    rankings: tuple[str, ...] = argument(
        "One or more rankings, or with --boxes saliency or regions, or objects; all of one kind."
    )
    ground_truth: str | None = option(
        None,
        "What each query should find, or what photos with objects show: prefix:REGEX, folder, a "
        "CSV name,label, a benchmark's .pkl or .mat (revisited, classic, INSTRE, Holidays), an "
        "Oxford5k folder, or the name of a benchmark whose images' own names say it: holidays, "
        "copydays, ukbench.",
        role="file", panel="Inputs",
    )  # fmt: skip
    boxes: str | None = option(
        None,
        "Score saliency, regions, objects or where the hits of a ranking match by these true boxes "
        "of what is in the images: a CSV name,x0,y0,x1,y1 in pixels, or one of the other forms "
        "that extract takes.",
        role="file", panel="Inputs",
    )  # fmt: skip
    query_local: str | None = artifact(
        None,
        "Local features of the queries of a verified ranking; with --boxes and those of the "
        "database, say whether what was matched lies on the object.",
    )
    database_local: str | None = artifact(
        None, "Local features of the database of a verified ranking, see --query-local."
    )
    protocol: str | None = option(
        None, "Rules of the scores; by default those that the ground truth comes with.",
        choices=PROTOCOLS, shapes=False,
    )  # fmt: skip
    scores: str = option(
        "short",
        "Which scores of a ranking to give: short, mAP and mP@k; all, also mAP@k and recall@k of "
        "the first k entries, and microAP of all pairs of a query and an entry by their score.",
        choices=SCORES,
    )  # fmt: skip
    at: tuple[int, ...] = option(
        CUTOFFS, "The values of k of the scores at k, in entries.", least=1, most=MOST
    )
    audit: bool = option(
        False,
        "Say beside the scores of rankings what the same rankings score under the known other "
        "readings of the protocol.",
    )
    output: str | None = option(
        None, "Write the scores of every query to this artifact too.",
        role="output", shapes=False, panel="Output", flags=("--output", "-o"),
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if not self.rankings:
            raise UsageError("no ranking to evaluate")
        if self.ground_truth is None and self.boxes is None:
            raise UsageError("say what to score by", expected="--ground-truth or --boxes")
        local = [path for path in (self.query_local, self.database_local) if path is not None]
        if len(local) == 1:
            raise UsageError("--query-local and --database-local go together")
        if local and self.boxes is None:
            raise UsageError("--query-local and --database-local have no effect without --boxes")

    def require_defaults(self, kind: str) -> None:
        """What is for rankings alone must not be given with others.

        Raises:
            OptionError: it is.
        """
        for name in ("protocol", "scores", "at", "audit", "query_local", "database_local"):
            if getattr(self, name) != declarations(type(self))[name].default:
                raise OptionError(f"{self.typed(name)} is for rankings", option=name, found=kind)
