"""The photos of a folder and its subfolders, and what else lies there."""

import errno
import os
from collections import Counter
from dataclasses import dataclass, field

from rrtool.files import open_regular
from rrtool.images.formats import (
    IMAGE_SUFFIXES,
    SNIFFED_BYTES,
    format_of,
    suffix_of,
    why_unread,
)

_RAW_BESIDE = "a camera's RAW photo; the photo of the same name beside it is taken"
_CIRCLE = "a link in a circle, to a folder that holds it"
_TWICE = "a link to a folder that is listed already"
_NOWHERE = "a link that leads nowhere"
# Written by rrtool itself, perhaps beside the photos.
_OWN = (".h5", ".skipped.tsv")

Reasons = list[tuple[str, str]]


@dataclass
class FolderWalk:
    """What was found; names are relative to the folder, in no order.

    Links to folders are followed when all folders that are no links have been listed, so that a
    photo has the name of its own place; no folder is listed twice. Hidden files and folders, which
    hold thumbnails and this tool's own unfinished parts, are left out without a word.

    Attributes:
        photos: names of photos: by their suffix, others by their first bytes.
        skipped: photos that cannot be used, and folders that cannot be listed, with the reason.
        passed_over: what is no photo, or is one that is listed under another name.
    """

    root: str
    photos: list[str] = field(default_factory=list)
    skipped: Reasons = field(default_factory=list)
    passed_over: Reasons = field(default_factory=list)
    _raw: Reasons = field(default_factory=list)
    _links: list[str] = field(default_factory=list)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._tree("")
        while self._links:
            self._links.sort(key=os.fsencode)
            self._follow(self._links.pop(0))
        photos = self.photos if self._raw else []
        stems = {os.path.splitext(name)[0].lower() for name in photos}
        for name, why in self._raw:
            if os.path.splitext(name)[0].lower() in stems:
                self.passed_over.append((name, _RAW_BESIDE))
            else:
                self.skipped.append((name, why))

    def _path(self, name: str) -> str:
        return os.path.join(self.root, name)

    def _tree(self, top: str) -> None:
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                status = os.stat(self._path(folder))
                if (status.st_dev, status.st_ino) in self._seen:
                    continue
                self._seen.add((status.st_dev, status.st_ino))
                with os.scandir(self._path(folder)) as entries:
                    visible = [entry for entry in entries if not entry.name.startswith(".")]
            except OSError as error:
                self.skipped.append((self._path(folder), error.strerror or str(error)))
                continue
            for entry in visible:
                name = os.path.join(folder, entry.name)
                if entry.is_symlink():
                    self._link(name)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                else:
                    self._file(name)

    def _link(self, name: str) -> None:
        try:
            is_folder = os.path.isdir(self._path(name))
            os.stat(self._path(name))
        except OSError as error:
            if suffix_of(name) in IMAGE_SUFFIXES:
                self.photos.append(name)  # a row that says so when it is opened
            else:
                why = _CIRCLE if error.errno == errno.ELOOP else _NOWHERE
                self.skipped.append((name, why))
            return
        if is_folder:
            self._links.append(name)
        else:
            self._file(name)

    def _follow(self, link: str) -> None:
        path = self._path(link)
        status = os.stat(path)
        inside = os.path.realpath(os.path.dirname(path))
        if os.path.commonpath([inside, os.path.realpath(path)]) == os.path.realpath(path):
            self.passed_over.append((link, _CIRCLE))
        elif (status.st_dev, status.st_ino) in self._seen:
            self.passed_over.append((link, _TWICE))
        else:
            self._tree(link)

    def _file(self, name: str) -> None:
        if suffix_of(name) in IMAGE_SUFFIXES:
            self.photos.append(name)
            return
        if name.endswith(_OWN):
            return
        try:
            with open_regular(self._path(name)) as file:
                start = file.read(SNIFFED_BYTES)
        except OSError as error:
            self.passed_over.append((name, error.strerror or str(error)))
            return
        if why := why_unread(name, start):
            self._raw.append((name, why))
        elif format_of(start):
            self.photos.append(name)
        else:
            self.passed_over.append((name, "not a photo"))


def kinds_of(passed_over: Reasons) -> dict[str, int]:
    """How many were passed over of each kind: of each suffix, and links to folders."""
    links = (_CIRCLE, _TWICE)
    kinds = [
        "links" if why in links else suffix_of(name) or "no suffix" for name, why in passed_over
    ]
    return dict(Counter(kinds).most_common())
