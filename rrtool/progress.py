"""How a stage tells how far it is, and the forms that people see: nothing, lines, or bars."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TextIO

from rrtool.errors import printable, shortened

Advance = Callable[[int], None]
_PLAIN_INTERVAL_S = 10.0


class Progress(Protocol):
    """What a stage reports to."""

    def task(self, description: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        """A context that gives a function to call with the number of units done."""
        ...

    def message(self, text: str) -> None:
        """One line for the user."""
        ...


class Silent:
    """Reports nothing: for the stages as a library, and for ``--quiet``."""

    @contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        yield lambda n: None

    def message(self, text: str) -> None:
        """Nothing."""


class Console:
    """Bars on a terminal, plain lines elsewhere; all on standard error."""

    def message(self, text: str) -> None:
        write_stderr(shortened(printable(text)))

    @contextmanager
    def task(self, description: str, total: int, unit: str) -> Iterator[Advance]:
        if sys.stderr.isatty():
            with _bar(description, total, unit) as advance:
                yield advance
        else:
            yield _plain_lines(description, total, unit)


@contextmanager
def _bar(description: str, total: int, unit: str) -> Iterator[Advance]:
    from rich import console
    from rich import progress as bars

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TextColumn("{task.fields[rate]}"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=console.Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, rate=unit)

        def advance(n: int) -> None:
            progress.advance(task, n)
            speed = progress.tasks[task].speed
            if speed:
                progress.update(task, rate=f"{speed:.1f} {unit}/s")

        yield advance


def _plain_lines(description: str, total: int, unit: str) -> Advance:
    start = last = time.monotonic()
    done = 0

    def advance(n: int) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if done and (done >= total or now - last >= _PLAIN_INTERVAL_S):
            last = now
            rate = done / max(now - start, 1e-9)
            left = (total - done) / rate
            write_stderr(
                f"{description}: {done}/{total} {unit}, {rate:.1f} {unit}/s, {left:.0f} s left"
            )

    return advance


def write_stderr(text: str) -> None:
    """One line for people; where nobody reads them any more, the work goes on."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Let what is written to a stream, and what it still holds, go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
