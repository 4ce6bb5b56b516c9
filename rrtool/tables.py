"""Tables of text: read as people and their programs write them, written so that both can read.

Labels, boxes, groups, pairs and lists of images are all read here, whatever wrote them: separated
by commas, semicolons or tabs, quoted or not, with any line ends, in UTF-8, UTF-16 or a Western
code page, with or without a row of titles.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from numbers import Number
from pathlib import Path

from rrtool.errors import UsageError
from rrtool.files import read_regular

# What the columns may be called, the best first; case, blanks, hyphens and underscores aside.
_TITLES = {
    "name": (
        "name", "filename", "file", "image", "imagename", "imagefile", "path", "filepath",
        "imagepath", "photo", "picture",
    ),
    "label": ("label", "class", "classname", "category", "group"),
    "x0": ("x0", "xmin", "left"),
    "y0": ("y0", "ymin", "top"),
    "x1": ("x1", "xmax", "right"),
    "y1": ("y1", "ymax", "bottom"),
}  # fmt: skip
_SEPARATORS = ",;\t"
_SEPARATOR_LINE = re.compile(r"sep=([,;\t])[;,]*(\r\n|\n|\r|$)", re.IGNORECASE)  # Excel's own
_ROWS_TRIED = 100
# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_SHIELDED = re.compile(r"'+[=+\-@\t\r]")
_TO_QUOTE = re.compile(r'["\r\n,;\t]|^\s|\s$')
_TO_QUOTE_BETWEEN_TABS = re.compile(r'["\r\n\t]|^\s|\s$')
_ESCAPED = re.compile("[\udc80-\udcff]")
# UTF-16 without its mark has a zero in every second byte of its ASCII characters.
_LEAST_ZEROS = 0.25


@dataclass(frozen=True)
class Table:
    """What was asked for of a table.

    Attributes:
        columns: those of the layout that it has.
        rows: number of the line that each row ends on, and its cells in the order of ``columns``.
        separator: of its cells.
    """

    columns: Sequence[str]
    rows: list[tuple[int, list[str]]]
    separator: str


def read_table(path: Path, *layouts: Sequence[str], allow_empty: bool = False) -> Table:
    """Read some columns of a table.

    A first row that names all the columns of a layout is a header (``_TITLES`` lists the words):
    columns may then come in any order, with others among them. Blank lines are skipped. Bytes
    that are no UTF-8 become surrogates, as they do in the file names that the system reports.

    Args:
        layouts: sets of columns; the first one that the header has counts, and without a header
            the last, in its order.
        allow_empty: also the first of the columns may be empty.

    Raises:
        UsageError: the file cannot be read, a row has another number of fields or an empty first
            one, or two columns have the same title.
    """
    text, separators = _text_and_separators(path)
    separator, columns, titles = _layout(text, separators, layouts)
    rows = islice(_numbered_rows(text, separator, path), bool(titles), None)
    titles = titles or list(columns)
    places = [_place(titles, column, path) for column in columns]
    n_cells, is_shielded = len(titles), "'" in text
    found = []
    for line, cells in rows:
        if len(cells) != n_cells:
            where, expected = f"{path}, line {line}", f"{n_cells} ({','.join(titles)})"
            what = "wrong number of fields"
            raise UsageError(what, where=where, expected=expected, found=len(cells))
        values = [cells[place] for place in places]
        if is_shielded:
            values = [unshielded(value) for value in values]
        if not values[0] and not allow_empty:
            where = f"{path}, line {line}"
            raise UsageError("empty field", where=where, expected=f"a {columns[0]}", found="none")
        found.append((line, values))
    return Table(columns, found, separator)


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, stripped.

    Raises:
        UsageError: the file cannot be read.
    """
    return [line.strip() for line in split_lines(_read_text(path))]


def unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError("cannot read it", where=path, found=error.strerror or str(error))


def decode_text(content: bytes) -> str:
    """The text of a file: UTF-16 or UTF-8, with its mark or without.

    Bytes that are no UTF-8 become surrogate escapes, which ``in_words`` reads as Western letters.

    Raises:
        UnicodeDecodeError: it begins as UTF-16 and is not.
    """
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if content.startswith(mark):
            return content[2:].decode(encoding)
    n_zeros = content.count(0)
    if n_zeros >= _LEAST_ZEROS * len(content) and len(content) % 2 == 0:
        for first, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
            # A list of names between NULs looks different: it has no line ends between zeros.
            if content[first::2].count(0) == n_zeros and _has_line_end(content, first):
                return content.decode(encoding)
    return content.decode("utf-8-sig", errors="surrogateescape")


def _has_line_end(content: bytes, first_zero: int) -> bool:
    characters, zeros = content[1 - first_zero :: 2], content[first_zero::2]
    return any(
        (character in b"\r\n") and not zero
        for character, zero in zip(characters, zeros, strict=True)
    )


