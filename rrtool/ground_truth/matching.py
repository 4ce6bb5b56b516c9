"""Which images a table or a ground truth means: by the exact name first, then by its spellings.

People write `./a.jpg` or `C:\\photos\\a.jpg` for `a.jpg`, their computer takes an accent from its
letter, their spreadsheet writes another code page, and the extension is left out.
"""

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence

from rrtool.tables import in_words

_AMISS = re.compile(r"\\|//|(^|/)\.{1,2}(/|$)|^\s|\s$|/$")
_ABSOLUTE = re.compile(r"([A-Za-z]:)?/")


def spelling(name: str) -> str:
    """One form for all that mean the same path, with `/` between its parts."""
    if name.isascii() and not _AMISS.search(name):
        return name
    path = in_words(name).strip().replace("\\", "/")
    return posixpath.normpath(re.sub("/+", "/", path)) if path else path


def spellings(name: str) -> Iterator[str]:
    """Other forms under which a file may have been stored."""
    form = spelling(name)
    yield form
    yield unicodedata.normalize("NFD", form)


def match_names(entries: Sequence[str], names: Sequence[str]) -> list[Sequence[int]]:
    """The entries that mean each image, as positions; several mean it where they are alike.

    An image has the entries that are its exact name or spell it otherwise, but for those that
    are the exact name of another; else those without an extension that are its path or its stem
    (or, for an image without an extension, its path); else the one of which the other is the end,
    where only one of the two is an absolute path.

    Args:
        entries: names as a table has them.
        names: names of the images.
    """
    index = _Index(entries, names)
    found = [index.alike(name, form) for name, form in zip(names, index.forms, strict=True)]
    index.add_ends(found)
    return found


def rows_of_same(names: Sequence[str], database_names: Sequence[str]) -> list[Sequence[int]]:
    """The rows of the database that have the name of each image, spelled so or otherwise.

    An absolute path and a relative one that it ends in are one name here, too.
    """
    index = _Index(database_names, names)
    found = [index.same(form) for form in index.forms]
    index.add_ends(found)
    return found


class _Index:
    """The entries and the images by the form of their names."""

    def __init__(self, entries: Sequence[str], names: Sequence[str]) -> None:
        self._entries, self._exact = entries, set(entries).intersection(names)
        self.forms = [spelling(name) for name in names]
        self._entry_forms = [spelling(entry) for entry in entries]
        self._by_form: dict[str, list[int]] = {}
        for position, form in enumerate(self._entry_forms):
            self._by_form.setdefault(form, []).append(position)
        self._by_path: dict[str, list[int]] = {}  # without the extension
        if any(not posixpath.splitext(form)[1] for form in self.forms):
            for position, form in enumerate(self._entry_forms):
                path, extension = posixpath.splitext(form)
                if extension:
                    self._by_path.setdefault(path, []).append(position)

    def same(self, form: str) -> Sequence[int]:
        return self._by_form.get(form, ())

    def alike(self, name: str, form: str) -> Sequence[int]:
        """All but ends of absolute paths."""
        same = [
            entry
            for entry in self._by_form.get(form, ())
            if self._entries[entry] == name or self._entries[entry] not in self._exact
        ]
        if same:
            return same
        path, extension = posixpath.splitext(form)
        if not extension:
            return self._by_path.get(form) or self._by_form.get(posixpath.basename(form)) or ()
        return self._by_form.get(path) or self._by_form.get(posixpath.basename(path)) or ()

    def add_ends(self, found: list[Sequence[int]]) -> None:
        """Absolute paths on one side, for images that have no entry yet."""
        left: dict[str, list[int]] = {}
        for image, form in enumerate(self.forms):
            if not found[image]:
                left.setdefault(form, []).append(image)
        for form, images in left.items():
            if _ABSOLUTE.match(form):
                entries = next(filter(None, map(self._relative, _ends(form))), ())
                for image in images:
                    found[image] = entries
        ends: dict[str, list[int]] = {}
        for entry, form in enumerate(self._entry_forms):
            if _ABSOLUTE.match(form) and self._entries[entry] not in self._exact:
                end = next((end for end in _ends(form) if end in left), None)
                if end is not None:
                    ends.setdefault(end, []).append(entry)
        for end, entries in ends.items():
            for image in left[end]:
                found[image] = entries

    def _relative(self, end: str) -> Sequence[int]:
        entries = self._by_form.get(end) or self._by_form.get(posixpath.splitext(end)[0]) or ()
        return [entry for entry in entries if self._entries[entry] not in self._exact]


def _ends(path: str) -> Iterator[str]:
    """Of an absolute path, from its first folder on to its last part."""
    while "/" in path:
        path = path.partition("/")[2]
        yield path
