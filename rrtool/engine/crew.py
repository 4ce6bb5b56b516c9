"""Those who work on parts, and what becomes of a part that is handed out to them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from rrtool.errors import RrtoolError, WorkFailed


@dataclass(frozen=True)
class Done:
    """What became of a part.

    Attributes:
        ticket: by which it was handed out.
        result: of the function.
        failure: why there is none.
    """

    ticket: int
    result: int = -1
    failure: RrtoolError | None = None


class Crew(Protocol):
    """Workers that are there."""

    def size(self) -> int:
        """Parts that they may have at a time."""
        ...

    def submit(self, ticket: int, function: Callable[[Any], int], part: object) -> None:
        """Hand out a part, and what is to be done with it."""
        ...

    def next_done(self) -> Done:
        """Wait for any of those that are handed out."""
        ...


def unexpected(error: BaseException) -> WorkFailed:
    """The error for what no worker should raise."""
    return WorkFailed("a worker failed", found=f"{type(error).__name__}: {first_line(error)}")


def first_line(error: BaseException) -> str:
    """What an error says, or else is."""
    return (str(error) or type(error).__name__).splitlines()[0]
