"""Texts beside the artifacts: pages and lists, each there whole or not at all."""

import os
from collections.abc import Iterable
from pathlib import Path

from rrtool.errors import UsageError, WorkFailed
from rrtool.reports.document import GENERATOR


def checked_page(output: str | Path, overwrite: bool, generator: str = GENERATOR) -> Path:
    """The path of a page to be; a page of an earlier run may be replaced, other files are not.

    Raises:
        UsageError: a page of ``generator`` cannot go there.
    """
    output = Path(output)
    if os.path.isdir(output):  # unlike Path's, it takes names of any length
        raise UsageError("the output is a folder", where=output, expected="a file name")
    if not os.path.isdir(output.parent):
        raise UsageError("there is no such folder for the output", where=output.parent)
    if os.path.exists(output) and not overwrite and not _is_page(output, generator):
        raise UsageError(
            f"the output exists and is no page of {generator}",
            where=output,
            todo="use --overwrite to replace it, or choose another -o",
        )
    return output


def _is_page(path: Path, generator: str) -> bool:
    try:
        with path.open("rb") as file:
            return f'<meta name="generator" content="{generator}'.encode() in file.read(1024)
    except OSError:
        return False


def write_text(output: Path, pieces: Iterable[str]) -> Path:
    """Write a text; surrogate escapes become the bytes that they stand for.

    Raises:
        WorkFailed: it cannot be written.
    """
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.writelines(pieces)
        temporary.replace(output)
    except OSError as error:
        raise WorkFailed(
            "cannot write it", where=output, found=error.strerror or str(error)
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return output
