"""Run a function in a forked child, within limits of time and memory."""

from __future__ import annotations

import faulthandler
import os
import resource
import select
import signal
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Limits:
    """What a case may take.

    Attributes:
        seconds: of wall-clock time.
        memory: bytes of resident memory beyond what the warm process holds.
    """

    seconds: float = 20.0
    memory: int = 1536 * MIB


@dataclass(frozen=True)
class Outcome:
    """How a child ended.

    Attributes:
        code: exit status; None where a signal ended it.
        signal: that ended it, or 0.
        timed_out: whether it ran past its time and was killed.
        grown: bytes of resident memory at its peak beyond those at its start.
        strays: whether processes that it started were still there.
        stdout, stderr: what it wrote; where it hung also the stack.
    """

    code: int | None
    signal: int
    timed_out: bool
    grown: int
    strays: bool
    seconds: float
    stdout: bytes
    stderr: bytes


def run_forked(
    action: Callable[[], object], folder: Path, environment: Mapping[str, str], limits: Limits
) -> Outcome:
    """Run ``action`` in a child of its own session, with ``folder/work`` as its working folder.

    The status is that of a Python program: 0, that of ``SystemExit``, or 1 after a traceback.
    ``folder/stdin``, if it is there, is its standard input.
    """
    started, tell = os.pipe()
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _child(action, folder, environment, limits, tell)
    os.close(tell)
    timed_out = _hangs(pid, limits.seconds)
    if timed_out:
        os.kill(pid, signal.SIGUSR1)  # faulthandler writes the stack
        if not _ends_within(pid, 0.5):
            os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    seconds = time.monotonic() - begin
    at_start = os.read(started, 8)
    os.close(started)
    grown = usage.ru_maxrss * 1024 - struct.unpack("q", at_start)[0] if at_start else 0
    code = os.waitstatus_to_exitcode(status)
    return Outcome(
        code=code if code >= 0 else None,
        signal=max(0, -code),
        timed_out=timed_out,
        grown=grown,
        strays=_end_strays(pid),
        seconds=seconds,
        stdout=(folder / "stdout").read_bytes(),
        stderr=(folder / "stderr").read_bytes(),
    )


def _hangs(pid: int, seconds: float) -> bool:
    """Whether it is still there after so many seconds, of a processor if it has to share one."""
    if _ends_within(pid, seconds):
        return False
    before = _processor_seconds(pid)
    while before < seconds:
        if _ends_within(pid, 2.0):
            return False
        now = _processor_seconds(pid)
        if now - before < 0.05:  # it waits
            return True
        before = now
    return True


def _processor_seconds(group: int) -> float:
    """Used by all processes of a group so far."""
    ticks = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        if int(fields[2]) == group:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _ends_within(pid: int, seconds: float) -> bool:
    descriptor = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _end_strays(group: int) -> bool:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _child(
    action: Callable[[], object],
    folder: Path,
    environment: Mapping[str, str],
    limits: Limits,
    tell: int,
) -> None:
    code = 70
    try:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _redirect(folder)
        faulthandler.enable(file=2)
        faulthandler.register(signal.SIGUSR1, file=2)
        _limit(limits)
        os.environ.update(environment)
        tempfile.tempdir = None
        os.chdir(folder / "work")
        os.write(tell, struct.pack("q", _resident()))
        code = _run(action)
    finally:
        os._exit(code)


def _redirect(folder: Path) -> None:
    given = folder / "stdin"
    stdin = os.open(given if given.exists() else os.devnull, os.O_RDONLY)
    os.dup2(stdin, 0)
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    # Not the parent's: under pytest those go elsewhere.
    sys.stdin = os.fdopen(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _limit(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 30, 4 << 30))
    # Only so that a bomb cannot take the whole machine: what counts is what is resident.
    size = int(Path("/proc/self/statm").read_text().split()[0]) * _PAGE
    most = size + 4 * limits.memory
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _run(action: Callable[[], object]) -> int:
    """As the interpreter runs a program to its end.

    What libraries have registered for the exit is left out: of each case it would cost half.
    """
    code: object = 0
    try:
        action()
    except SystemExit as leaving:
        code = leaving.code or 0
        if not isinstance(code, int):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are left
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return code if isinstance(code, int) else 1
