"""One self-contained HTML page: the objects of a collection, and where each photo is salient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from PIL import Image

from rrtool.reports.document import document, facts_list, image_tag, text_of
from rrtool.reports.overlay import css_gradient

REGION_COLOUR, WEAK_COLOUR, TRUTH_COLOUR = (64, 224, 255), (165, 205, 215), (90, 240, 110)

_STYLE = f"""
.object {{ display: grid; grid-template-columns: 240px 1fr; gap: 1.2rem; }}
.crop {{ width: 118px; }}
.crop img, .crop .missing {{ width: 118px; height: 118px; object-fit: contain;
  background: var(--card); }}
.view {{ width: min(380px, 100%); }} .view img {{ width: 100%; }}
.missing {{ min-height: 118px; background: var(--card); }}
.legend {{ max-width: none; display: flex; flex-wrap: wrap; gap: .3rem 1.6rem;
  color: var(--faint); }}
.legend span {{ display: inline-flex; align-items: center; gap: .45rem; }}
.scale {{ width: 9rem; height: .8rem; background: {css_gradient()}; }}
.box {{ width: 1.3rem; height: .8rem; border: 3px solid; }}
.region {{ border-color: rgb{REGION_COLOUR}; }}
.weak {{ border-color: rgb{WEAK_COLOUR}; border-width: 1px; }}
.truth {{ border-color: rgb{TRUTH_COLOUR}; }}
code {{ overflow-wrap: anywhere; }} p {{ max-width: 75ch; }}
h2.part {{ font-size: 1.3rem; margin: 1.5rem 0 .4rem; }}
summary {{ cursor: pointer; color: var(--faint); margin-top: .6rem; }}
@media (max-width: 760px) {{ .object {{ grid-template-columns: 1fr; }} }}
"""


@dataclass(frozen=True)
class Crop:
    """One sight of an object: the name of the image, and the region; None if it has no picture."""

    name: str
    picture: Image.Image | None


@dataclass(frozen=True)
class ShownObject:
    """An object of the collection.

    Attributes:
        photo: the image that shows it best, the region drawn; None if it cannot be read.
        crops: the sights to show, that of ``photo`` first.
        others: names of the further images that show it.
    """

    photo: Image.Image | None
    crops: Sequence[Crop]
    others: Sequence[str] = ()

    @property
    def n_images(self) -> int:
        return len(self.crops) + len(self.others)


@dataclass(frozen=True)
class ShownImage:
    """An image and its saliency.

    Attributes:
        name: of the image.
        views: pictures side by side, each with its caption.
        objects: numbers of the objects it shows, from 1, as far as they are on the page.
    """

    name: str
    views: Sequence[tuple[str, Image.Image | None]]
    objects: Sequence[int] = ()


@dataclass(frozen=True)
class SaliencyPage:
    """All that the page shows.

    Attributes:
        title: of the page.
        objects: biggest first; None where they were not asked for.
        about_objects: how many there are, or what to do to get them.
        images: their saliency.
        about_images: which they are.
        facts: how it was made.
        warning: a line that must not be overlooked, or empty.
        with_truth: true boxes are drawn.
    """

    title: str
    objects: Sequence[ShownObject] | None
    about_objects: str
    images: Sequence[ShownImage]
    about_images: str
    facts: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""
    with_truth: bool = False


def render_page(page: SaliencyPage) -> Iterator[str]:
    """The HTML, piece by piece; see ``document.document``."""
    return document(page.title, "", _parts(page), style=_STYLE, warning=page.warning)


def _parts(page: SaliencyPage) -> Iterator[str]:
    yield f'<h2 class="part">The objects</h2>\n<p>{text_of(page.about_objects)}</p>\n'
    for number, one in enumerate(page.objects or (), start=1):
        yield _object(number, one)
    if page.images:
        yield f'<h2 class="part">Where each photo is salient</h2>\n<p>{text_of(page.about_images)}'
        yield f"</p>\n{_legend(page.with_truth)}"
    for image in page.images:
        yield _image(image)
    yield f'<h2 class="part">How this was made</h2>\n{facts_list(page.facts)}'


def _object(number: int, shown: ShownObject) -> str:
    crops = "".join(_crop(crop) for crop in shown.crops)
    others = ""
    if shown.others:
        names = ", ".join(text_of(name) for name in shown.others)
        others = f"<details><summary>and {len(shown.others)} more</summary>{names}</details>\n"
    first = shown.crops[0].name
    return (
        f'<section id="object-{number}">\n<h2>Object {number}, in {shown.n_images} photos</h2>\n'
        f'<div class="object">\n<figure>{image_tag(shown.photo, f"object {number} in {first}")}'
        f"<figcaption>{_name(first)}</figcaption></figure>\n"
        f'<div>\n<div class="row">\n{crops}</div>\n{others}</div>\n</div>\n</section>\n'
    )


def _crop(crop: Crop) -> str:
    return (
        f'<figure class="crop">{image_tag(crop.picture, crop.name)}'
        f"<figcaption>{_name(crop.name)}</figcaption></figure>\n"
    )


def _name(name: str) -> str:
    return f'<span class="name" title="{text_of(name)}">{text_of(name)}</span>'


def _legend(with_truth: bool) -> str:
    truth = '<span><i class="box truth"></i> true box</span>\n' if with_truth else ""
    return (
        '<p class="legend"><span>not salient <i class="scale"></i> most salient in the photo'
        '</span>\n<span><i class="box region"></i> detected region</span>\n'
        '<span><i class="box weak"></i> one that counts little</span>\n'
        f"{truth}</p>\n"
    )


def _image(image: ShownImage) -> str:
    views = "".join(
        f'<figure class="view">{image_tag(picture, f"{caption} of {image.name}")}'
        f"<figcaption>{text_of(caption)}</figcaption></figure>\n"
        for caption, picture in image.views
    )
    links = ", ".join(f'<a href="#object-{number}">{number}</a>' for number in image.objects)
    shows = f"<p>shows object {links}</p>\n" if image.objects else ""
    return (
        f'<section>\n<h2>{text_of(image.name)}</h2>\n{shows}<div class="row">\n{views}</div>\n'
        "</section>\n"
    )
