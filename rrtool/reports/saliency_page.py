"""What the page of saliency shows: the objects of a collection, and where each is salient."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from rrtool.reports.document import render
from rrtool.reports.overlay import css_gradient

REGION_COLOUR, WEAK_COLOUR, TRUTH_COLOUR = (64, 224, 255), (165, 205, 215), (90, 240, 110)


@dataclass(frozen=True)
class ShownObject:
    """An object of the collection.

    Attributes:
        photo: the image that shows it best, the region drawn; None if it cannot be read.
        crops: the sights to show, that of ``photo`` first: name of the image, and the region,
            None if it has no picture.
        others: names of the further images that show it.
    """

    photo: Image.Image | None
    crops: Sequence[tuple[str, Image.Image | None]]
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


def render_page(**values: Any) -> Iterator[str]:
    """The HTML, piece by piece; see ``document.render``.

    Args:
        values: ``objects`` (``ShownObject``, biggest first) and ``about_objects``: how many there
            are, or what to do to get them; ``images`` (``ShownImage``) and ``about_images``: which
            they are; ``with_truth``: whether true boxes are drawn.
    """
    colours = {"region": REGION_COLOUR, "weak": WEAK_COLOUR, "truth": TRUTH_COLOUR}
    return render("saliency.html", gradient=css_gradient(), colours=colours, **values)
