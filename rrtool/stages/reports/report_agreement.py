"""The page of an agreement study: ``rrtool report`` of an ``al-agreement`` artifact."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rrtool.artifacts import AlAgreement, open_artifact
from rrtool.progress import Progress
from rrtool.reports.agreement_page import Scatter, render
from rrtool.stages.reports.options import ReportOptions
from rrtool.stages.reports.text_output import write_text

# What is read of each entry of its facts.
_Types = dict[str, type | tuple[type, ...]]
_NUMBER = (int, float, type(None))
_PAIR: _Types = {"first": str, "second": str, "spearman": _NUMBER}
_ROW: _Types = {"strategy": str, "n_images": int} | dict.fromkeys(
    ("share", "weighted", "accuracy", "accuracy_reference", "accuracy_agree", "accuracy_disagree",
     "accuracy_disagree_reference", "weight_agree", "weight_disagree"), _NUMBER
)  # fmt: skip
_SHARE, _LEAST, _MOST = 0.05, 500, 10_000  # of the images in a plot (figure 3.6: 5 %)


def write(options: ReportOptions, output: Path, progress: Progress) -> None:
    """Write table 3.4 and the scatter plots of ranks of every two strategies as one HTML page.

    The images in the plots are a sample drawn with the study's seed: 5 %, at least 500.

    Raises:
        RrtoolError: the study is damaged, or the output cannot be written.
    """
    with open_artifact(options.artifacts[0], AlAgreement) as study:
        for entry, types in (("agreement", _ROW), ("correlations", _PAIR)):
            for row in study.extra[entry]:
                study.attributes.require("extra", row, types)
        write_text(output, render(study.extra, _scatters(study), _facts(study)))
        progress.message(f"{len(study.extra['correlations'])} plots of ranks")


def _scatters(study: AlAgreement) -> Iterator[Scatter]:
    n = study.lengths["u"]
    n_shown = min(n, max(_LEAST, min(_MOST, round(_SHARE * n))))
    generator = np.random.default_rng(study.options["seed"])
    shown = np.sort(generator.choice(n, n_shown, replace=False))
    for pair in study.extra["correlations"]:
        ranks = [study.ranks_of(pair[side])[shown] for side in ("first", "second")]
        yield Scatter(pair["first"], pair["second"], np.stack(ranks, 1), n, pair["spearman"])


def _facts(study: AlAgreement) -> dict[str, str]:
    options, extra = study.options, study.extra
    cycle = extra.get("cycle")
    return {
        "reference": options["reference"],
        "cycle": "–" if cycle is None else str(cycle),
        "labelled before": str(extra["n_labeled"]),
        "acquired by each": str(options["budget"]),
        "unlabelled images": str(extra["n_pool"]),
        "neighbours in the graph": str(options["k"]),
        "iterations of label propagation": f"at most {options['max_iter']}",
        "made": study.created,
    }
