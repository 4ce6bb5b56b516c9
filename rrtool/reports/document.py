"""What all pages share: templates that escape what they show, and pictures inlined."""

import base64
import hashlib
import io
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from rrtool.errors import printable
from rrtool.version import VERSION

GENERATOR = "rrtool report"
_JPEG_QUALITY = 82
_SMALL = 64  # pixels


def render(template: str, *, generator: str = GENERATOR, **values: Any) -> Iterator[str]:
    """The HTML of a page, piece by piece; it refers to nothing outside itself.

    What is iterated in the template may be a generator: each piece is made when it is written.

    Args:
        template: a file in ``templates`` that extends ``base.html``.
        generator: what the page says it was made by, so that a later run may replace it.
        values: what it shows: its ``title``, and perhaps ``facts`` about how it was made, and a
            ``warning`` that must not be overlooked; the rest is the template's own.
    """
    common = {"generator": generator, "version": VERSION, "warning": "", "facts": {}}
    return _environment().get_template(template).generate({**common, **values})


class Script(NamedTuple):
    """A script of a page: its text, and the hash by which the page's policy allows it alone."""

    text: Markup
    hash: str


def inline_script(name: str) -> Script:
    """A script of ``templates``, to be written into a page as it is."""
    text = (files("rrtool.reports") / "templates" / name).read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Script(Markup(text), f"sha256-{digest}")  # noqa: S704 - our own file


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rrtool.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"inlined": _inlined, "px": "{:.1f}".format}
    environment.tests["small"] = _is_small
    return environment


def _finalize(value: object) -> object:
    """Text without what cannot be printed; the environment escapes what would be markup."""
    return value if isinstance(value, Markup) else printable(value)


def _is_small(picture: Image.Image) -> bool:
    return max(picture.size) <= _SMALL


def _inlined(picture: Image.Image) -> Markup:
    """A picture as the address that an ``img`` shows.

    A small one is kept as it is and shown pixel by pixel: JPEG would blur its few pixels.
    """
    kind = "png" if _is_small(picture) else "jpeg"
    content = io.BytesIO()
    picture.save(content, kind, quality=_JPEG_QUALITY)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    return Markup(f"data:image/{kind};base64,{data}")  # noqa: S704 - base64 has no markup


def facts_of(description: Mapping[str, Any]) -> dict[str, str]:
    """How an artifact was made, in words."""
    facts = {}
    for key, value in description.items():
        if key == "network" and isinstance(value, dict):
            facts["network"], facts["weights"] = str(value.get("name")), str(value.get("weights"))
        elif isinstance(value, dict):
            facts[_label(key)] = ", ".join(f"{_label(k)} {v}" for k, v in value.items())
        elif isinstance(value, list):
            facts[_label(key)] = ", ".join(map(str, value))
        elif value is not None:
            facts[_label(key)] = str(value)
    return facts


def _label(key: str) -> str:
    return key.replace("_", " ")


def warning_of(network: Mapping[str, Any]) -> str:
    """What must be said of results of this network; empty for a trained one."""
    untrained = "The network is untrained (seeded random weights)."
    return "" if network.get("trained", True) else untrained
