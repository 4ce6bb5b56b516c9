"""Labels of images as files of other programs have them, and as they are given out."""

from typing import NamedTuple

# The columns of a list to label; people fill in ``label``.
TITLES = ("id", "name", "label", "score", "suggested", "confidence")


class LabelRow(NamedTuple):
    """What a file says of one image.

    Attributes:
        where: its place in the file, for messages.
        id: row of the image in the state; empty where the file has none.
        names: what the image may be called; the first that an image is called by counts.
        label: its class; empty without one.
        problem: why the file has no class for it, where it says so.
    """

    where: str
    id: str
    names: tuple[str, ...]
    label: str
    problem: str = ""


class LabelledImage(NamedTuple):
    """An image that is given out.

    Attributes:
        row: in the state.
        name: of the image.
        label: what people said; empty without.
        score: what it is asked for; None where it isn't.
        suggested: the class that the model predicts; empty without a model.
        confidence: its probability.
    """

    row: int
    name: str
    label: str
    score: float | None
    suggested: str
    confidence: float
