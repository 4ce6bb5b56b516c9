"""rrtool: find the same object again in large photo collections, and learn from few labels.

Every command is a function here, with the same options and defaults, and ``rrtool.open`` reads
what they write:

    import rrtool

    rrtool.extract("photos", "f.h5", network="squeezenet1_1", weights="net.pth")
    rrtool.search("f.h5", "f.h5", "r.h5")
    with rrtool.open("r.h5") as ranking:
        print(ranking.hits("mug_3.jpg"))

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import os

from rrtool.version import VERSION

# numba has a number of threads of its own, and gives it to torch too when it starts them: so it is
# the one that the user has set, or results would differ in the last bits within a run.
if os.environ.get("OMP_NUM_THREADS", "0").strip("0").isdigit():
    os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])

TYPE_CHECKING = False  # for type checkers it is true; importing typing takes longer than all else
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from rrtool.artifacts.reader import Artifact

__version__ = VERSION


def open(path: str | Path) -> Artifact:
    """Open an artifact as the class of its kind (``rrtool.artifacts.kinds``).

    Raises:
        RrtoolError: there is no such file, or it is no artifact or damaged.
    """
    from rrtool.artifacts.kinds import open_any

    return open_any(path)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    if name == "RrtoolError":
        from rrtool.errors import RrtoolError

        return RrtoolError
    from rrtool.api import function

    try:
        command = function(name)
    except KeyError:
        raise AttributeError(f"rrtool has no command {name}") from None
    globals()[name] = command
    return command


def __dir__() -> list[str]:
    from rrtool.commands import by_function

    return sorted([*by_function(), "RrtoolError", "__version__", "open"])
