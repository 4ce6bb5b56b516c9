"""Names of images as other programs list them."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rrtool.errors import UsageError
from rrtool.files import read_regular
from rrtool.images.listing import listed_names
from rrtool.tables import decode_text, unreadable


def read_names(path: str) -> list[str]:
    """A list of names: one a line, or separated by NUL, or a table with a column ``name``.

    Raises:
        UsageError: it cannot be read, or is empty.
    """
    try:
        names = listed_names(decode_text(read_regular(path)))
    except OSError as error:
        raise unreadable(Path(path), error) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError("cannot read the list of names", where=path, found=error) from None
    if not names:
        raise UsageError("the list of names is empty", where=path)
    return names


def list_of(names: Sequence[str]) -> bytes:
    """A list that ``read_names`` reads as these names: by lines, or else separated by NUL."""
    lines = "".join(f"{name}\n" for name in names)
    try:
        is_plain = listed_names(decode_text(os.fsencode(lines))) == list(names)
    except (csv.Error, UnicodeDecodeError):
        is_plain = False
    return os.fsencode(lines if is_plain else "".join(f"{name}\0" for name in names))


def require_names(names: Sequence[str], where: str, *, unique: bool = True) -> None:
    """Every name is one that a file could have.

    Args:
        unique: whether each may occur once only.

    Raises:
        UsageError: it isn't, or occurs twice.
    """
    seen = set()
    for name in names:
        if not name or "\0" in name or not _is_of_files(name):
            raise UsageError("no name of an image", where=where, found=f"'{name}'")
        if unique and name in seen:
            raise UsageError("a name occurs twice", where=where, found=f"'{name}'")
        seen.add(name)


def _is_of_files(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:  # half of a character, which JSON can write
        return False
    return True


def places_of(wanted: Sequence[str], names: Sequence[str], where: str, source: str) -> np.ndarray:
    """``(n,)`` int64, where each of the wanted names stands among others.

    Args:
        where: the list of those that are wanted.
        source: where the others come from.

    Raises:
        UsageError: one does not.
    """
    known = {name: place for place, name in enumerate(names)}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise UsageError(
            f"{len(unknown)} of {len(wanted)} names match nothing in {source}", where=where,
            expected=f"names such as '{names[0]}'" if names else None, found=f"'{unknown[0]}'",
        )  # fmt: skip
    return np.array([known[name] for name in wanted], dtype=np.int64)
