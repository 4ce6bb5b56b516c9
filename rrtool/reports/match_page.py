"""One self-contained HTML page: queries, what was found for them, and the matches drawn."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from PIL import Image

from rrtool import __version__
from rrtool.errors import printable

GENERATOR = "rrtool report"
RIGHT, WRONG, NOT_COUNTED = "right", "wrong", "junk"
_MARKS = {RIGHT: "✓", WRONG: "✗", NOT_COUNTED: "–"}
_MARK_TEXTS = {RIGHT: "right", WRONG: "wrong", NOT_COUNTED: "not counted"}
_JPEG_QUALITY = 82

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1b1f; --faint: #66666e;
  --line: #d9d9df; --card: #f5f5f8; --right: #0b7a33; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #16161a; --ink: #ececf1;
  --faint: #a0a0aa; --line: #3a3a42; --card: #212127; --right: #5fd38a; --wrong: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 1.5rem; background: var(--ground);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .75rem; } h2 { font-size: 1.1rem; margin: 0 0 .6rem; }
h3 { font-size: .9rem; margin: .9rem 0 .35rem; color: var(--faint); font-weight: 600; }
h2, figcaption, td, dd { overflow-wrap: anywhere; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line);
  text-align: right; } th:first-child, td:first-child { text-align: left; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }
dt { color: var(--faint); } dd { margin: 0; }
section { border-top: 1px solid var(--line); padding: 1.3rem 0; }
.query { display: grid; grid-template-columns: 220px 1fr; gap: 1.2rem; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; }
figure { margin: 0; font-size: .78rem; } img { display: block; max-width: 100%; }
.found { background: var(--card); border: 3px solid var(--line); padding: 3px; width: 120px; }
.found.small { width: 78px; font-size: .66rem; border-width: 2px; }
.found img, .missing { width: 100%; height: 84px; object-fit: contain; }
.found.small img, .small .missing { height: 52px; }
.missing { display: grid; place-items: center; color: var(--faint); text-align: center; }
.right { border-color: var(--right); } .wrong { border-color: var(--wrong); }
.right .mark { color: var(--right); } .wrong .mark { color: var(--wrong); }
.mark { font-weight: 700; } .name { display: block; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; color: var(--faint); }
.match { margin-top: .9rem; } .match figcaption { margin-top: .3rem; font-size: .85rem; }
.warning { border-left: 4px solid var(--wrong); padding-left: .7rem; }
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
    """The HTML, piece by piece; it refers to nothing outside itself.

    Names may hold any characters: what HTML would take for markup is escaped, and so is what
    cannot be printed (see ``errors.printable``).
    """
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{GENERATOR} {__version__}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(page.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
    )
    yield f"<header>\n<h1>{_text(page.title)}</h1>\n"
    if page.warning:
        yield f'<p class="warning">{_text(page.warning)}</p>\n'
    yield _score_table(page)
    yield _facts(page.facts)
    yield "</header>\n<main>\n"
    for result in page.results:
        yield _section(result)
    yield "</main>\n</body>\n</html>\n"


def _score_table(page: Page) -> str:
    if not page.score_rows:
        return ""
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in page.score_columns)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>\n"
        for row in page.score_rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n"


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    entries = "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>\n" for k, v in facts.items())
    return f"<dl>\n{entries}</dl>\n"


def _section(result: QueryResult) -> str:
    note = f"<p>{_text(result.note)}</p>\n" if result.note else ""
    verified = any(entry.n_inliers is not None for entry in result.found)
    title = "Found, after spatial verification" if verified else "Found"
    ranked = f"<h3>{title}</h3>\n{_row(result.found, small=False)}"
    if result.before:
        ranked += f"<h3>Before verification, by similarity</h3>\n{_row(result.before, small=True)}"
    return (
        f'<section>\n<h2>{_text(result.name)}</h2>\n<div class="query">\n<figure>'
        f"{_image(result.picture, f'query {result.name}')}<figcaption>the query</figcaption>"
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
        f'<figure class="{classes}">{_image(entry.picture, alt)}<figcaption>{mark}'
        f'{inliers}{entry.similarity:.3f}<span class="name" title="{_text(entry.name)}">'
        f"{_text(entry.name)}</span></figcaption></figure>\n"
    )


def _match(result: QueryResult) -> str:
    if result.match is None:
        return ""
    drawing, caption = result.match
    return (
        f'<figure class="match">{_image(drawing, caption)}'
        f"<figcaption>{_text(caption)}</figcaption></figure>\n"
    )


def _image(picture: Image.Image | None, alt: str) -> str:
    if picture is None:
        return f'<div class="missing" role="img" aria-label="{_text(alt)}">no picture</div>'
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=_JPEG_QUALITY)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    size = f'width="{picture.width}" height="{picture.height}"'
    return f'<img {size} alt="{_text(alt)}" src="data:image/jpeg;base64,{data}">'


def _text(text: str) -> str:
    return escape(printable(text), quote=True)
