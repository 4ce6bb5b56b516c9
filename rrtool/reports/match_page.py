"""One self-contained HTML page: each query, what was found, and the best match drawn."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from rrtool.errors import printable

GENERATOR = '<meta name="generator" content="rrtool report">'
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
section { border-top: 1px solid #8886; padding: 1rem 0; }
ol { display: flex; flex-wrap: wrap; gap: .6rem; list-style: none; padding: 0; }
figure { margin: 0; font-size: .8rem; }
img { max-width: 100%; display: block; }
.right img { outline: 4px solid #2a9d3a; }
.wrong img { outline: 4px solid #c43b3b; }
.matches { margin-top: .8rem; }
"""


@dataclass(frozen=True)
class Entry:
    """One image of a ranking.

    Attributes:
        name: of the image.
        thumbnail: RGB.
        is_right: None where nothing is known.
        caption: under the image.
    """

    name: str
    thumbnail: Image.Image
    is_right: bool | None
    caption: str


@dataclass(frozen=True)
class QueryResult:
    """One query, its ranking, and the drawing of its best match, if there is one."""

    query: Entry
    ranked: Sequence[Entry]
    matches: Entry | None


def render_page(title: str, facts: Sequence[str], results: Sequence[QueryResult]) -> str:
    """The whole page; images are embedded, so it can be moved and mailed."""
    head = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">{GENERATOR}'
        f'<meta name="viewport" content="width=device-width"><title>{_escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{_escape(title)}</h1><ul>"
    )
    lines = [f"<li>{_escape(fact)}</li>" for fact in facts]
    return head + "".join(lines) + "</ul>" + "".join(map(_section, results)) + "</body></html>\n"


def _section(result: QueryResult) -> str:
    ranked = "".join(f"<li>{_figure(entry)}</li>" for entry in result.ranked)
    matches = ""
    if result.matches is not None:
        matches = f'<div class="matches">{_figure(result.matches)}</div>'
    title = f"<h2>{_escape(result.query.name)}</h2>"
    return f"<section>{title}{_figure(result.query)}<ol>{ranked}</ol>{matches}</section>"


def _figure(entry: Entry) -> str:
    # Colour alone would leave out readers who can't tell green from red.
    mark = {True: "✓ right", False: "✗ wrong", None: ""}[entry.is_right]
    style = {True: "right", False: "wrong", None: ""}[entry.is_right]
    caption = " ".join(filter(None, (mark, entry.caption)))
    return (
        f'<figure class="{style}"><img src="{_embedded(entry.thumbnail)}" '
        f'alt="{_escape(entry.name)} {mark}"><figcaption>{_escape(caption)}<br>'
        f"{_escape(entry.name)}</figcaption></figure>"
    )


def _escape(text: str) -> str:
    return html.escape(printable(text))


def _embedded(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
