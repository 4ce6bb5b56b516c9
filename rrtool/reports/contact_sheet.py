"""An HTML page of images to label: look, type or click, save ``labels.csv``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from rrtool.errors import printable
from rrtool.reports.document import render

GENERATOR = "rrtool al-cycle"


@dataclass(frozen=True)
class Card:
    """One image to label.

    Attributes:
        row: its id.
        name: of the image.
        picture: thumbnail; None where it cannot be shown.
        suggested: the class that the model predicts; empty without a model.
        confidence: its probability.
    """

    row: int
    name: str
    picture: Image.Image | None
    suggested: str = ""
    confidence: float = 0.0

    @property
    def kept_name(self) -> str:
        """The name that goes into the file of labels.

        One that cannot be printed would come back as another one: its id alone is enough.
        """
        return self.name if printable(self.name) == self.name else ""


def render_sheet(
    title: str, uuid: str, class_names: Sequence[str], cards: Sequence[Card], how: str
) -> Iterator[str]:
    """The HTML, piece by piece.

    Args:
        uuid: of the state that asks.
        class_names: offered while typing; others may be typed.
        how: what to do with the labels, in one sentence.
    """
    return render(
        "sheet.html", generator=GENERATOR, title=title, uuid=uuid, class_names=class_names,
        cards=cards, how=how,
    )  # fmt: skip
