"""Which images a run is about: a folder, a text or CSV list, or a list on standard input."""

import csv
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rrtool.errors import UsageError
from rrtool.images.folder import FolderWalk
from rrtool.images.formats import FORMATS, IMAGE_SUFFIXES

_SOURCES = "a folder, a text or CSV list, or -"
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEADERS = frozenset({"name", "path", "file", "filename", "image"})


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

    A list is one path a line, NUL-separated paths, or a CSV/TSV whose first column is the path;
    relative paths start at the list's folder (at the working folder for stdin).

    Raises:
        UsageError: nothing there, or a name that occurs twice.
    """
    if source == "-":
        return _from_list(sys.stdin.buffer.read(), source, Path())
    path = Path(source)
    try:
        if path.is_dir():
            return _from_folder(path, source)
        if path.suffix.lower() in IMAGE_SUFFIXES:
            raise UsageError("this is one image", where=source, expected=_SOURCES)
        return _from_list(path.read_bytes(), source, path.parent)
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
    paths = [str(root / name) for name in names]
    return ImageList([name.replace(os.sep, "/") for name in names], paths, skipped, passed_over)


def _from_list(content: bytes, source: str, folder: Path) -> ImageList:
    if content.startswith(_HDF5_SIGNATURE):
        raise UsageError("this is an artifact", where=source, expected=_SOURCES)
    try:
        names = list(_listed_names(content))
    except csv.Error as error:
        raise UsageError("cannot read the list of images", where=source, found=error) from None
    if not names:
        raise UsageError("the list of images is empty", where=source)
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UsageError("an image is listed twice", where=source, found=name)
        seen.add(name)
    return ImageList(names, [str(folder / name) for name in names], [])


def _listed_names(content: bytes) -> Iterator[str]:
    if b"\0" in content:
        yield from (os.fsdecode(entry) for entry in content.split(b"\0") if entry)
        return
    lines = [line.rstrip(b"\r") for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    texts = [os.fsdecode(line) for line in lines if line.strip()]
    separator = _separator(texts)
    rows = (
        (row[0] for row in csv.reader(io.StringIO("\n".join(texts)), delimiter=separator) if row)
        if separator
        else iter(texts)
    )
    for position, name in enumerate(rows):
        if position == 0 and name.strip().lower() in _HEADERS:
            continue
        yield name


def _separator(texts: list[str]) -> str | None:
    """The column separator, if the list is a table: its first line then has a known header."""
    if not texts:
        return None
    for separator in ("\t", ",", ";"):
        if texts[0].split(separator)[0].strip().lower() in _HEADERS and separator in texts[0]:
            return separator
    # Without a header a comma is taken for part of a name only if the line names no column more.
    return "\t" if all("\t" in text for text in texts) else None


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