def in_words(cell: str) -> str:
    """A cell as people see it: Unicode's composed form, bytes that are no UTF-8 as Windows-1252."""
    if cell.isascii():
        return cell
    if _ESCAPED.search(cell):
        content = cell.encode("utf-8", "surrogateescape")
        try:
            cell = content.decode("cp1252")
        except UnicodeDecodeError:
            cell = content.decode("latin-1")
    return unicodedata.normalize("NFC", cell)


def split_lines(text: str) -> list[str]:
    """At line feeds, or, in a text without, at carriage returns."""
    if "\n" not in text:
        return text.split("\r")
    return [line.removesuffix("\r") for line in text.split("\n")]


def split_rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of the line it ends on.

    Raises:
        csv.Error: quotes that do not end, or are followed by something.
    """
    lines = io.StringIO(text, newline="")  # ends lines as the csv module wants: none is changed
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    for cells in reader:
        if cells and (cells[0].strip() or any(cell.strip() for cell in cells)):
            yield reader.line_num, cells


def column_of(cells: Sequence[str], column: str) -> int | None:
    """Where a row of titles has a column; the best of the words it may have counts."""
    titles = [_word(cell) for cell in cells]
    for word in _TITLES.get(column, (column,)):
        if word in titles:
            return titles.index(word)
    return None


def _word(title: str) -> str:
    return re.sub(r"[ _-]", "", title.strip().lower())


def unshielded(cell: str) -> str:
    """What ``table_lines`` was given for a cell."""
    return cell[1:] if cell[:1] == "'" and _SHIELDED.match(cell) else cell


def table_lines(rows: Iterable[Sequence[object]], separator: str = ",") -> Iterator[str]:
    """The lines of a CSV file, or of a TSV file; texts that are no UTF-8 keep surrogate escapes.

    A text that a spreadsheet would run as a formula gets an apostrophe before it, which
    ``read_table`` takes away. Numbers are numbers, and None is empty.
    """
    for row in rows:
        yield separator.join(_written(cell, separator) for cell in row) + "\n"


def _written(cell: object, separator: str) -> str:
    if cell is None or isinstance(cell, Number):
        return "" if cell is None else str(cell)
    text = str(cell)
    if _FORMULA.match(text):
        text = f"'{text}"
    # A comma may be taken for a separator wherever it stands, but not where the suffix says tabs.
    to_quote = _TO_QUOTE_BETWEEN_TABS if separator == "\t" else _TO_QUOTE
    return '"' + text.replace('"', '""') + '"' if to_quote.search(text) else text


def _read_text(path: Path) -> str:
    try:
        return decode_text(read_regular(path))
    except OSError as error:
        raise unreadable(path, error) from error
    except UnicodeDecodeError as error:
        raise UsageError("not a text in UTF-16", where=path, found=error.reason) from error


def _text_and_separators(path: Path) -> tuple[str, str]:
    """The text, and what may separate its cells."""
    text = _read_text(path)
    if "\0" in text:
        todo = "save it as CSV"
        raise UsageError("not a table of text", where=path, found="NUL bytes", todo=todo)
    said = _SEPARATOR_LINE.match(text)
    if said:  # a blank line stays in its place, so that the others keep their numbers
        return text[said.start(2) :], said[1]
    if path.suffix.lower() == ".tsv":
        return text, "\t"
    return text, _SEPARATORS if path.suffix.lower() == ".csv" else _SEPARATORS[::-1]


def _layout(
    text: str, separators: str, layouts: Sequence[Sequence[str]]
) -> tuple[str, Sequence[str], list[str]]:
    """Separator, columns and, where there is a header, all titles."""
    for separator in separators:
        _, cells = next(_first_rows(text, separator), (0, []))
        for columns in layouts:
            if all(column_of(cells, column) is not None for column in columns):
                return separator, columns, [cell.strip().lower() for cell in cells]
    columns = layouts[-1]

    def n_fitting(separator: str) -> int:
        return sum(len(cells) == len(columns) for _, cells in _first_rows(text, separator))

    return max(separators, key=n_fitting), columns, []


def _first_rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Some rows, as far as they can be read so."""
    try:
        yield from islice(split_rows(text, separator), _ROWS_TRIED)
    except csv.Error:
        return


def _numbered_rows(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    line = 0
    try:
        for line, cells in split_rows(text, separator):
            yield line, cells
    except csv.Error as error:
        where = f"{path}, line {line + 1}"
        raise UsageError("malformed table", where=where, found=error) from error


def _place(titles: Sequence[str], column: str, path: Path) -> int:
    place = column_of(titles, column)
    if place is None:
        raise UsageError("no such column", where=path, expected=column, found=", ".join(titles))
    if [_word(title) for title in titles].count(_word(titles[place])) > 1:
        raise UsageError("two columns have one title", where=path, found=f"'{titles[place]}'")
    return place
