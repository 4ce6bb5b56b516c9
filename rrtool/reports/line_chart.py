"""A line chart with error bars as inline SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rrtool.reports.document import text_of as text

_WIDTH, _HEIGHT = 1040, 520
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 18, 255, 54
_DODGE = 3.0  # pixels between lines at one abscissa, so that their error bars stay apart
_MARKER_RADIUS = 4.0
_LEGEND_STEP = 21


@dataclass(frozen=True)
class Vertex:
    """A point of a line: its place, half the length of its bar, and what is said about it."""

    x: float
    y: float
    spread: float
    tooltip: str


@dataclass(frozen=True)
class Line:
    """A line: its name in the legend, its CSS colour, its SVG dashes, its points."""

    title: str
    colour: str
    dash: str
    vertices: Sequence[Vertex]


@dataclass(frozen=True)
class _Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.stop - self.start)


def line_chart(
    lines: Sequence[Line],
    ticks: Mapping[float, str],
    x_title: str,
    y_title: str,
    ceiling: float = np.inf,
) -> str:
    """The chart; both axes fit the data, error bars included.

    Args:
        ticks: labels of the abscissa by value.
        ceiling: no value lies over it, and error bars end there.
    """
    vertices = [vertex for line in lines for vertex in line.vertices]
    levels = _levels(
        min((v.y - v.spread for v in vertices), default=0.0),
        min(max((v.y + v.spread for v in vertices), default=1.0), ceiling),
    )
    height = max(_HEIGHT, _TOP + _LEGEND_STEP * len(lines) + _BOTTOM)
    margin = _DODGE * len(lines) / 2 + 8
    x = _Scale(
        min(ticks, default=0), max(ticks, default=1),
        _LEFT + margin, _WIDTH - _RIGHT - margin,
    )  # fmt: skip
    y = _Scale(levels[0], levels[-1], height - _BOTTOM, _TOP)
    drawn = [_line(line, i - (len(lines) - 1) / 2, x, y, ceiling) for i, line in enumerate(lines)]
    legend = [_legend_entry(line, i) for i, line in enumerate(lines)]
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" role="img" '
        f'aria-label="{text(y_title)} against {text(x_title)}">\n'
        f"{_axes(x, y, ticks, levels)}{_titles(x_title, y_title, height)}"
        f"{''.join(drawn)}{''.join(legend)}</svg>\n"
    )


def _levels(low: float, high: float) -> list[float]:
    """Round values around both ends, five to ten steps apart."""
    span = max(high - low, 1e-9)
    magnitude = 10.0 ** np.floor(np.log10(span / 5))
    step = next(m * magnitude for m in (1, 2, 5, 10) if span / (m * magnitude) <= 8)
    first, last = np.floor(low / step), np.ceil(high / step)
    return [float(round(i * step, 9)) for i in range(int(first), int(max(last, first + 1)) + 1)]


def _axes(x: _Scale, y: _Scale, ticks: Mapping[float, str], levels: Sequence[float]) -> str:
    left, right = _LEFT, _WIDTH - _RIGHT
    bottom = y.start
    parts = [
        f'<line class="grid" x1="{left}" x2="{right}" y1="{y(v):.1f}" y2="{y(v):.1f}"/>'
        f'<text class="faint" x="{left - 8}" y="{y(v) + 4:.1f}" text-anchor="end">{v:g}</text>\n'
        for v in levels
    ]
    parts += [
        f'<line class="axis" x1="{x(v):.1f}" x2="{x(v):.1f}" y1="{bottom}" y2="{bottom + 5}"/>'
        f'<text class="faint" x="{x(v):.1f}" y="{bottom + 20}" text-anchor="middle">'
        f"{text(label)}</text>\n"
        for v, label in _apart(x, ticks)
    ]
    return "".join(parts)


def _apart(x: _Scale, ticks: Mapping[float, str]) -> list[tuple[float, str]]:
    """Ticks whose labels do not run into the one before."""
    kept: list[tuple[float, str]] = []
    for value in sorted(ticks):
        if not kept or x(value) - x(kept[-1][0]) > 8 * len(ticks[value]) + 6:
            kept.append((value, ticks[value]))
    return kept


def _titles(x_title: str, y_title: str, height: int) -> str:
    middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + height - _BOTTOM) / 2
    return (
        f'<text x="{middle_x}" y="{height - 10}" text-anchor="middle">{text(x_title)}</text>\n'
        f'<text transform="translate(15 {middle_y}) rotate(-90)" text-anchor="middle">'
        f"{text(y_title)}</text>\n"
    )


def _line(line: Line, place: float, x: _Scale, y: _Scale, ceiling: float) -> str:
    places = [(x(v.x) + _DODGE * place, y(v.y), v) for v in line.vertices]
    path = " ".join(f"{px:.1f},{py:.1f}" for px, py, _ in places)
    ends = [(y(v.y - v.spread), y(min(v.y + v.spread, ceiling))) for v in line.vertices]
    bars = "".join(
        f'<path d="M{px - 3:.1f} {low:.1f}h6m-3 0V{high:.1f}m-3 0h6" fill="none" opacity=".6"/>'
        for (px, _, v), (low, high) in zip(places, ends, strict=True)
        if v.spread
    )
    markers = "".join(
        f'<circle cx="{px:.1f}" cy="{py:.1f}" r="{_MARKER_RADIUS}" fill="{line.colour}">'
        f"<title>{text(v.tooltip)}</title></circle>"
        for px, py, v in places
    )
    return (
        f'<g class="line" stroke="{line.colour}" stroke-width="1.3">{bars}'
        f'<polyline points="{path}" fill="none" stroke-width="2.2" '
        f'stroke-dasharray="{line.dash}"/>{markers}</g>\n'
    )


def _legend_entry(line: Line, position: int) -> str:
    left, middle = _WIDTH - _RIGHT + 14, _TOP + 8 + _LEGEND_STEP * position
    return (
        f'<line x1="{left}" x2="{left + 52}" y1="{middle}" y2="{middle}" stroke="{line.colour}" '
        f'stroke-width="2.2" stroke-dasharray="{line.dash}"/>'
        f'<circle cx="{left + 26}" cy="{middle}" r="{_MARKER_RADIUS}" fill="{line.colour}"/>'
        f'<text x="{left + 60}" y="{middle + 4}">{text(line.title)}</text>\n'
    )
