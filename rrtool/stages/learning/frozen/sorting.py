"""Photos into class folders: copied or linked, never moved, and nothing is ever replaced."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from rrtool.files import (
    have_same_content,
    numbered,
    read_regular,
    write_durably,
    write_failures,
)

UNLIKE = "unlike anything labelled"
_LONGEST = 100  # bytes of a folder's name
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*\ud800-\udfff]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def sort_into(
    folder: Path,
    wanted: Iterable[tuple[str, str | None, str | None]],
    class_names: Sequence[str],
    *,
    link: bool,
) -> list[tuple[str, str]]:
    """Copy or link each photo into the folder of its class.

    A photo that is there already is left alone; another file of its name stays, and the photo gets
    a number.

    Args:
        wanted: name, path and class of each photo; None for a photo that is not there, and for a
            class that cannot be told.

    Returns:
        Names and reasons of photos that could not be sorted.

    Raises:
        WorkFailed: the disk is full or fails.
    """
    skipped = []
    unlike = UNLIKE
    while unlike in class_names:  # the folder of a class of this name is its own
        unlike += " "
    safe = folder_names([*class_names, unlike])
    for name, path, label in wanted:
        if path is None:
            skipped.append((name, "its photo is not there to be sorted"))
            continue
        target = folder / safe[label or unlike]
        with write_failures(target):
            target.mkdir(parents=True, exist_ok=True)
        try:
            content = b"" if link else read_regular(path)
        except OSError as error:
            skipped.append((name, str(error.strerror or error)))
            continue
        with write_failures(target):
            _place(target / Path(name).name, Path(path), content, link=link)
    return skipped


def _place(wanted: Path, photo: Path, content: bytes, *, link: bool) -> None:
    """Under the first name that is free, unless the photo is there."""
    for path in numbered(wanted):
        if os.path.lexists(path):
            if path.exists() and have_same_content(path, photo):
                return
        elif link:
            path.symlink_to(os.path.abspath(photo))
            return
        else:
            write_durably(path, [content])
            return


def folder_names(class_names: Sequence[str]) -> dict[str, str]:
    """A folder's name for each class, fit for any file system, and no two alike there.

    >>> folder_names(["mug", "../mug", "MUG"])
    {'mug': 'mug', '../mug': '_mug', 'MUG': 'MUG-2'}
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in class_names:
        if name in found:
            continue
        plain = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip(". ")
        plain = _shortened(plain) or "_"
        if _RESERVED.fullmatch(plain):
            plain = f"_{plain}"
        choice, number = plain, 2
        while choice.casefold() in taken:
            choice, number = f"{plain}-{number}", number + 1
        taken.add(choice.casefold())
        found[name] = choice
    return found


def _shortened(name: str) -> str:
    return name.encode()[:_LONGEST].decode(errors="ignore").rstrip(". ")
