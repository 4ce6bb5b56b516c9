"""``rrtool report`` of trainings for retrieval: loss and score of every epoch, as one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rrtool.artifacts import Training, open_artifact
from rrtool.progress import Progress
from rrtool.reports.document import render
from rrtool.reports.line_chart import COLOURS, MARKERS, Line, Vertex, line_chart
from rrtool.stages.reports.options import ReportOptions
from rrtool.stages.reports.text_output import write_text

_SCORE = "mean_average_precision"
_NUMBER = (int, float)
# What is read of each epoch; before the first there is a score alone.
_ENTRY: Mapping[str, Any] = {"epoch": int}
_LEARNT: Mapping[str, Any] = {"loss": _NUMBER, "n_tuples": _NUMBER, "learning_rate": _NUMBER}
_CHARTS = (
    (_SCORE, "mAP, %", 100.0, "mAP of photos that are held out, each asking for the others of its "
     "group. Epoch 0 is the network before training."),
    ("loss", "loss", 1.0, "Mean loss of the tuples of an epoch. Negatives are mined anew in each, "
     "so that it need not fall."),
    ("exponent", "ω", 1.0, "Exponent of GeM pooling; of one a channel their mean."),
)  # fmt: skip
_COLUMNS: Mapping[str, Callable[[float], str]] = {
    "epoch": lambda value: f"{value:d}",
    "loss": lambda value: f"{value:.4f}",
    _SCORE: lambda value: f"{100 * value:.2f}",
    "exponent": lambda value: f"{value:.4f}",
    "n_tuples": lambda value: f"{value:.0f}",
    "learning_rate": lambda value: f"{value:.3g}",
    "seconds": lambda value: f"{value:.1f}",
}
_TITLES = {_SCORE: "mAP, %", "n_tuples": "tuples", "learning_rate": "learning rate"}


def write(options: ReportOptions, output: Path, progress: Progress) -> dict[str, Any]:
    """Write the page; several trainings share its charts.

    Returns:
        What it shows, JSON-compatible.

    Raises:
        RrtoolError: a record is damaged, or the output cannot be written.
    """
    runs = []
    for path in options.artifacts:
        with open_artifact(path, Training) as training:
            runs.append((path, _log_of(training), _facts(training)))
    charts = []
    for name, y_title, factor, caption in _CHARTS:
        lines = [
            Line(Path(path).name, COLOURS[i % len(COLOURS)], "", list(MARKERS)[i % len(MARKERS)],
                 _vertices(log, name, factor))
            for i, (path, log, _) in enumerate(runs)
        ]  # fmt: skip
        if any(line.vertices for line in lines):
            ticks = {float(v.x): f"{v.x:g}" for line in lines for v in line.vertices}
            charts.append((line_chart(lines, ticks), y_title, caption))
    shown = [_run(path, log, facts) for path, log, facts in runs]
    title = "Training for retrieval"
    write_text(output, render("training.html", title=title, charts=charts, runs=shown))
    return {"trainings": [{"path": path, "log": log} for path, log, _ in runs]}


def _log_of(training: Training) -> list[dict[str, Any]]:
    log = training.extra["log"]
    for entry in log:
        training.attributes.require("extra", entry, _ENTRY)
        needed = {_SCORE: _NUMBER} if entry["epoch"] == 0 else _LEARNT
        training.attributes.require("extra", entry, needed)
        known = {name: _NUMBER for name in _COLUMNS if name in entry}
        training.attributes.require("extra", entry, known)
    return log


def _vertices(log: Sequence[Mapping[str, Any]], name: str, factor: float) -> list[Vertex]:
    found = []
    for entry in log:
        if name in entry:
            value = factor * entry[name]
            tooltip = f"epoch {entry['epoch']}: {value:.4g}"
            found.append(Vertex(entry["epoch"], value, value, value, tooltip))
    return found


def _facts(training: Training) -> dict[str, str]:
    options = training.options
    return {
        "photos": ", ".join(r.path for r in training.inputs if r.role in ("images", "tuples"))
        + f", {training.lengths['n']} of them",
        "held out": str(int((training.held_out >= 0).sum())),
        "could not be read": str(int(training.status.sum())),
        "network": f"{training.network.get('name')}, from {training.network.get('weights')}",
        "options": ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in options.items()
            if value not in (None, [])
        ),
        "weights are of epoch": str(training.extra["best_epoch"]),
        "made": training.created,
    }  # fmt: skip


def _run(path: str, log: Sequence[Mapping[str, Any]], facts: dict[str, str]) -> dict[str, Any]:
    names = [name for name in _COLUMNS if any(name in entry for entry in log)]
    rows = [[_COLUMNS[name](e[name]) if name in e else "" for name in names] for e in log]
    columns = [_TITLES.get(name, name) for name in names]
    return {"title": Path(path).name, "facts": facts, "columns": columns, "rows": rows}
