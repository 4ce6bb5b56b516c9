"""``rrtool report --figures``: the thesis's figures of artifacts and photos, as one page."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.reports.figures_page import Figure, render_figures
from rrtool.reports.pictures import tell_missing
from rrtool.stages.reports.figures import (
    channels,
    inliers,
    mixture,
    patches,
    pooling,
    precision,
    regional,
    sweeps,
)
from rrtool.stages.reports.figures.given import Given, Missing
from rrtool.stages.reports.options import ALL, FIGURES, ReportOptions
from rrtool.stages.reports.text_output import write_text

_MAKERS: Mapping[str, Callable[[Given], Figure]] = {
    "2.7": pooling.figure,
    "4.2": channels.figure,
    "4.6": inliers.figure,
    "5.3": mixture.figure,
    "5.4": patches.figure,
    "5.5": sweeps.figure_of_features,
    "5.7": precision.figure,
    "5.8": sweeps.figure_of_objects,
    "5.10": regional.figure,
}


def write(options: ReportOptions, output: Path, progress: Progress) -> dict[str, Any]:
    """Write the figures that the artifacts allow, and of the others what they lack.

    Returns:
        The numbers of the figures that were made, and what the others lack.

    Raises:
        RrtoolError: none of them can be made, or one that is asked for cannot, or the page cannot
            be written.
    """
    asked = options.figures or ()
    wanted = FIGURES if ALL in asked else asked
    with ExitStack() as stack:
        given = Given(options, stack)
        made, missing = _made(given, wanted, progress)
        if not made or (missing and ALL not in asked):
            raise UsageError(
                "cannot be made of these: " + ", ".join(f"figure {number}" for number in missing),
                expected="; ".join(dict.fromkeys(missing.values())),
            )
        facts = {"artifacts": ", ".join(options.artifacts)}
        write_text(output, render_figures(made, missing, facts=facts))
        if options.images is not None:
            tell_missing(progress, given.pictures)
    left_out = f", without {', '.join(missing)}" if missing else ""
    progress.message(f"{len(made)} figures{left_out}")
    return {"made": [figure.number for figure in made], "missing": missing}


def _made(
    given: Given, numbers: tuple[str, ...], progress: Progress
) -> tuple[list[Figure], dict[str, str]]:
    """The figures, and what the others lack."""
    made, missing = [], {}
    with progress.task("figures", len(numbers), "figures") as advance:
        for number in numbers:
            try:
                made.append(_MAKERS[number](given))
            except Missing as lacks:
                missing[number] = f"needs {lacks}"
            advance(1)
    return made, missing
