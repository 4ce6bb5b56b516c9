"""One self-contained HTML page: table 3.4 and the scatter plots of ranks (figure 3.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from rrtool.reports.document import document, facts_list, table, text_of

_SIDE = 300  # of a plot, in units of the drawing
_MARGIN = 34

_STYLE = """
:root { --dot: #1f5fae; }
@media (prefers-color-scheme: dark) { :root { --dot: #86b6f5; } }
p { color: var(--faint); }
.plots { display: flex; flex-wrap: wrap; gap: 1.2rem; } svg { width: 340px; max-width: 100%; }
svg text { fill: var(--faint); font-size: 13px; } .frame { fill: none; stroke: var(--line); }
.dots { fill: none; stroke: var(--dot); stroke-width: 2.6; stroke-linecap: round;
  stroke-opacity: .55; }
"""


@dataclass(frozen=True)
class Scatter:
    """Ranks of the same images by two strategies.

    Attributes:
        first, second: the strategies, across and up.
        ranks: ``(m, 2)`` of the images shown.
        n_images: that were ranked.
        correlation: Spearman's, of all of them; None where it is not defined.
    """

    first: str
    second: str
    ranks: np.ndarray
    n_images: int
    correlation: float | None


def table_rows(extra: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows of table 3.4 and of the correlations, for people.

    Shares are floats in [0, 1] or None, weights and correlations text.

    Args:
        extra: of an ``al-agreement`` artifact.
    """
    agreement = [
        {
            "strategy": row["strategy"],
            "agree": row["share"],
            "agree, weighted": row["weighted"],
            "accuracy": row["accuracy"],
            "reference": row["accuracy_reference"],
            "accuracy =": row["accuracy_agree"],
            "accuracy ≠": row["accuracy_disagree"],
            "reference ≠": row["accuracy_disagree_reference"],
            "weight =": _number(row["weight_agree"]),
            "weight ≠": _number(row["weight_disagree"]),
            "images": row["n_images"],
        }
        for row in extra["agreement"]
    ]
    correlations = [
        {"ranks of": row["first"], "and of": row["second"], "Spearman": _number(row["spearman"])}
        for row in extra["correlations"]
    ]
    return agreement, correlations


def render(
    extra: Mapping[str, Any], scatters: Sequence[Scatter], facts: Mapping[str, str]
) -> Iterator[str]:
    """The page, piece by piece.

    Args:
        extra: of an ``al-agreement`` artifact.
        scatters: the plots, in order.
        facts: how it was made, in words.
    """
    sections = chain(_pseudo_labels(extra), _ranks(scatters))
    return document(
        "Agreement of acquisition strategies", facts_list(facts), sections, style=_STYLE
    )


def _pseudo_labels(extra: Mapping[str, Any]) -> Iterator[str]:
    agreement, _ = table_rows(extra)
    yield "<section>\n<h2>Pseudo-labels</h2>\n"
    yield (
        "<p>In per cent. Images that neither strategy acquired and both propagations reach; "
        "= where their pseudo-labels agree, ≠ where not; accuracy and weights by the mean of "
        "both certainties.</p>\n"
    )
    rows = [[_cell(value) for value in row.values()] for row in agreement]
    yield table(list(agreement[0]), rows) + "</section>\n"


def _ranks(scatters: Sequence[Scatter]) -> Iterator[str]:
    yield "<section>\n<h2>Ranks</h2>\n<p>1 is what a strategy would take first.</p>\n"
    yield '<div class="plots">\n'
    for scatter in scatters:
        yield _plot(scatter)
    yield "</div>\n</section>\n"


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.2f}" if isinstance(value, float) else str(value)


def _plot(scatter: Scatter) -> str:
    inner = _SIDE - _MARGIN
    places = (scatter.ranks - 1) / max(1, scatter.n_images - 1) * inner
    across, up = _MARGIN + places[:, 0], inner - places[:, 1]
    # A path of strokes without length, rounded at their ends: the shortest way to write dots.
    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(across, up, strict=True))
    title = (
        f"{scatter.first} and {scatter.second}: Spearman {_number(scatter.correlation)}, "
        f"{len(scatter.ranks)} of {scatter.n_images} images"
    )
    return (
        f'<figure><svg viewBox="0 0 {_SIDE} {_SIDE}" role="img" aria-label="{text_of(title)}">'
        f'<rect class="frame" x="{_MARGIN}" y="0" width="{inner}" height="{inner}"/>'
        f'<path class="dots" d="{dots}"/>'
        f'<text x="{_MARGIN + inner / 2}" y="{_SIDE - 10}" text-anchor="middle">'
        f"rank by {text_of(scatter.first)}</text>"
        f'<text transform="translate(20 {inner / 2}) rotate(-90)" text-anchor="middle">'
        f"rank by {text_of(scatter.second)}</text></svg>"
        f"<figcaption>{text_of(title)}</figcaption></figure>\n"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
