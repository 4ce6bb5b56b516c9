"""What the page of rankings shows: queries, what was found for them, and the matches drawn."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from rrtool.reports.document import render
from rrtool.reports.drawing import BOX_COLOUR, distinct_colours
from rrtool.reports.picture_store import ShownPicture
from rrtool.reports.verified_match import MAX_DRAWN, DrawnMatch, Sheet

RIGHT, WRONG, NOT_COUNTED = "right", "wrong", "junk"


@dataclass(frozen=True)
class Score:
    """What orders the hits, in words.

    Attributes:
        name: of it.
        meaning: what it is made of; empty where the name says all.
        absent: why a hit has none.
        form: how it is written.
    """

    name: str
    meaning: str = ""
    absent: str = ""
    form: str = "%.2f"


@dataclass(frozen=True)
class ShownHit:
    """One hit of a query.

    Attributes:
        rank: 1 for the best.
        name: of the image.
        mark: ``RIGHT``, ``WRONG``, ``NOT_COUNTED``, or None without a ground truth.
        score: what orders it; None where it has none, as behind those that were verified.
        similarity: of the descriptors.
        rank_by_similarity: its rank in that order.
        n_inliers: of the spatial verification; None where it was not verified.
        is_match: whether these are enough.
        sheet: the pictures of the query and of the image.
        match: what is drawn on the sheet; None where nothing is.
        box: x0, y0, x1, y1 of the region that matches, in pixels of the picture of the image; None
            where it is not known, or all of it.
    """

    rank: int
    name: str
    mark: str | None
    score: float | None
    similarity: float
    rank_by_similarity: int
    n_inliers: int | None
    is_match: bool
    sheet: Sheet
    match: DrawnMatch | None = None
    box: tuple[float, float, float, float] | None = None

    @property
    def picture(self) -> ShownPicture | None:
        return self.sheet.second

    @property
    def meaning(self) -> str:
        """Of the mark; empty without one."""
        return {RIGHT: "right", WRONG: "wrong", NOT_COUNTED: "not counted"}.get(self.mark or "", "")

    @property
    def spoken(self) -> str:
        """The name, and what the mark shows to those who see it."""
        return f"{self.meaning}: {self.name}" if self.mark else self.name


@dataclass(frozen=True)
class QueryResult:
    """A query and what was found for it.

    Attributes:
        name: of the query image.
        picture: None where the image cannot be read.
        box: x0, y0, x1, y1 of the query in pixels of the picture; None for all of it.
        hits: best first.
        own: the images that are the query itself and therefore no hits.
        note: such as the average precision.
        new_pictures: those that this result shows and none before it, with their numbers.
    """

    name: str
    picture: ShownPicture | None
    box: tuple[float, float, float, float] | None
    hits: Sequence[ShownHit]
    own: Sequence[str] = ()
    note: str = ""
    new_pictures: Sequence[tuple[int, Image.Image]] = ()

    @property
    def was_verified(self) -> bool:
        return any(hit.n_inliers is not None for hit in self.hits)

    @property
    def n_matches(self) -> int:
        return sum(hit.is_match for hit in self.hits)


def render_page(**values: Any) -> Iterator[str]:
    """The HTML, piece by piece; see ``document.render``.

    Args:
        values: ``results`` (of ``QueryResult``), ``score`` (``Score``), ``rule``: with
            ``min_inliers`` and ``addition``, what makes a match; ``score_columns`` and
            ``score_rows``: a table, perhaps of no rows, whose rows are a title and the cells.
    """
    return render(
        "matches.html", colours=distinct_colours(MAX_DRAWN), box_colour=BOX_COLOUR, **values
    )
