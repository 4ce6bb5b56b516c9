"""One self-contained HTML page: queries, what was found for them, and the matches drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from rrtool.reports.document import document, facts_list, image_tag, table, text_of

RIGHT, WRONG, NOT_COUNTED = "right", "wrong", "junk"
_MARKS = {RIGHT: "✓", WRONG: "✗", NOT_COUNTED: "–"}
_MARK_TEXTS = {RIGHT: "right", WRONG: "wrong", NOT_COUNTED: "not counted"}

_STYLE = """
.query { display: grid; grid-template-columns: 220px 1fr; gap: 1.2rem; }
.found { background: var(--card); border: 3px solid var(--line); padding: 3px; width: 120px; }
.found.small { width: 78px; font-size: .66rem; border-width: 2px; }
.found img, .found .missing { width: 100%; height: 84px; object-fit: contain; }
.found.small img, .small .missing { height: 52px; }
.right { border-color: var(--right); } .wrong { border-color: var(--wrong); }
.right .mark { color: var(--right); } .wrong .mark { color: var(--wrong); }
.mark { font-weight: 700; }
.match { margin-top: .9rem; } .match figcaption { margin-top: .3rem; font-size: .85rem; }
@media (max-width: 760px) { .query { grid-template-columns: 1fr; } }
"""


@dataclass(frozen=True)
class Found:
    """One entry of a ranking.

    Attributes:
        name: of the image.
        picture: thumbnail; None where the image cannot be read.
        mark: ``RIGHT``, ``WRONG``, ``NOT_COUNTED``, or None without a ground truth.
        similarity: of the descriptors.
        n_inliers: of the spatial verification; None where there was none.
    """

    name: str
    picture: Image.Image | None
    mark: str | None
    similarity: float
    n_inliers: int | None = None


@dataclass(frozen=True)
class QueryResult:
    """A query and what was found for it.

    Attributes:
        name: of the query image.
        picture: with the query's box drawn; None where the image cannot be read.
        found: best first, after verification if there was one.
        before: the order before verification; empty where there was none.
        match: drawing of a verified match, with its caption.
        note: such as the average precision.
    """

    name: str
    picture: Image.Image | None
    found: Sequence[Found]
    before: Sequence[Found] = ()
    match: tuple[Image.Image, str] | None = None
    note: str = ""


@dataclass(frozen=True)
class Page:
    """All that the page shows.

    Attributes:
        title: of the page.
        results: one per query.
        facts: how the rankings were made, shown as they are.
        score_columns, score_rows: the table of scores; no rows, no table.
        warning: a line that must not be overlooked, or empty.
    """

    title: str
    results: Sequence[QueryResult]
    facts: Mapping[str, str] = field(default_factory=dict)
    score_columns: Sequence[str] = ()
    score_rows: Sequence[Sequence[str]] = ()
    warning: str = ""


def render_page(page: Page) -> Iterator[str]:
    """The HTML, piece by piece; see ``document.document``."""
    header = _scores(page) + facts_list(page.facts)
    sections = (_section(result) for result in page.results)
    return document(page.title, header, sections, style=_STYLE, warning=page.warning)


def _scores(page: Page) -> str:
    return table(page.score_columns, page.score_rows) if page.score_rows else ""


def _section(result: QueryResult) -> str:
    note = f"<p>{text_of(result.note)}</p>\n" if result.note else ""
    verified = any(entry.n_inliers is not None for entry in result.found)
    title = "Found, after spatial verification" if verified else "Found"
    ranked = f"<h3>{title}</h3>\n{_row(result.found, small=False)}"
    if result.before:
        ranked += f"<h3>Before verification, by similarity</h3>\n{_row(result.before, small=True)}"
    return (
        f'<section>\n<h2>{text_of(result.name)}</h2>\n<div class="query">\n<figure>'
        f"{image_tag(result.picture, f'query {result.name}')}<figcaption>the query</figcaption>"
        f"</figure>\n<div>\n{note}{ranked}</div>\n</div>\n{_match(result)}</section>\n"
    )


def _row(entries: Sequence[Found], *, small: bool) -> str:
    if not entries:
        return "<p>nothing</p>\n"
    return '<div class="row">\n' + "".join(_found(entry, small) for entry in entries) + "</div>\n"


def _found(entry: Found, small: bool) -> str:
    mark, spoken = "", ""
    if entry.mark is not None:
        spoken = _MARK_TEXTS[entry.mark]
        mark = f'<span class="mark" title="{spoken}">{_MARKS[entry.mark]}</span> '
    inliers = "" if entry.n_inliers is None else f"{entry.n_inliers} inliers, "
    classes = " ".join(filter(None, ("found", "small" if small else "", entry.mark or "")))
    alt = f"{spoken}: {entry.name}" if spoken else entry.name
    return (
        f'<figure class="{classes}">{image_tag(entry.picture, alt)}<figcaption>{mark}'
        f'{inliers}{entry.similarity:.3f}<span class="name" title="{text_of(entry.name)}">'
        f"{text_of(entry.name)}</span></figcaption></figure>\n"
    )


def _match(result: QueryResult) -> str:
    if result.match is None:
        return ""
    drawing, caption = result.match
    return (
        f'<figure class="match">{image_tag(drawing, caption)}'
        f"<figcaption>{text_of(caption)}</figcaption></figure>\n"
    )
