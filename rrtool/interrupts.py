"""Ctrl-C and SIGTERM end a command at any time in one line, with exit code 130.

Before a command holds anything the process ends on the spot, so that no library sees an exception
in the middle of its import. While it works ``KeyboardInterrupt`` is raised, so that what it holds
is let go; further signals do not disturb that, unless it takes long.

Before ``install`` runs Python is on its own, so this file imports nothing that takes time.
"""

import _signal as signal  # of ``signal`` the part in C: the rest takes ten times as long
import os
import sys
import time

EXIT_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_S = 2.0


class _State:
    is_working = False
    number: int = signal.SIGINT
    since: float | None = None  # when the signal came that is being obeyed


def install() -> None:
    """Take the signals over; for a process of our own, not for the library.

    A signal that is ignored stays so: shells start jobs in the background like that.
    """
    for number in _SIGNALS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _received)
    sys.unraisablehook = _unraisable


def ignore() -> None:
    """What the command leaves with is settled, and the interpreter takes itself apart."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class working:
    """Within, a signal raises ``KeyboardInterrupt``; with False it ends the process at once."""

    def __init__(self, is_working: bool = True) -> None:
        self.is_working = is_working

    def __enter__(self) -> None:
        self.before, _State.is_working = _State.is_working, self.is_working

    def __exit__(self, *failure: object) -> None:
        _State.is_working = self.before


def came() -> bool:
    """Whether a signal is being obeyed: whatever fails now fails because of it."""
    return _State.since is not None


def _received(number: int, frame: object) -> None:
    now = time.monotonic()
    if _State.is_working and _State.since is None:
        _State.since, _State.number = now, number
        raise KeyboardInterrupt
    if not _State.is_working or now - (_State.since or now) > _PATIENCE_S:
        _end()


def _end() -> None:
    if _State.since is None:
        try:  # noqa: SIM105 - contextlib takes time
            os.write(2, b"rrtool: interrupted\n")
        except OSError:
            pass  # nobody reads it
    os._exit(EXIT_INTERRUPTED)


def _unraisable(event: "sys.UnraisableHookArgs") -> None:
    """An interrupt that fell into a finalizer or a callback, which cannot raise it, comes again."""
    if not issubclass(event.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(event)
        return
    from threading import Timer

    _State.since = None
    again = Timer(0.01, os.kill, (os.getpid(), _State.number))
    again.daemon = True
    again.start()
