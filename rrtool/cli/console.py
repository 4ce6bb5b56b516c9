"""What people see: progress and messages on stderr, results on stdout, exit codes."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer

from rrtool.errors import RrtoolError, UsageError, WorkFailed, printable
from rrtool.progress import Console, Progress, Silent, write_stderr

EXIT_SKIPPED, EXIT_INTERRUPTED = 3, 130


@contextmanager
def reported(quiet: bool = False, verbose: bool = False) -> Iterator[Progress]:
    """Run a command: failures become one line on stderr and the right exit code.

    Args:
        quiet: say nothing but failures.
        verbose: before the line, the traceback.
    """
    previous = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with _traced(verbose):
            yield Silent() if quiet else Console()
        sys.stdout.flush()
    except RrtoolError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted; run the same command again to continue", EXIT_INTERRUPTED)
    except MemoryError:
        _fail("out of memory", 1)
    except BrokenPipeError:
        # The reader of our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        refused = WorkFailed("the system failed", where=error.filename, found=reason)
        _fail(str(refused), refused.exit_code)
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _traced(wanted: bool) -> Iterator[None]:
    try:
        yield
    except (RrtoolError, OSError, MemoryError):
        if wanted:
            traceback.print_exc()
        raise


def _interrupt(number: int, frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _fail(text: str, code: int) -> NoReturn:
    write_stderr(f"rrtool: {text}")
    raise typer.Exit(code) from None


def warn(text: str) -> None:
    """One line that does not stop the command."""
    write_stderr(f"warning: {printable(text)}")


def emit_path(path: Path, as_json: bool, facts: Callable[[], dict[str, Any]]) -> None:
    """The result of a stage on stdout: its path, or a JSON document about it."""
    if as_json:
        emit_json({"output": str(path), **facts()})
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(path) + b"\n")
    sys.stdout.flush()


def emit_json(content: Any) -> None:
    """One JSON document on stdout; NaN, which JSON lacks, becomes null."""
    print(json.dumps(_without_nan(content), ensure_ascii=True, indent=2))


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    if isinstance(content, float) and content != content:
        return None
    return content


def path_argument(text: str) -> str:
    """A path as written; ``-`` reads it from stdin, as the stage before in a pipe prints it.

    Raises:
        UsageError: stdin holds no path.
    """
    if text != "-":
        return text
    lines = [os.fsdecode(line) for line in sys.stdin.buffer.read().splitlines() if line.strip()]
    what = "'-' reads one path from standard input"
    if len(lines) != 1:
        todo = "did the stage before in the pipe fail?"
        raise UsageError(what, found=f"{len(lines)} lines", todo=todo)
    if "\0" in lines[0]:
        raise UsageError(what, found="a NUL byte in it")
    return lines[0]
