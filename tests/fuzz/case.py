"""A case, and how a mutator is applied for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.fuzz.mutators import Mutator


@dataclass
class Case:
    """A case that is ready to run: the files lie in the folder of the corpus.

    Attributes:
        kind: of what is changed, as ``--only`` names it.
        call: of the command; ``words`` are what is typed.
        mutator: what was done.
        environment: variables that are set.
        told: whether a checksum tells the change, so that a run either refuses or gives what it
            gives without.
    """

    kind: str
    call: str
    mutator: str
    words: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    told: bool = False


class Unfit(Exception):
    """A mutator that does not go with its file."""


def apply(mutators: Mapping[str, Mutator], path: Path, rng: Random) -> str:
    """Change a file by one of the mutators; returns its name.

    Raises:
        Unfit: it cannot be.
    """
    title = rng.choice(list(mutators))
    try:
        mutators[title](path, rng)
    except Exception as error:  # whatever a library says of a change that cannot be
        raise Unfit(title) from error
    return title
