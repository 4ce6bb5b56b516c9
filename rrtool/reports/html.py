"""What all HTML pages share: one self-contained document, escaped texts, embedded pictures."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from html import escape

from PIL import Image

from rrtool import __version__
from rrtool.errors import printable

_JPEG_QUALITY = 85

_STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1b1b1f; --faint: #66666e;
  --line: #d9d9df; --card: #f5f5f8; --accent: #1d5fb4; }
@media (prefers-color-scheme: dark) { :root { --ground: #16161a; --ink: #ececf1;
  --faint: #a0a0aa; --line: #3a3a42; --card: #212127; --accent: #7db4ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 1.5rem; background: var(--ground);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .75rem; } h2 { font-size: 1.1rem; margin: 1.4rem 0 .5rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid var(--line);
  text-align: right; } th:first-child, td:first-child { text-align: left; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
"""


def document(title: str, generator: str, style: str, body: Iterable[str]) -> Iterator[str]:
    """A page, piece by piece; it refers to nothing outside itself.

    Args:
        generator: what the page says it was made by, so that a later run may replace it.
        style: CSS after the common one.
        body: HTML.
    """
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="generator" content="{generator} {__version__}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}{style}</style>\n</head>\n<body>\n"
        f"<h1>{text(title)}</h1>\n"
    )
    yield from body
    yield "</body>\n</html>\n"


def text(content: object) -> str:
    """Escaped for HTML; what cannot be printed is escaped too (``errors.printable``)."""
    return escape(printable(content), quote=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of texts."""
    head = "".join(f'<th scope="col">{text(column)}</th>' for column in columns)
    lines = ("".join(f"<td>{text(cell)}</td>" for cell in row) for row in rows)
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def picture(image: Image.Image, alt: str) -> str:
    """The image embedded: losslessly where it is small, for JPEG would blur its few pixels."""
    content = io.BytesIO()
    kind = "png" if max(image.size) <= 64 else "jpeg"
    image.save(content, kind, quality=_JPEG_QUALITY)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    return f'<img alt="{text(alt)}" src="data:image/{kind};base64,{data}">'
