"""An HTML page of images to label: by keys, clicks or typing; it saves the labels as a CSV."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from PIL import Image

from rrtool.errors import printable
from rrtool.reports.document import inline_script, render
from rrtool.tables import in_words

GENERATOR = "rrtool al-cycle"


@dataclass(frozen=True)
class Card:
    """One image to label.

    Attributes:
        row: its id.
        name: of the image.
        suggested: the class that the model predicts; empty without a model.
        confidence: its probability.
    """

    row: int
    name: str
    suggested: str = ""
    confidence: float = 0.0

    @property
    def kept_name(self) -> str:
        """The name that goes into the file of labels.

        One that cannot be printed would come back as another one: its id alone is enough.
        """
        return self.name if printable(self.name) == self.name else ""


@dataclass(frozen=True)
class Group:
    """The cards of one suggested class, to be confirmed together.

    Attributes:
        label: of the class; None without a suggestion.
        title: its name; empty without one.
        cards: the surest first.
    """

    label: int | None
    title: str
    cards: list[Card]


def grouped(cards: Sequence[Card], class_names: Sequence[str]) -> list[Group]:
    """By what is suggested, the largest group first; without suggestions as they come.

    What does not belong is seen best at the end of a row of equal ones, where the least sure are.
    """
    found: dict[str, list[Card]] = {}
    for card in cards:
        found.setdefault(card.suggested, []).append(card)
    return [
        Group(
            class_names.index(name) if name else None, name,
            sorted(own, key=lambda card: -card.confidence),
        )
        for name, own in sorted(found.items(), key=lambda item: -len(item[1]))
    ]  # fmt: skip


@dataclass(frozen=True)
class LabelSheet:
    """What a page asks.

    Attributes:
        uuid: of the state that asks; the browser keeps labels under it.
        class_names: that are offered; others may be typed.
        cards: the images.
        file_name: under which the labels are saved.
        command: what takes them.
    """

    uuid: str
    class_names: Sequence[str]
    cards: Sequence[Card]
    file_name: str
    command: str

    def render(self, show: Callable[[Card], Image.Image | None]) -> Iterator[str]:
        """The HTML, piece by piece; a card's picture is made when it is written.

        Args:
            show: the picture of a card; None where it cannot be shown.
        """
        # What is saved is what ``in_words`` will read; JSON of ASCII passes any template whole.
        offered = [(in_words(name), printable(name)) for name in self.class_names]
        return render(
            "sheet.html", generator=GENERATOR, title=f"{len(self.cards)} images to label",
            uuid=self.uuid, classes=json.dumps(offered), n_cards=len(self.cards),
            groups=grouped(self.cards, self.class_names), show=show, file_name=self.file_name,
            command=self.command, script=inline_script("sheet.js"),
        )  # fmt: skip
