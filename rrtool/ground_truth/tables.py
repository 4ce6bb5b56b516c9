"""Reading the small CSV and TSV files people write by hand: labels and boxes by image name."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from rrtool.errors import UsageError


def read_table(
    path: Path, columns: Sequence[str], *, allow_empty: bool = False
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table, each with the number of the line it ends on.

    A first row that names all the columns is a header: columns may then come in any order, with
    others among them. Blank lines are skipped. Undecodable bytes become surrogates, as they do in
    the file names the system reports.

    Args:
        path: comma-separated, or tab-separated when it ends in `.tsv` or its first line has a tab.
        columns: names of the wanted columns, in the order they are returned.
        allow_empty: also the first of the columns may be empty.

    Raises:
        UsageError: the file cannot be read, or a row has another number of fields or an empty
            first one.
    """
    titles = list(columns)
    for i, (line, row) in enumerate(_split_rows(path)):
        cells = [cell.strip().lower() for cell in row]
        if i == 0 and set(columns) <= set(cells):
            titles = cells
            continue
        where = f"{path}, line {line}"
        if len(row) != len(titles):
            expected = f"{len(titles)} ({','.join(titles)})"
            raise UsageError(
                "wrong number of fields", where=where, expected=expected, found=len(row)
            )
        values = [row[titles.index(column)] for column in columns]
        if not values[0] and not allow_empty:
            raise UsageError("empty field", where=where, expected=f"a {columns[0]}", found="none")
        yield line, values


def read_titles(path: Path) -> list[str]:
    """The cells of the first row in lower case; none of an empty file.

    Raises:
        UsageError: the file cannot be read.
    """
    return next(([cell.strip().lower() for cell in row] for _, row in _split_rows(path)), [])


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, stripped.

    Raises:
        UsageError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise unreadable(path, error) from error
    return [line.strip() for line in text.splitlines()]


def unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError("cannot read it", where=path, found=error.strerror or str(error))


def _split_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            tabs = path.suffix.lower() == ".tsv" or (
                path.suffix.lower() != ".csv" and "\t" in stream.readline()
            )
            stream.seek(0)
            reader = csv.reader(stream, delimiter="\t" if tabs else ",", strict=True)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, row
    except OSError as error:
        raise unreadable(path, error) from error
    except csv.Error as error:
        raise UsageError(
            "malformed table", where=f"{path}, line {reader.line_num}", found=error
        ) from error
