"""One self-contained HTML page: table 3.4 and the scatter plots of ranks (figure 3.6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from rrtool import __version__
from rrtool.errors import printable
from rrtool.reports.match_page import GENERATOR

_SIDE = 300  # of a plot, in units of the drawing
_MARGIN = 34

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1b1f; --faint: #66666e;
  --line: #d9d9df; --dot: #1f5fae; }
@media (prefers-color-scheme: dark) { :root { --ground: #16161a; --ink: #ececf1;
  --faint: #a0a0aa; --line: #3a3a42; --dot: #86b6f5; } }
body { margin: 0 auto; max-width: 1240px; padding: 1.5rem; background: var(--ground);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin: 1.6rem 0 .4rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line);
  text-align: right; } th:first-child, td:first-child { text-align: left; }
p, dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
.plots { display: flex; flex-wrap: wrap; gap: 1.2rem; }
figure { margin: 0; } svg { width: 340px; max-width: 100%; }
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
    agreement, _ = table_rows(extra)
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{GENERATOR} {__version__}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Agreement of acquisition strategies</title>\n<style>{_STYLE}</style>\n"
        "</head>\n<body>\n<h1>Agreement of acquisition strategies</h1>\n"
    )
    entries = "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>\n" for k, v in facts.items())
    yield f"<dl>\n{entries}</dl>\n<h2>Pseudo-labels</h2>\n"
    yield (
        "<p>In per cent. Images that neither strategy acquired and both propagations reach; "
        "= where their pseudo-labels agree, ≠ where not; accuracy and weights by the mean of "
        "both certainties.</p>\n"
    )
    yield _table(agreement)
    yield "<h2>Ranks</h2>\n<p>1 is what a strategy would take first.</p>\n"
    yield '<div class="plots">\n'
    for scatter in scatters:
        yield _plot(scatter)
    yield "</div>\n</body>\n</html>\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f'<th scope="col">{_text(key)}</th>' for key in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{_text(_cell(value))}</td>" for value in row.values()) + "</tr>\n"
        for row in rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


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
        f'<figure><svg viewBox="0 0 {_SIDE} {_SIDE}" role="img" aria-label="{_text(title)}">'
        f'<rect class="frame" x="{_MARGIN}" y="0" width="{inner}" height="{inner}"/>'
        f'<path class="dots" d="{dots}"/>'
        f'<text x="{_MARGIN + inner / 2}" y="{_SIDE - 10}" text-anchor="middle">'
        f"rank by {_text(scatter.first)}</text>"
        f'<text transform="translate(20 {inner / 2}) rotate(-90)" text-anchor="middle">'
        f"rank by {_text(scatter.second)}</text></svg>"
        f"<figcaption>{_text(title)}</figcaption></figure>\n"
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _text(text: str) -> str:
    return escape(printable(text), quote=True)
