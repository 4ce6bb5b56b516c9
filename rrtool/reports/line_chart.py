"""A line chart with error bars: what ``templates/line_chart.html`` draws as inline SVG."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_WIDTH, _HEIGHT = 1040, 520
_LEFT, _TOP, _RIGHT, _BOTTOM = 78, 18, 255, 54
_DODGE = 3.0  # pixels between lines at one abscissa, so that their error bars stay apart
_LEGEND_STEP = 21
# Legible on light and dark ground, and apart for colour-blind eyes (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#e69f00", "#cc79a7", "#56b4e9")


@dataclass(frozen=True)
class Vertex:
    """A point of a line.

    Attributes:
        x, y: its place.
        low, high: ends of its bar; both ``y`` without one.
        tooltip: what is said about it.
        label: written beside it.
    """

    x: float
    y: float
    low: float
    high: float
    tooltip: str
    label: str = ""


@dataclass(frozen=True)
class Line:
    """A line: its name in the legend, its CSS colour, its SVG dashes, its markers, its points."""

    title: str
    colour: str
    dash: str
    marker: str
    vertices: Sequence[Vertex]


# Of one area, around the origin, as SVG paths.
MARKERS: Mapping[str, str] = {
    "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z",
    "square": "M-3.5 -3.5h7v7h-7z",
    "diamond": "M0 -5l5 5l-5 5l-5 -5z",
}


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
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    least_span: float = 0.0,
) -> dict[str, Any]:
    """The places of all that is drawn, in pixels; both axes fit the data, error bars included.

    Args:
        ticks: labels of the abscissa by value.
        bounds: no value lies beyond them, and error bars end there.
        least_span: of the ordinate, where the values differ by less.
    """
    vertices = [vertex for line in lines for vertex in line.vertices]
    low = max(min((v.low for v in vertices), default=0.0), bounds[0])
    high = min(max((v.high for v in vertices), default=1.0), bounds[1])
    levels = _levels(*_widened(low, high, least_span, bounds))
    height = max(_HEIGHT, _TOP + _LEGEND_STEP * len(lines) + _BOTTOM)
    margin = _DODGE * len(lines) / 2 + 8
    x = _Scale(
        min(ticks, default=0), max(ticks, default=1),
        _LEFT + margin, _WIDTH - _RIGHT - margin,
    )  # fmt: skip
    y = _Scale(levels[0], levels[-1], height - _BOTTOM, _TOP)
    return {
        "width": _WIDTH,
        "height": height,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "top": _TOP,
        "bottom": height - _BOTTOM,
        "legend_step": _LEGEND_STEP,
        "levels": [(y(level), level) for level in levels],
        "ticks": [(x(value), label) for value, label in _apart(x, ticks)],
        "lines": [
            {
                "title": line.title,
                "colour": line.colour,
                "dash": line.dash,
                "marker": MARKERS[line.marker],
                "points": [
                    {
                        "x": x(v.x) + _DODGE * (i - (len(lines) - 1) / 2),
                        "y": y(v.y),
                        "low": y(max(v.low, bounds[0])),
                        "high": y(min(v.high, bounds[1])),
                        "has_bar": v.high > v.low,
                        "tooltip": v.tooltip,
                        "label": v.label,
                    }
                    for v in line.vertices
                ],
            }
            for i, line in enumerate(lines)
        ],
    }


def _widened(
    low: float, high: float, least: float, bounds: tuple[float, float]
) -> tuple[float, float]:
    """An interval at least so wide around the same middle, moved between the bounds."""
    if high - low >= least:
        return low, high
    start = min(max((low + high - least) / 2, bounds[0]), bounds[1] - least)
    return start, start + least


def _levels(low: float, high: float) -> list[float]:
    """Round values around both ends, five to ten steps apart."""
    span = max(high - low, 1e-9)
    magnitude = 10.0 ** np.floor(np.log10(span / 5))
    step = next(m * magnitude for m in (1, 2, 5, 10) if span / (m * magnitude) <= 8)
    first, last = np.floor(low / step), np.ceil(high / step)
    return [float(round(i * step, 9)) for i in range(int(first), int(max(last, first + 1)) + 1)]


def _apart(x: _Scale, ticks: Mapping[float, str]) -> list[tuple[float, str]]:
    """Ticks whose labels do not run into the one before."""
    kept: list[tuple[float, str]] = []
    for value in sorted(ticks):
        if not kept or x(value) - x(kept[-1][0]) > 8 * len(ticks[value]) + 6:
            kept.append((value, ticks[value]))
    return kept
