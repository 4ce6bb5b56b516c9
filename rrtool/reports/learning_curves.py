"""Learning curves as one HTML page: the figure (thesis figs. 3.2–3.5) and the table (table 3.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from rrtool.reports.document import document, facts_list, table
from rrtool.reports.document import text_of as text
from rrtool.reports.line_chart import Line, Vertex, line_chart

# Names as the thesis has them; the order of its tables.
STRATEGY_TITLES = {
    "random": "Random",
    "entropy": "Uncertainty",
    "coreset": "CoreSet",
    "ceal": "CEAL",
    "jlp": "jLP",
}
PLAIN = "labels alone"
VARIANTS = ("", "PRE", "SEMI", "PRE + SEMI")
# Legible on light and dark ground, and apart for colour-blind eyes (Okabe and Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9")
_DASHES = ("2 4", "8 4", "12 4 2 4", "")
_STYLE = """
figure { margin: 1rem 0; } .scroll { overflow-x: auto; }
svg { max-width: 100%; height: auto; font: 13px system-ui, sans-serif; fill: var(--ink); }
svg:hover .line { opacity: .2; } svg .line:hover { opacity: 1; } .line { cursor: default; }
.axis, .grid { stroke: var(--line); } .faint { fill: var(--faint); }
td.cycle { font-weight: 600; padding-top: .8rem; text-align: left; } td.best { font-weight: 700; }
.dash { stroke: var(--ink); }
"""


@dataclass(frozen=True)
class Point:
    """Accuracy after one cycle.

    Attributes:
        cycle: its number.
        n_labels: mean over seeds.
        mean, deviation: of the accuracy over seeds; the deviation of one seed is None.
        n_seeds: that got so far.
    """

    cycle: int
    n_labels: float
    mean: float
    deviation: float | None
    n_seeds: int

    def score(self, most: int) -> str:
        """Such as ``70.06±12.87``; fewer seeds than ``most`` are said in brackets."""
        deviation = "" if self.deviation is None else f"±{100 * self.deviation:.2f}"
        return f"{100 * self.mean:.2f}{deviation}" + (
            f" ({self.n_seeds})" if self.n_seeds < most else ""
        )


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
            present = [point for point in found if point]
            if present:
                rows.append(
                    ScoreRow(
                        cycle,
                        present[0].n_labels,
                        strategy_title(strategy),
                        [point.score(most) if point else "–" for point in found],
                        [
                            point is not None and _is_best(point.mean, means[variant, cycle])
                            for variant, point in zip(variants, found, strict=True)
                        ],
                    )
                )
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
    body = chain(_table(curves), [facts_list(facts)], _made(curves, curve_facts))
    return document(title, _figure(curves), body, style=_STYLE)


def _figure(curves: Sequence[Curve]) -> str:
    strategies = list(dict.fromkeys(curve.strategy for curve in curves))
    lines = []
    for curve in curves:
        colour = strategies.index(curve.strategy) % len(_COLOURS)
        vertices = [
            Vertex(p.n_labels, 100 * p.mean, 100 * (p.deviation or 0.0), _tooltip(curve, p))
            for p in curve.points
        ]
        dash = _DASHES[VARIANTS.index(curve.variant)]
        lines.append(Line(curve.title, _COLOURS[colour], dash, vertices))
    ticks = {p.n_labels: f"{p.n_labels:g}" for curve in curves for p in curve.points}
    chart = line_chart(lines, ticks, "labels", "accuracy, %", ceiling=100.0)
    return (
        f"<figure>{chart}<figcaption>Accuracy on the held-out images against the number of labels, "
        "one point a cycle; bars: one standard deviation over seeds.</figcaption></figure>\n"
    )


def _tooltip(curve: Curve, point: Point) -> str:
    seeds = f"{point.n_seeds} seed" + ("s" if point.n_seeds > 1 else "")
    return (
        f"{curve.title}, cycle {point.cycle}, {point.n_labels:g} labels: {point.score(0)} ({seeds})"
    )


def _table(curves: Sequence[Curve]) -> Iterator[str]:
    variants, rows = score_rows(curves)
    heads = "".join(
        f'<th scope="col">{text(variant or "labels alone")}</th>' for variant in variants
    )
    yield '<div class="scroll"><table>\n<thead><tr><th scope="col">accuracy, %</th>'
    yield f"{heads}</tr></thead>\n<tbody>\n"
    cycle = None
    for row in rows:
        if row.cycle != cycle:
            cycle = row.cycle
            yield (
                f'<tr><td class="cycle" colspan="{len(variants) + 1}">Cycle {cycle}: '
                f"{row.n_labels:g} labels</td></tr>\n"
            )
        cells = "".join(
            f"<td{' class=best' if best else ''}>{text(cell)}</td>"
            for cell, best in zip(row.cells, row.best, strict=True)
        )
        yield f"<tr><td>{text(row.strategy)}</td>{cells}</tr>\n"
    yield "</tbody>\n</table></div>\n"


def _made(curves: Sequence[Curve], curve_facts: Sequence[Mapping[str, str]]) -> Iterator[str]:
    columns = list(dict.fromkeys(key for facts in curve_facts for key in facts))
    rows = [
        [curve.title, *(facts.get(column, "") for column in columns)]
        for curve, facts in zip(curves, curve_facts, strict=True)
    ]
    yield '<h2>Runs</h2>\n<div class="scroll">' + table(["method", *columns], rows) + "</div>\n"
