"""The list of skipped inputs beside an artifact."""

import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from rrtool.errors import printable
from rrtool.files import numbered, open_regular, reclaim, write_durably, write_failures
from rrtool.tables import table_lines


def write_skipped_list(output: Path, skipped: Sequence[tuple[str, str]]) -> Path:
    """``<output stem>.skipped.tsv`` beside the output: name and reason; none if nothing was.

    Returns:
        Where it is, or would be: see ``skipped_list_path``.

    Raises:
        WorkFailed: the disk is full or fails.
    """
    path = skipped_list_path(output)
    rows = [("name", "reason"), *((printable(name), printable(why)) for name, why in skipped)]
    with write_failures(path):
        if skipped:
            write_durably(path, chain([_first_line(output) + "\n"], table_lines(rows, "\t")))
        else:
            reclaim(path)
            path.unlink(missing_ok=True)
    return path


def skipped_list_path(output: Path) -> Path:
    """Where the list is or will be: the first name that is free, or whose file is this list.

    A list says in its first line what it is of; a file that does not is somebody's own.
    """
    wanted = output.with_name(output.stem + ".skipped.tsv")
    return next(
        path for path in numbered(wanted) if not os.path.lexists(path) or _is_of(path, output)
    )


def _first_line(output: Path) -> str:
    return f"# rrtool: inputs that were skipped for {printable(output.name)}"


def _is_of(path: Path, output: Path) -> bool:
    expected = (_first_line(output) + "\n").encode("utf-8")
    try:
        with open_regular(path) as file:
            return file.read(len(expected)) == expected
    except OSError:
        return False
