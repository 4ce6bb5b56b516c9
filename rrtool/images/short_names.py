"""Names of images without the folders that all of them share."""

import posixpath
from collections.abc import Sequence


def common_folder(names: Sequence[str]) -> str:
    """The folder that all names begin with, with its last ``/``; empty where there is none."""
    folders = {posixpath.dirname(name) for name in names}
    try:
        shared = posixpath.commonpath(folders)
    except ValueError:  # no names, or absolute ones beside others
        return ""
    return posixpath.join(shared, "") if shared else ""


def short_names(names: Sequence[str]) -> list[str]:
    """Each name without ``common_folder``: what tells the images apart."""
    start = len(common_folder(names))
    return [name[start:] for name in names]
