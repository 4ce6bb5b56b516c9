"""Which images a run is about: a folder, a text or CSV list, or a list on standard input."""

import csv
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rrtool.errors import UsageError
from rrtool.files import read_regular
from rrtool.ground_truth.matching import spellings
from rrtool.images.folder import FolderWalk
from rrtool.images.formats import FORMATS, IMAGE_SUFFIXES, suffix_of
from rrtool.tables import column_of, decode_text, split_lines, split_rows, unshielded

_SOURCES = "a folder, a text or CSV list, or -"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class ImageList:
    """Images in a fixed order.

    Attributes:
        names: relative to the folder (``/`` between parts), or as the list has them; unique.
            Bytes that are no UTF-8 stay as surrogate escapes (``os.fsdecode``).
        paths: where the files are.
        skipped: ``(path, reason)`` of photos of a folder that cannot be used, and of folders in it
            that cannot be listed.
        passed_over: ``(path, reason)`` of what else is in the folder.
    """

    names: list[str]
    paths: list[str]
    skipped: list[tuple[str, str]]
    passed_over: list[tuple[str, str]] = field(default_factory=list)


def list_images(source: str) -> ImageList:
    """List a folder (recursive, in byte order of the names), a list file, or ``-`` (stdin).

    A list is one path a line, NUL-separated paths, or a table (see ``rrtool.tables``) with a column
    titled ``name`` or the like, or whose first column is the path; relative paths start at the
    list's folder (at the working folder for stdin).

    Raises:
        UsageError: nothing there, or a name that occurs twice.
    """
    if source == "-":
        return _from_list(sys.stdin.buffer.read(), source, Path())
    path = Path(source)
    try:
        if path.is_dir():
            return _from_folder(path, source)
        if suffix_of(path.name) in IMAGE_SUFFIXES:
            raise UsageError("this is one image", where=source, expected=_SOURCES)
        return _from_list(read_regular(path), source, path.parent)
    except OSError as error:
        found = error.strerror or str(error)
        raise UsageError(
            "cannot read the images", where=source, expected=_SOURCES, found=found
        ) from None


def _from_folder(root: Path, source: str) -> ImageList:
    found = FolderWalk(str(root))
    names = sorted(found.photos, key=os.fsencode)
    if not names and found.skipped:
        name, why = found.skipped[0]
        raise UsageError(
            "no photo in this folder can be read", where=source, found=f"{name}: {why}"
        )
    if not names:
        raise UsageError(
            "no photos in this folder",
            where=source,
            expected="files of the formats " + ", ".join(FORMATS),
            found=f"{len(found.passed_over)} other files",
        )
    skipped, passed_over = sorted(found.skipped), sorted(found.passed_over)
    start = str(root / "x")[:-1]  # for a million names quicker than a path each
    paths = [start + name for name in names]
    return ImageList([name.replace(os.sep, "/") for name in names], paths, skipped, passed_over)


def _from_list(content: bytes, source: str, folder: Path) -> ImageList:
    if content.startswith(_HDF5_SIGNATURE):
        raise UsageError("this is an artifact", where=source, expected=_SOURCES)
    try:
        names = listed_names(decode_text(content))
    except (csv.Error, UnicodeDecodeError) as error:
        raise UsageError("cannot read the list of images", where=source, found=error) from None
    if not names:
        raise UsageError("the list of images is empty", where=source)
    paths = [_located(folder, name) for name in names]
    seen: dict[str, str] = {}
    for name, path in zip(names, paths, strict=True):
        first = seen.setdefault(os.path.normpath(path), name)
        if first is not name:
            found = name if first == name else f"as {first} and as {name}"
            raise UsageError("an image is listed twice", where=source, found=found)
    return ImageList(names, paths, [])


def _located(folder: Path, name: str) -> str:
    """Where the file is: as written, or else under another spelling of its name."""
    path = str(folder / name)
    if os.path.exists(path):
        return path
    others = (str(folder / form) for form in spellings(name))
    return next((other for other in others if os.path.exists(other)), path)


def listed_names(text: str) -> list[str]:
    """The entries of a list: see ``list_images``.

    Raises:
        csv.Error: it is a table, and malformed.
    """
    if "\0" in text:
        return [entry for entry in text.split("\0") if entry]
    lines = [line for line in split_lines(text) if line.strip()]
    separator, column, n_titles = _layout(lines)
    if separator is None:
        return lines[n_titles:]
    rows = [cells for _, cells in split_rows(text, separator)][n_titles:]
    return [unshielded(cells[column]) for cells in rows if len(cells) > column]


def _layout(lines: list[str]) -> tuple[str | None, int, int]:
    """Separator, place of the names and number of header lines; no separator if it is no table."""
    for separator in "\t,;":
        cells = _cells(lines[0], separator) if lines else []
        column = column_of(cells, "name")
        # A plain list may begin with a file "image, of me.jpg".
        if column is not None and (len(cells) == 1 or not any(map(_ends_as_image, cells))):
            return (separator if len(cells) > 1 else None), column, 1
    if lines and all("\t" in line for line in lines):
        return "\t", 0, 0
    for separator in ",;":
        # Without a header a comma belongs to a name, unless the name ends as an image's before it.
        if lines and all(_begins_with_image(line, separator) for line in lines):
            return separator, 0, 0
    return None, 0, 0


def _begins_with_image(line: str, separator: str) -> bool:
    cells = _cells(line, separator)
    return len(cells) > 1 and _ends_as_image(cells[0]) and not _ends_as_image(line)


def _ends_as_image(name: str) -> bool:
    return suffix_of(name.strip()) in IMAGE_SUFFIXES


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next((cells for _, cells in split_rows(line, separator)), [])
    except csv.Error:
        return []


def file_signatures(paths: list[str]) -> list[tuple[int, int]]:
    """``(size in bytes, mtime in ns)`` of each file, ``(-1, -1)`` where there is none.

    Stands for the content when a run asks whether its inputs are the ones of an earlier run:
    hashing a large collection every night would cost as much as decoding it.
    """
    signatures = []
    for path in paths:
        try:
            status = os.stat(path)
            signatures.append((status.st_size, status.st_mtime_ns))
        except OSError:
            signatures.append((-1, -1))
    return signatures
