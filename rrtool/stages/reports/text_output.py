"""Texts beside the artifacts: pages and lists, each there whole or not at all."""

import os
from collections.abc import Iterable
from pathlib import Path

from rrtool.errors import UsageError
from rrtool.files import open_regular, write_durably, write_failures
from rrtool.reports.document import GENERATOR


def checked_page(output: str | Path, overwrite: bool | None = None) -> Path:
    """The path of a page to be; a page of an earlier run may be replaced, other files are not.

    Args:
        overwrite: whether they are; None where a command has no such option.

    Raises:
        UsageError: no page can go there.
    """
    output = Path(output)
    if os.path.exists(output) and not overwrite and not is_page(output):
        todo = "use --overwrite to replace it, or choose another -o"
        raise UsageError(
            f"the output exists and is no page of {GENERATOR}", where=output,
            todo="choose another" if overwrite is None else todo,
        )  # fmt: skip
    return output


def is_page(path: Path, generator: str = GENERATOR) -> bool:
    """Whether a file is a page that was made by ``generator``."""
    try:
        with open_regular(path) as file:
            return f'<meta name="generator" content="{generator}'.encode() in file.read(1024)
    except OSError:
        return False


def write_text(output: Path, pieces: Iterable[str]) -> Path:
    """Write a text durably; surrogate escapes become the bytes that they stand for.

    Raises:
        WorkFailed: it cannot be written.
    """
    with write_failures(output):
        write_durably(output, pieces)
    return output
