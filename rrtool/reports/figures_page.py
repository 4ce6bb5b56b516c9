"""The page of figures of the thesis: pictures in rows, line charts, and what each shows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from rrtool.reports.document import render
from rrtool.reports.line_chart import Line, line_chart
from rrtool.reports.overlay import css_gradient


@dataclass(frozen=True)
class Outline:
    """What is drawn over a picture: SVG path data in its pixels, and a CSS colour."""

    path: str
    colour: str


@dataclass(frozen=True)
class View:
    """A picture of a figure.

    Attributes:
        caption: below it.
        picture: None where it cannot be read.
        outlines: drawn over it.
        frame: CSS colour of a border; none where empty.
    """

    caption: str
    picture: Image.Image | None
    outlines: Sequence[Outline] = ()
    frame: str = ""


@dataclass(frozen=True)
class Chart:
    """A line chart of a figure.

    Attributes:
        x_title, y_title: of the axes.
        lines: what is drawn.
        ticks: labels of the abscissa, by value.
        bounds: of the ordinate.
    """

    x_title: str
    y_title: str
    lines: Sequence[Line]
    ticks: Mapping[float, str]
    bounds: tuple[float, float] = (0.0, 100.0)

    def drawn(self) -> dict[str, Any]:
        """What ``templates/line_chart.html`` draws."""
        return line_chart(self.lines, self.ticks, bounds=self.bounds, least_span=1.0)


@dataclass(frozen=True)
class Figure:
    """A figure of the thesis, of other images.

    Attributes:
        number: in the thesis.
        title: what it is of.
        caption: what is seen, in whole sentences.
        rows: of pictures.
        charts: below them.
        columns, cells: of a table below these.
        has_scale: whether the colours of saliency occur, and need their legend.
    """

    number: str
    title: str
    caption: str
    rows: Sequence[Sequence[View]] = ()
    charts: Sequence[Chart] = ()
    columns: Sequence[str] = ()
    cells: Sequence[Sequence[str]] = field(default_factory=list)
    has_scale: bool = False


def render_figures(
    figures: Sequence[Figure], missing: Mapping[str, str], **values: Any
) -> Iterator[str]:
    """The HTML, piece by piece; see ``document.render``.

    Args:
        missing: what the figures that could not be made lack, by number.
    """
    return render(
        "figures.html", title="Figures of the thesis", figures=figures, missing=missing,
        gradient=css_gradient(), **values,
    )  # fmt: skip
