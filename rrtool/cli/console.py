"""What people see: progress and messages on stderr, results on stdout, exit codes."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer

from rrtool.errors import RrtoolError, UsageError, WorkFailed, printable, shortened
from rrtool.interrupts import EXIT_INTERRUPTED, came, working
from rrtool.progress import Console, Progress, Silent, discard, write_stderr

EXIT_SKIPPED = 3


@contextmanager
def reported(quiet: bool = False, verbose: bool = False) -> Iterator[Progress]:
    """Run a command: failures become one line on stderr and the right exit code.

    Args:
        quiet: say nothing but failures.
        verbose: before the line, the traceback.
    """
    with working():
        try:
            with _traced(verbose):
                yield Silent() if quiet else Console()
        except RrtoolError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail_interrupted()
        except MemoryError:
            _fail("out of memory", 1)
        except BrokenPipeError:
            discard(sys.stdout)
            raise typer.Exit(1) from None
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            refused = WorkFailed("the system failed", where=error.filename, found=reason)
            _fail(str(refused), refused.exit_code)
        except Exception:  # what a library made of an interrupt
            if not came():
                raise
            _fail_interrupted()


@contextmanager
def _traced(wanted: bool) -> Iterator[None]:
    try:
        yield
    except (RrtoolError, OSError, MemoryError):
        if wanted:
            traceback.print_exc()
        raise


def _fail_interrupted() -> NoReturn:
    write_stderr("rrtool: interrupted; run the same command again to continue")
    raise typer.Exit(EXIT_INTERRUPTED) from None


def _fail(text: str, code: int) -> NoReturn:
    if came():
        _fail_interrupted()
    write_stderr(f"rrtool: {text}")
    raise typer.Exit(code) from None


def complete_streams() -> None:
    """Standard streams that the shell closed lead nowhere: no file of ours may take their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8"))  # noqa: SIM115 - to the end


@contextmanager
def output_written() -> Iterator[None]:
    """Write standard output to its end before the interpreter does, which would show a traceback.

    The reader of our output may have gone, as ``head`` does: then there is nobody left to tell.
    """
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        discard(sys.stdout)
        if not isinstance(error, BrokenPipeError):
            write_stderr(f"rrtool: standard output: cannot write (found {error.strerror})")
        raise SystemExit(1) from None


def warn(text: str) -> None:
    """One line that does not stop the command."""
    write_stderr(f"warning: {shortened(printable(text))}")


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
