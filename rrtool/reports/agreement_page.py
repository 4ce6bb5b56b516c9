"""One self-contained HTML page: table 3.4 and the scatter plots of ranks (figure 3.6)."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rrtool.reports.document import render as render_document


@dataclass(frozen=True)
class Scatter:
    """Ranks of the same images by two strategies.

    Attributes:
        first, second: the strategies, across and up.
        ranks: ``(m, 2)`` of the images shown.
        n_images: that were ranked.
        correlation: Spearman's, of all of them; None where it is not defined.
        side, margin, inner: of the plot, in units of the drawing.
    """

    first: str
    second: str
    ranks: np.ndarray
    n_images: int
    correlation: float | None
    side: ClassVar[int] = 300
    margin: ClassVar[int] = 34
    inner: ClassVar[int] = 300 - 34

    @property
    def title(self) -> str:
        return (
            f"{self.first} and {self.second}: Spearman {_number(self.correlation)}, "
            f"{len(self.ranks)} of {self.n_images} images"
        )

    def dots(self) -> str:
        """A path of strokes without length, rounded at their ends: dots in the fewest bytes."""
        places = (self.ranks - 1) / max(1, self.n_images - 1) * self.inner
        across, up = self.margin + places[:, 0], self.inner - places[:, 1]
        return "".join(f"M{x:.1f} {y:.1f}h0" for x, y in zip(across, up, strict=True))


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
    extra: Mapping[str, Any], scatters: Iterable[Scatter], facts: Mapping[str, str]
) -> Iterator[str]:
    """The page, piece by piece.

    Args:
        extra: of an ``al-agreement`` artifact.
        scatters: the plots, in order.
        facts: how it was made, in words.
    """
    rows = table_rows(extra)[0]
    return render_document(
        "agreement.html", title="Agreement of acquisition strategies", facts=facts,
        columns=list(rows[0]) if rows else [], scatters=scatters,
        rows=[[_cell(value) for value in row.values()] for row in rows],
    )  # fmt: skip


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.2f}" if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
