"""Functions that workers are given: they leave a file for each time they are called."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def note(folder: Path, part: int) -> int:
    """The square of a part."""
    calls = len(list(folder.glob(f"{part}-*")))
    (folder / f"{part}-{calls}").write_text(os.environ.get("OMP_NUM_THREADS", ""))
    return part**2


def die_once(folder: Path, part: int) -> int:
    """Of part 3 the first worker is killed."""
    time.sleep(0.05)  # so that none takes all
    if part == 3 and not (folder / "3-0").exists():
        note(folder, part)
        os.kill(os.getpid(), signal.SIGKILL)
    return note(folder, part)


def die(folder: Path, part: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def fail(folder: Path, part: int) -> int:
    note(folder, part)
    raise ZeroDivisionError("by nothing\nat all")
