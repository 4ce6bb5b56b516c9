"""Figures 5.5 and 5.8: mAP by each parameter of FS.EGM and of OS.EGM."""

from typing import Any

from rrtool.artifacts import Features, Ranking
from rrtool.core.evaluation.evaluation import retrieval_scores
from rrtool.reports.figures_page import Chart, Figure
from rrtool.reports.line_chart import COLOURS, MARKERS, Line, Vertex
from rrtool.stages.reports.figures.given import Given, Missing

_SYMBOLS = {"rho": "ρ", "sigma": "σ", "theta": "θ", "overlap": "τ", "whole": "share"}
_MAKING = "pipelines/discovery.mk varies one parameter at a time"
Settings = dict[str, Any]


def figure_of_features(given: Given) -> Figure:
    """mAP of FS.EGM by ρ and by σ."""
    return _figure(given, "5.5", "FS.EGM")


def figure_of_objects(given: Given) -> Figure:
    """mAP of OS.EGM by σ and by ρ."""
    return _figure(given, "5.8", "OS.EGM")


def _figure(given: Given, number: str, described_by: str) -> Figure:
    runs = _runs(given, described_by)
    by_parameter = varied(runs)
    if not by_parameter:
        raise Missing(
            f"rankings of {described_by} of several parameters, and their features; {_MAKING}"
        )
    base = runs[0][0]
    charts = [_chart(_SYMBOLS[name], values) for name, values in by_parameter.items()]
    fixed = ", ".join(f"{_SYMBOLS[name]} = {base[name]:g}" for name in by_parameter)
    return Figure(
        number, f"mAP by the parameters of {described_by}",
        f"Every parameter is varied by itself, the others being those of the first run: {fixed}. "
        "ρ is the power to which a map is raised, which takes weak clutter away; σ is the variance "
        "of the sample at each position, in square cells: larger ones give larger regions; the "
        "share is that of the whole photo in the descriptor. Where a line is flat the parameter "
        "does not matter to this collection.",
        charts=charts,
    )  # fmt: skip


def _runs(given: Given, described_by: str) -> list[tuple[Settings, dict[str, float]]]:
    """The parameters of each plain ranking so described, and its mAP by setup."""
    found = []
    for ranking in given.all(Ranking):
        description = ranking.extra["description"]
        made = description.get("described_by"), description.get("method")
        if made != (described_by, "global"):
            continue
        features = given.made_from(ranking, "database", Features)
        if features is not None:
            scores = {
                setup: retrieval_scores(
                    ranking.ids, queries, protocol="", setup=setup
                ).mean_average_precision
                for setup, queries in given.truth(ranking).items()
            }
            found.append((features.options, scores))
    return found


def varied(
    runs: list[tuple[Settings, dict[str, float]]],
) -> dict[str, list[tuple[float, dict[str, float]]]]:
    """Of each parameter that differs from the first run alone: its values, and the scores."""
    found: dict[str, dict[float, dict[str, float]]] = {}
    for settings, scores in runs[1:]:
        base = runs[0][0]
        different = [key for key in base if settings.get(key) != base[key]]
        if len(different) == 1 and different[0] in _SYMBOLS:
            name = different[0]
            values = found.setdefault(name, {base[name]: runs[0][1]})
            values.setdefault(settings[name], scores)
    return {name: sorted(values.items()) for name, values in found.items()}


def _chart(symbol: str, values: list[tuple[float, dict[str, float]]]) -> Chart:
    setups = list(values[0][1])
    lines = [
        Line("mAP" if setup == "all" else setup, COLOURS[i], "", list(MARKERS)[i % 3], [
            Vertex(value, 100 * scores[setup], 100 * scores[setup], 100 * scores[setup],
                   f"{symbol} = {value:g}: {100 * scores[setup]:.2f}")
            for value, scores in values
        ])
        for i, setup in enumerate(setups)
    ]  # fmt: skip
    return Chart(symbol, "mAP, %", lines, {value: f"{value:g}" for value, _ in values})
