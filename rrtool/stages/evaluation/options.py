"""Options of evaluate (thesis §2.5, §5.4.2)."""

from dataclasses import dataclass
from typing import ClassVar

from rrtool.errors import UsageError
from rrtool.options import Command, OverwriteOptions, argument, option

PROTOCOLS = ("groups", "revisited", "oxford5k", "instre", "holidays", "copydays", "ukbench")
SCORES = ("short", "all")
CUTOFFS = (1, 5, 10)
MOST = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(OverwriteOptions):
    """Score rankings by a protocol, or saliency by true boxes, side by side (evaluation)."""

    COMMAND: ClassVar = Command(
        "evaluate", "rrtool.stages.evaluation.evaluate", "§2.5, §5.4.2", quick=False
    )
    rankings: tuple[str, ...] = argument(
        "One or more rankings; with --boxes, saliency or regions that have their maps."
    )
    ground_truth: str | None = option(
        None,
        "What each query should find: prefix:REGEX, folder, a CSV name,label, a benchmark's .pkl "
        "or .mat (revisited, classic, INSTRE, Holidays), an Oxford5k folder, or the name of a "
        "benchmark whose images' own names say it: holidays, copydays, ukbench.",
        role="file", panel="Inputs",
    )  # fmt: skip
    boxes: str | None = option(
        None,
        "Score saliency by these true boxes of the objects: a CSV name,x0,y0,x1,y1 in pixels, or "
        "one of the other forms that extract takes.",
        role="file", panel="Inputs",
    )  # fmt: skip
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
    output: str | None = option(
        None, "Write the scores of every query to this artifact too.",
        role="output", shapes=False, panel="Output", flags=("--output", "-o"),
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if not self.rankings:
            raise UsageError("no ranking to evaluate")
        if (self.ground_truth is None) == (self.boxes is None):
            raise UsageError("say what to score by", expected="--ground-truth or --boxes")
