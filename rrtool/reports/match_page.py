"""What the page of rankings shows: queries, what was found for them, and the matches drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

RIGHT, WRONG, NOT_COUNTED = "right", "wrong", "junk"


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

    @property
    def verified(self) -> bool:
        """Whether the order is that after spatial verification."""
        return any(entry.n_inliers is not None for entry in self.found)
