"""``rrtool report``: artifacts as one HTML page."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrtool.artifacts import (
    AlAgreement,
    AlState,
    Artifact,
    Objects,
    Ranking,
    Saliency,
    Training,
    Tuples,
    open_artifact,
)
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.reports import report_agreement, report_learning, report_ranking, report_saliency
from rrtool.stages.reports.curves import report_training
from rrtool.stages.reports.mined import report_tuples
from rrtool.stages.reports.options import ReportOptions
from rrtool.stages.reports.text_output import checked_page

_WRITERS = {
    Ranking: report_ranking.write,
    Saliency: report_saliency.write,
    Objects: report_saliency.write,
    AlState: report_learning.write,
    AlAgreement: report_agreement.write,
    Tuples: report_tuples.write,
    Training: report_training.write,
}
_TOGETHER = (AlState, Training)  # kinds of which a page shows several
# Options that pages of some kinds take: these kinds, in words and by name.
_TAKEN_BY: dict[str, tuple[str, tuple[str, ...]]] = {
    **dict.fromkeys(
        ("query_images", "query_local", "database_local", "verified", "ground_truth"),
        ("a ranking", ("ranking",)),
    ),
    **dict.fromkeys(("objects", "regions", "boxes"), ("saliency", ("saliency",))),
    "images": ("rankings, saliency and tuples", ("ranking", "saliency", "objects", "tuples")),
}
_TAKEN_BY_FIGURES = {"images", "ground_truth", "boxes"}


@dataclass(frozen=True)
class Page:
    """A page that was written.

    Attributes:
        path: of the page.
        data: what it shows, JSON-compatible; of learning curves, and of figures their numbers.
    """

    path: Path
    data: dict[str, Any] = field(default_factory=dict)


def run(options: ReportOptions, progress: Progress) -> Page:
    """Show a ranking, saliency, objects, curves, an agreement, tuples, or figures as a page.

    A page of an earlier run is replaced.

    Raises:
        RrtoolError: the artifacts cannot be shown together, or the page cannot be written.
    """
    output = checked_page(options.output, options.overwrite)
    if options.figures is not None:
        _check_taken_by_figures(options)
        from rrtool.stages.reports.figures import figures  # which brings torch

        return Page(output, figures.write(options, output, progress))
    kind = _kind_of(options.artifacts)
    _check_taken(options, kind.KIND)
    return Page(output, _WRITERS[kind](options, output, progress) or {})


def _kind_of(paths: tuple[str, ...]) -> type[Artifact]:
    """The kind of the artifacts.

    Raises:
        RrtoolError: they are of several kinds, or several of a kind that makes a page alone.
    """
    with open_artifact(paths[0], *_WRITERS) as first:
        kind = type(first)
    for path in paths[1:]:
        with open_artifact(path, kind):
            pass
    if kind not in _TOGETHER and len(paths) > 1:
        raise UsageError(
            "a page shows one such artifact", expected=f"one {kind.KIND}", found=len(paths)
        )
    return kind


def _check_taken_by_figures(options: ReportOptions) -> None:
    """What figures do not take is not passed over."""
    for name in _TAKEN_BY:
        value = getattr(options, name)
        if name not in _TAKEN_BY_FIGURES and value is not None:
            what = f"{options.typed(name)} does not go with --figures"
            raise UsageError(what, found=value, todo="give artifacts as arguments")


def _check_taken(options: ReportOptions, kind: str) -> None:
    """Options go with the kinds that take them, and pictures need ``--images``."""
    for name, (words, kinds) in _TAKEN_BY.items():
        value = getattr(options, name)
        if value is not None and kind not in kinds:
            raise UsageError(f"{options.typed(name)} goes with {words}", found=value)
    if options.images is None and kind in _TAKEN_BY["images"][1]:
        raise UsageError(
            f"this {kind} is shown with its images", where=options.artifacts[0], expected="--images"
        )
