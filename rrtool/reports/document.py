"""What all pages share: one self-contained HTML document, its style, escaping, inlined pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape

from PIL import Image

from rrtool.errors import printable
from rrtool.version import VERSION

GENERATOR = "rrtool report"
_JPEG_QUALITY = 82
_SMALL = 64  # pixels

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1b1f; --faint: #66666e;
  --line: #d9d9df; --card: #f5f5f8; --accent: #1d5fb4; --right: #0b7a33; --wrong: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ground: #16161a; --ink: #ececf1;
  --faint: #a0a0aa; --line: #3a3a42; --card: #212127; --accent: #7db4ff; --right: #5fd38a;
  --wrong: #ff8a80; } }
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
.row { display: flex; flex-wrap: wrap; gap: .5rem; }
figure { margin: 0; font-size: .78rem; } img { display: block; max-width: 100%; }
img.small { image-rendering: pixelated; }
.missing { display: grid; place-items: center; color: var(--faint); text-align: center; }
.name { display: block; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; color: var(--faint); }
.warning { border-left: 4px solid var(--wrong); padding-left: .7rem; }
"""


def document(
    title: str,
    header: str,
    sections: Iterable[str],
    *,
    style: str = "",
    warning: str = "",
    generator: str = GENERATOR,
) -> Iterator[str]:
    """The HTML of a page, piece by piece; it refers to nothing outside itself.

    Args:
        title: of the page, shown at its top.
        header: HTML below the title.
        sections: HTML of the page's body.
        style: CSS beyond what all pages share.
        warning: a line that must not be overlooked, or empty.
        generator: what the page says it was made by, so that a later run may replace it.
    """
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{generator} {VERSION}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text_of(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
    )
    yield f"<header>\n<h1>{text_of(title)}</h1>\n"
    if warning:
        yield f'<p class="warning">{text_of(warning)}</p>\n'
    yield f"{header}</header>\n<main>\n"
    yield from sections
    yield "</main>\n</body>\n</html>\n"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a head."""
    head = "".join(f'<th scope="col">{text_of(column)}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{text_of(cell)}</td>" for cell in row) + "</tr>\n" for row in rows
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def facts_list(facts: Mapping[str, str]) -> str:
    """Terms and what they are; nothing where there are none."""
    if not facts:
        return ""
    entries = "".join(f"<dt>{text_of(k)}</dt><dd>{text_of(v)}</dd>\n" for k, v in facts.items())
    return f"<dl>\n{entries}</dl>\n"


def image_tag(picture: Image.Image | None, alt: str) -> str:
    """A picture inlined; a box that says so where there is none.

    A small one is kept as it is and shown pixel by pixel: JPEG would blur its few pixels.
    """
    if picture is None:
        return f'<div class="missing" role="img" aria-label="{text_of(alt)}">no picture</div>'
    is_small = max(picture.size) <= _SMALL
    kind, attributes = ("png", ' class="small"') if is_small else ("jpeg", "")
    content = io.BytesIO()
    picture.save(content, kind, quality=_JPEG_QUALITY)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    attributes += f' width="{picture.width}" height="{picture.height}"'
    return f'<img{attributes} alt="{text_of(alt)}" src="data:image/{kind};base64,{data}">'


def text_of(text: object) -> str:
    """Text for HTML: what would be taken for markup, or cannot be printed, is escaped."""
    return escape(printable(text), quote=True)
