"""Which images a table or a ground truth means: by the exact name first, then by its spellings.

People write `./a.jpg` or `C:\\photos\\a.jpg` for `a.jpg`, their computer takes an accent from its
letter, their spreadsheet writes another code page, and the extension is left out.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cached_property

from rrtool.tables import in_words

_AMISS = re.compile(r"\\|//|(^|/)\.{1,2}(/|$)|^\s|\s$|/$")
# One of these is in names, with a line feed before and after each, where ``_AMISS`` is in one.
_SIGNS = ("\\", "//", "/.", "\n.", "/\n", "\n ", " \n", *"\t\r\v\f\x1c\x1d\x1e\x1f")
_ABSOLUTE = re.compile(r"([A-Za-z]:)?/")


def spelling(name: str) -> str:
    """One form for all that mean the same path, with `/` between its parts."""
    if name.isascii() and not _AMISS.search(name):
        return name
    path = in_words(name).strip().replace("\\", "/")
    return posixpath.normpath(re.sub("/+", "/", path)) if path else path


def spelled(names: Sequence[str]) -> list[str]:
    """``spelling`` of each; where nothing about any of them looks amiss, at one look at all."""
    joined = "\n".join(["", *names, ""])
    is_plain = joined.isascii() and joined.count("\n") == len(names) + 1
    if is_plain and not any(sign in joined for sign in _SIGNS):
        return list(names)
    return [spelling(name) for name in names]


def spellings(name: str) -> Iterator[str]:
    """Other forms under which a file may have been stored."""
    form = spelling(name)
    yield form
    yield unicodedata.normalize("NFD", form)


def match_names(entries: Sequence[str] | Entries, names: Sequence[str]) -> list[Sequence[int]]:
    """The entries that mean each image, as positions; several mean it where they are alike.

    An image has the entries that are its exact name or spell it otherwise, but for those that
    are the exact name of another; else those without an extension that are its path or its stem
    (or, for an image without an extension, its path); else the one of which the other is the end,
    where only one of the two is an absolute path.

    Args:
        entries: names as a table has them; who asks several times makes ``Entries`` of them.
        names: names of the images.
    """
    index = _Index(entries if isinstance(entries, Entries) else Entries(entries), names)
    found = [index.alike(name, form) for name, form in zip(names, index.forms, strict=True)]
    index.add_ends(found)
    return found


def rows_of_same(names: Sequence[str], database_names: Sequence[str]) -> list[Sequence[int]]:
    """The rows of the database that have the name of each image, spelled so or otherwise.

    An absolute path and a relative one that it ends in are one name here, too.
    """
    wanted = set(spelled(names))
    ends = [end for form in wanted if _is_absolute(form) for end in _ends(form)]
    wanted.update(ends, (posixpath.splitext(end)[0] for end in ends))
    # Of a million names few are asked for: only these become entries.
    rows = [
        row
        for row, form in enumerate(spelled(database_names))
        if form in wanted or ("/" in form[:3] and _is_absolute(form))
    ]
    index = _Index(Entries([database_names[row] for row in rows]), names)
    found = [index.same(form) for form in index.forms]
    index.add_ends(found)
    return [[rows[entry] for entry in entries] for entries in found]


class Entries:
    """Names as a table has them, by their form.

    Attributes:
        names: themselves.
        absolute: form and position of each that is an absolute path.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._forms = spelled(names)
        self._first: dict[str, int] = {}
        self._all: dict[str, list[int]] = {}  # of the forms that several have, which are few
        for position, form in enumerate(self._forms):
            first = self._first.setdefault(form, position)
            if first != position:
                self._all.setdefault(form, [first]).append(position)
        self.absolute = [
            (form, position)
            for position, form in enumerate(self._forms)
            if "/" in form[:3] and _is_absolute(form)
        ]

    def of(self, form: str) -> Sequence[int]:
        """The positions of a form."""
        if form in self._all:
            return self._all[form]
        return (self._first[form],) if form in self._first else ()

    def of_path(self, path: str) -> Sequence[int]:
        """The positions of those that are a path but for their extension."""
        return self._by_path.get(path, ())

    @cached_property
    def _by_path(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for position, form in enumerate(self._forms):
            path, extension = posixpath.splitext(form)
            if extension:
                found.setdefault(path, []).append(position)
        return found


class _Index:
    """The entries and the images by the form of their names."""

    def __init__(self, entries: Entries, names: Sequence[str]) -> None:
        self._by_form, self._entries, self._names = entries, entries.names, names
        self.forms = spelled(names)

    @cached_property
    def _exact(self) -> set[str]:
        return set(self._entries).intersection(self._names)

    def same(self, form: str) -> Sequence[int]:
        return self._by_form.of(form)

    def alike(self, name: str, form: str) -> Sequence[int]:
        """All but ends of absolute paths."""
        found = self._by_form.of(form)
        if len(found) == 1 and self._entries[found[0]] == name:
            return found
        same = [
            entry
            for entry in found
            if self._entries[entry] == name or self._entries[entry] not in self._exact
        ]
        if same:
            return same
        path, extension = posixpath.splitext(form)
        if not extension:
            of_path = self._by_form.of_path(form)
            return of_path or self._by_form.of(posixpath.basename(form))
        return self._by_form.of(path) or self._by_form.of(posixpath.basename(path))

    def add_ends(self, found: list[Sequence[int]]) -> None:
        """Absolute paths on one side, for images that have no entry yet."""
        left: dict[str, list[int]] = {}
        for image, form in enumerate(self.forms):
            if not found[image]:
                left.setdefault(form, []).append(image)
        for form, images in left.items():
            if _is_absolute(form):
                entries = next(filter(None, map(self._relative, _ends(form))), ())
                for image in images:
                    found[image] = entries
        ends: dict[str, list[int]] = {}
        for form, entry in self._by_form.absolute:
            if self._entries[entry] not in self._exact:
                end = next((end for end in _ends(form) if end in left), None)
                if end is not None:
                    ends.setdefault(end, []).append(entry)
        for end, entries in ends.items():
            for image in left[end]:
                found[image] = entries

    def _relative(self, end: str) -> Sequence[int]:
        entries = self._by_form.of(end) or self._by_form.of(posixpath.splitext(end)[0])
        return [entry for entry in entries if self._entries[entry] not in self._exact]


def _is_absolute(form: str) -> bool:
    return _ABSOLUTE.match(form) is not None


def _ends(path: str) -> Iterator[str]:
    """Of an absolute path, from its first folder on to its last part."""
    while "/" in path:
        path = path.partition("/")[2]
        yield path
