"""Where numba keeps what it has compiled.

By itself numba takes ``$NUMBA_CACHE_DIR`` or the installation's folders, and where these cannot be
written, as in an installation for all users, the user's cache folder (``$XDG_CACHE_HOME/numba`` or
``~/.cache/numba``). Where that cannot be written either, as in a container without a home, it
refuses to import any kernel: then it gets a folder for the time of this process.
"""

import os
import sys
from collections.abc import Callable, MutableMapping

_VARIABLE = "NUMBA_CACHE_DIR"


def make_place(package: str, environment: MutableMapping[str, str]) -> None:
    """Let ``environment`` name a folder of this process if numba would find none.

    Args:
        package: the folder of the installation.
    """
    if environment.get(_VARIABLE) or _can_be_written(os.path.join(package, "__pycache__")):
        return
    cache = environment.get("XDG_CACHE_HOME") or os.path.expanduser(os.path.join("~", ".cache"))
    if _can_be_written(os.path.join(cache, "numba")):
        return
    import atexit
    import shutil
    import tempfile

    try:
        folder = tempfile.mkdtemp(prefix="rrtool-compiled-")
    except OSError:
        return  # numba says what is wrong
    environment[_VARIABLE] = folder
    if loaded := sys.modules.get("numba.core.config"):  # it has looked at the variable already
        loaded.__dict__["CACHE_DIR"] = folder
    atexit.register(_remove, folder, os.getpid(), shutil.rmtree)


def _can_be_written(folder: str) -> bool:
    """Whether there is or can be such a folder with new files in it."""
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)


def _remove(folder: str, process: int, remove: Callable[..., None]) -> None:
    if os.getpid() == process:  # and not a fork of it
        remove(folder, ignore_errors=True)
