"""How a stage tells how far it is; the command line supplies the form that people see."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Advance = Callable[[int], None]


class Progress(Protocol):
    """What a stage reports to."""

    def task(self, description: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """A context that gives a function to call with the number of units done."""
        ...

    def message(self, text: str) -> None:
        """One line for the user."""
        ...


class Silent:
    """Reports nothing: for the stages as a library, and for ``--quiet``."""

    @contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        yield lambda n: None

    def message(self, text: str) -> None:
        """Nothing."""
