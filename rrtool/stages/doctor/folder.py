"""What is wrong in a folder: slow or without locks, damaged files, what killed runs have left."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrtool.artifacts import open_any
from rrtool.artifacts.output.orphans import Orphan, orphan_at, remove_orphan
from rrtool.artifacts.verified import VerifiedFile
from rrtool.errors import NoArtifact, RrtoolError, UsageError, printable
from rrtool.files import new_file, reclaim, temporaries, write_failures
from rrtool.progress import Progress

_SUFFIXES = (".h5", ".hdf5")
_WRITTEN = 32 << 20  # bytes
_BLOCK = bytes(range(256)) * 4096
_MB = 1e6


@dataclass
class Examined:
    """What was found in a folder.

    Attributes:
        facts: in words.
        wrong: a line each.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)


def examine(folder: Path, clean: bool, progress: Progress) -> Examined:
    """Write to a folder, and look at everything in it and below; links are not followed.

    Args:
        clean: whether to remove what killed runs have left.

    Raises:
        UsageError: there is no such folder.
    """
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=folder)
    found = Examined({"path": str(folder)})
    try:
        found.facts |= _written(folder, found.wrong)
    except RrtoolError as error:
        found.wrong.append(str(error))
    artifacts, orphans = _listed(folder, found.wrong)
    _check_artifacts(artifacts, found, progress)
    _check_orphans(orphans, clean, found)
    return found


class _Measured(Exception):
    """Ends the writing of a file that nobody needs."""


def _written(folder: Path, wrong: list[str]) -> dict[str, str]:
    """How fast a file is written there, and whether a second lock on it is refused."""
    target, speed, locks = folder / "rrtool-doctor", 0.0, "hold"
    reclaim(target)
    with write_failures(folder), suppress(_Measured), new_file(target) as descriptor:
        (temporary,) = temporaries(target)
        if not _is_locked(temporary):
            locks = "do not hold"
            wrong.append(f"{folder}: locks do not hold there: let one run write it at a time")
        started = time.monotonic()
        for _ in range(_WRITTEN // len(_BLOCK)):
            os.write(descriptor, _BLOCK)
        os.fsync(descriptor)
        speed = _WRITTEN / _MB / (time.monotonic() - started)
        raise _Measured
    return {"write speed": f"{speed:.0f} MB/s", "locks": locks}


def _is_locked(path: Path) -> bool:
    """Whether a lock on a file that is being written is refused."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _listed(folder: Path, wrong: list[str]) -> tuple[list[Path], list[Orphan]]:
    """Artifacts by their suffixes, and what killed runs have left."""
    artifacts, orphans = [], []

    def note(error: OSError) -> None:
        wrong.append(f"{printable(error.filename)}: cannot be listed ({error.strerror})")

    for root, folders, files in os.walk(folder, onerror=note):
        for name in sorted([*files, *folders]):
            path = Path(root, name)
            if name.startswith("."):
                orphan = orphan_at(path)
                orphans += [orphan] if orphan else []
            elif name in files and name.lower().endswith(_SUFFIXES):
                artifacts.append(path)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    return artifacts, orphans


def _check_artifacts(artifacts: list[Path], found: Examined, progress: Progress) -> None:
    counts = {"good": 0, "damaged": 0, "not ours": 0}
    with progress.task("artifacts", len(artifacts), "files") as advance:
        for path in artifacts:
            try:
                _verify(path)
                counts["good"] += 1
            except NoArtifact:
                counts["not ours"] += 1
            except RrtoolError as error:
                counts["damaged"] += 1
                found.wrong.append(str(error))
            advance(1)
    found.facts["artifacts"] = ", ".join(f"{n} {what}" for what, n in counts.items())


def _verify(path: Path) -> None:
    """Read an artifact to its last byte.

    Raises:
        RrtoolError: it cannot be read, is none, or damaged.
    """
    with VerifiedFile(path) as file:
        if file.has_checksums:
            file.verify()
    with open_any(path) as artifact:
        if not file.has_checksums and artifact.computed_digest() != artifact.digest:
            raise artifact.damaged(artifact.computed_digest(), "its content", artifact.digest)


def _check_orphans(orphans: list[Orphan], clean: bool, found: Examined) -> None:
    left = [orphan for orphan in orphans if not (clean and remove_orphan(orphan))]
    n_bytes = sum(orphan.n_bytes for orphan in left)
    if clean:
        found.facts["removed"] = len(orphans) - len(left)
    found.facts["left by killed runs"] = f"{len(left)}, {n_bytes / _MB:.1f} MB"
    found.wrong += list(_told(left))


def _told(orphans: list[Orphan]) -> Iterator[str]:
    for orphan in orphans:
        yield f"{printable(orphan.path)}: {printable(orphan.what)}; --clean removes it"
