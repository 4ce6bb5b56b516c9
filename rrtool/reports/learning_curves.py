"""Learning curves as one HTML page: the figure (thesis figs. 3.2–3.5) and the table (table 3.3)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rrtool.reports.document import render
from rrtool.reports.line_chart import COLOURS, MARKERS, Line, Vertex, line_chart

# Names as the thesis has them; the order of its tables.
STRATEGY_TITLES = {
    "random": "Random", "entropy": "Uncertainty", "coreset": "CoreSet", "ceal": "CEAL",
    "jlp": "jLP", "margin": "Margin", "typiclust": "TypiClust", "probcover": "ProbCover",
    "badge": "BADGE", "dropquery": "DropQuery",
}  # fmt: skip
PLAIN = "labels alone"
_LEAST_SPAN = 5.0  # of the accuracies, in per cent: one point has no scale of its own
VARIANTS = ("", "PRE", "SEMI", "PRE + SEMI")
# What all are compared with, in the colour of the text.
_REFERENCE, _INK = "random", "var(--ink)"
_DASHES = ("2 4", "8 4", "12 4 2 4", "")


@dataclass(frozen=True)
class Point:
    """Accuracy after one cycle.

    Attributes:
        cycle: its number.
        n_labels: mean over seeds.
        mean, deviation: of the accuracy over seeds; the deviation of one seed is None.
        n_seeds: that got so far.
        interval: one deviation to either side of the mean; of one seed, where its true accuracy
            lies with 95 % by the number of held-out images (``wilson``).
    """

    cycle: int
    n_labels: float
    mean: float
    deviation: float | None
    n_seeds: int
    interval: tuple[float, float]

    def score(self, most: int) -> str:
        """Such as ``70.06±12.87``; fewer seeds than ``most`` are said in brackets."""
        deviation = "" if self.deviation is None else f"±{100 * self.deviation:.2f}"
        return f"{100 * self.mean:.2f}{deviation}" + (
            f" ({self.n_seeds})" if self.n_seeds < most else ""
        )


def wilson(share: float, n: int) -> tuple[float, float]:
    """The interval of Wilson's score that holds the share of a population with 95 %.

    >>> [round(end, 3) for end in wilson(0.5, 100)]
    [0.404, 0.596]

    Args:
        share: of a sample of ``n``; none says nothing.
    """
    if n < 1:
        return 0.0, 1.0
    z = 1.959964
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return centre - half, centre + half


@dataclass(frozen=True)
class Curve:
    """One method.

    Attributes:
        strategy: of the acquisition, as on the command line.
        variant: one of ``VARIANTS``.
        points: by cycle.
    """

    strategy: str
    variant: str
    points: Sequence[Point]

    @property
    def title(self) -> str:
        return " + ".join(filter(None, (strategy_title(self.strategy), self.variant)))


def strategy_title(strategy: str) -> str:
    """The thesis's name; a strategy that changed from cycle to cycle is named as it is."""
    return STRATEGY_TITLES.get(strategy, strategy)


@dataclass(frozen=True)
class ScoreRow:
    """A row of table 3.3: one strategy after one cycle, one cell a variant.

    Attributes:
        cycle, n_labels: where it belongs.
        strategy: title of the strategy.
        cells: texts, by the variants of ``score_rows``.
        best: which cells hold the best mean of their column in this cycle; none where all are
            alike, as in cycle 0 of strategies that begin with the same labels.
    """

    cycle: int
    n_labels: float
    strategy: str
    cells: list[str]
    best: list[bool]


def score_rows(curves: Sequence[Curve]) -> tuple[list[str], list[ScoreRow]]:
    """The table: the variants that occur, and its rows by cycle, then strategy."""
    variants = [v for v in VARIANTS if any(curve.variant == v for curve in curves)]
    strategies = list(dict.fromkeys(curve.strategy for curve in curves))
    points = {(c.strategy, c.variant, p.cycle): p for c in curves for p in c.points}
    most = max((point.n_seeds for point in points.values()), default=0)
    means: dict[tuple[str, int], set[float]] = {}
    for (_, variant, cycle), point in points.items():
        means.setdefault((variant, cycle), set()).add(point.mean)
    rows = []
    for cycle in sorted({key[2] for key in points}):
        for strategy in strategies:
            found = [points.get((strategy, variant, cycle)) for variant in variants]
            n_labels = next((point.n_labels for point in found if point), None)
            if n_labels is not None:
                cells = [point.score(most) if point else "–" for point in found]
                best = [
                    point is not None and _is_best(point.mean, means[variant, cycle])
                    for variant, point in zip(variants, found, strict=True)
                ]
                rows.append(ScoreRow(cycle, n_labels, strategy_title(strategy), cells, best))
    return variants, rows


def _is_best(mean: float, means: set[float]) -> bool:
    return len(means) > 1 and mean == max(means)


def render_curves(
    title: str,
    curves: Sequence[Curve],
    facts: Mapping[str, str],
    curve_facts: Sequence[Mapping[str, str]],
) -> Iterator[str]:
    """The HTML, piece by piece.

    Args:
        facts: what all curves share.
        curve_facts: what each was made with, one mapping a curve.
    """
    variants, rows = score_rows(curves)
    made_columns = list(dict.fromkeys(key for made in curve_facts for key in made))
    return render(
        "curves.html", title=title, facts=facts, chart=_chart(curves), score_rows=rows,
        has_reference=any(curve.strategy == _REFERENCE for curve in curves),
        variants=[variant or PLAIN for variant in variants], made_columns=["method", *made_columns],
        made_rows=[
            [curve.title, *(made.get(column, "") for column in made_columns)]
            for curve, made in zip(curves, curve_facts, strict=True)
        ],
    )  # fmt: skip


def _chart(curves: Sequence[Curve]) -> dict[str, Any]:
    strategies = list(dict.fromkeys(c.strategy for c in curves if c.strategy != _REFERENCE))
    lines = []
    for curve in curves:
        colour, marker = _INK, "circle"
        if curve.strategy != _REFERENCE:  # those of one colour differ in their markers
            turn, place = divmod(strategies.index(curve.strategy), len(COLOURS))
            colour, marker = COLOURS[place], list(MARKERS)[turn % len(MARKERS)]
        vertices = [
            Vertex(
                p.n_labels, 100 * p.mean, 100 * p.interval[0], 100 * p.interval[1],
                _tooltip(curve, p),
            )
            for p in curve.points
        ]  # fmt: skip
        dash = _DASHES[VARIANTS.index(curve.variant)]
        lines.append(Line(curve.title, colour, dash, marker, vertices))
    ticks = {p.n_labels: f"{p.n_labels:g}" for curve in curves for p in curve.points}
    return line_chart(lines, ticks, bounds=(0.0, 100.0), least_span=_LEAST_SPAN)


def _tooltip(curve: Curve, point: Point) -> str:
    seeds = f"{point.n_seeds} seed" + ("s" if point.n_seeds > 1 else "")
    low, high = (100 * end for end in point.interval)
    between = f", {low:.1f} to {high:.1f}" if high > low and point.n_seeds == 1 else ""
    return (
        f"{curve.title}, cycle {point.cycle}, {point.n_labels:g} labels: {point.score(0)}{between} "
        f"({seeds})"
    )
