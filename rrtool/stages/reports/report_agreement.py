"""The page of an agreement study: ``rrtool report`` of an ``al-agreement`` artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rrtool.artifacts import Artifact, open_artifact
from rrtool.progress import Progress
from rrtool.reports.agreement_page import Scatter, render
from rrtool.stages.reports.text_output import checked_page, write_text

_SHARE, _LEAST, _MOST = 0.05, 500, 10_000  # of the images in a plot (figure 3.6: 5 %)


def run(
    artifact_path: str, output: str | Path, *, overwrite: bool = False, progress: Progress
) -> Path:
    """Write table 3.4 and the scatter plots of ranks of every two strategies as one HTML page.

    The images in the plots are a sample drawn with the study's seed: 5 %, at least 500.

    Args:
        artifact_path: an ``al-agreement`` artifact.
        output: the page; a page of an earlier run is replaced.
        overwrite: replace even a file that is no report.

    Raises:
        RrtoolError: the input is something else, or the output cannot be written.
    """
    output = checked_page(output, overwrite)
    with open_artifact(artifact_path, "al-agreement") as study:
        write_text(output, render(study.extra, _scatters(study), _facts(study)))
    progress.message(f"{len(study.extra['correlations'])} plots of ranks")
    return output


def _scatters(study: Artifact) -> list[Scatter]:
    n = study.shape("pool_ids")[0]
    n_shown = min(n, max(_LEAST, min(_MOST, round(_SHARE * n))))
    generator = np.random.default_rng(study.options["seed"])
    shown = np.sort(generator.choice(n, n_shown, replace=False))
    return [
        Scatter(
            pair["first"],
            pair["second"],
            np.stack([study.read(f"ranks/{pair[side]}")[shown] for side in ("first", "second")], 1),
            n,
            pair["spearman"],
        )
        for pair in study.extra["correlations"]
    ]


def _facts(study: Artifact) -> dict[str, str]:
    options, extra = study.options, study.extra
    return {
        "reference": options["reference"],
        "cycle": "–" if extra["cycle"] is None else str(extra["cycle"]),
        "labelled before": str(extra["n_labeled"]),
        "acquired by each": str(options["budget"]),
        "unlabelled images": str(extra["n_pool"]),
        "neighbours in the graph": str(options["k"]),
        "iterations of label propagation": f"at most {options['max_iter']}",
        "made": study.created,
    }
