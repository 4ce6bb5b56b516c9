"""Which images a run is about: a folder, a text or CSV list, or a list on standard input."""

import csv
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rrtool.errors import UsageError

IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pnm", ".jp2", ".avif",
})  # fmt: skip
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
        unreadable_folders: ``(path, reason)`` of folders that could not be listed.
        n_ignored: files of a folder passed over because their suffix is no image's.
    """

    names: list[str]
    paths: list[str]
    unreadable_folders: list[tuple[str, str]]
    n_ignored: int = 0


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
    unreadable: list[tuple[str, str]] = []

    def remember(error: OSError) -> None:
        unreadable.append((error.filename or str(root), error.strerror or str(error)))

    found: list[str] = []
    n_ignored = 0
    for folder, subfolders, files in os.walk(root, onerror=remember):
        # Hidden folders hold thumbnails and this tool's own unfinished parts.
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        images = [name for name in files if _is_image_name(name)]
        n_ignored += len(files) - len(images)
        found += [os.path.relpath(os.path.join(folder, name), root) for name in images]
    found.sort(key=os.fsencode)
    if not found and unreadable:
        raise UsageError("cannot read the folder", where=source, found=unreadable[0][1])
    if not found:
        raise UsageError(
            "no images in this folder",
            where=source,
            expected="files ending in " + ", ".join(sorted(IMAGE_SUFFIXES)),
            found=f"{n_ignored} other files",
        )
    names = [name.replace(os.sep, "/") for name in found]
    return ImageList(names, [str(root / name) for name in found], unreadable, n_ignored)


def _is_image_name(name: str) -> bool:
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


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
