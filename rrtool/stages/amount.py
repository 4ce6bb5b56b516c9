"""How much a stage has to do, and what a dry run says of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rrtool.artifacts import OutputFile
from rrtool.options import Options, declarations
from rrtool.progress import Progress

# Each part is a file that is written durably: of a million rows at 32 a part, 31,250.
_FEWEST_ROWS, _MOST_PARTS = 32, 1000
_MOST_NAMED = 6
_UNITS = ("bytes", "kB", "MB", "GB", "TB")
_GROUPED = 60  # seconds a minute, minutes an hour


def parts_of(n_rows: int, rows_per_part: int | None = None) -> list[range]:
    """The rows of each part: by default as many as the number of all rows calls for.

    It depends on nothing else, so that a rerun goes on with the same parts.
    """
    step = rows_per_part or max(_FEWEST_ROWS, -(-n_rows // _MOST_PARTS))
    return [range(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]


@dataclass(frozen=True)
class Amount:
    """What a stage has to do.

    Attributes:
        n_rows: that it works on.
        unit: what they are, such as ``queries``.
        memory: bytes that it holds at most, beside those of the program; None if nobody knows.
        parts: the rows of each part of the output, where it is written so.
    """

    n_rows: int
    unit: str
    memory: int | None = None
    parts: Sequence[Collection[int]] = ()


def foretell(
    options: Options, outputs: Sequence[OutputFile], amount: Amount, progress: Progress
) -> None:
    """Say what a run would read, make and need."""
    progress.message(f"{options.COMMAND.name} would read {', '.join(inputs_told(options))}")
    for output in outputs:
        progress.message(f"{output.path} ({output.kind}) {_standing_of(output)}")
    # Of an output whose inputs this run makes first, parts are not known to be its own.
    done = [output.folder.finished(max(1, len(amount.parts))) for output in outputs]
    finished = set.intersection(*(set(each) for each in done if each)) if any(done) else set()
    n_done = sum(len(amount.parts[number]) for number in finished if amount.parts)
    text = f"{amount.n_rows} {amount.unit} are to be worked on"
    if n_done:
        text += f", {n_done} of them are done already by an interrupted run"
    elif finished:
        text += ", and an interrupted run of it is there to go on with"
    takes = []
    if rate := max(output.microseconds_a_row for output in outputs):
        duration = in_time((amount.n_rows - n_done) * rate / 1e6)
        takes.append(f"about {duration}, at the rate of the run before")
    if amount.memory is not None:
        takes.append(f"about {in_bytes(amount.memory)} of memory beside the program's own")
    progress.message(text + (f"; this takes {', and '.join(takes)}" if takes else ""))


def inputs_told(options: Options) -> list[str]:
    """Each with the option that names it; of many the first."""
    found = []
    for name, value in options.of_role("artifact", "images", "file").items():
        declared = declarations(type(options))[name]
        found += [f"{declared.typed} {each}" for each in (value if declared.many else (value,))]
    more = [f"{len(found) - _MOST_NAMED} more"] if len(found) > _MOST_NAMED else []
    return found[:_MOST_NAMED] + more


def _standing_of(output: OutputFile) -> str:
    if output.is_current:
        return "is up to date"
    if output.is_update:
        return "would be brought up to date"
    return "would be replaced" if output.path.exists() else "would be made"


def in_bytes(number: float) -> str:
    """In a unit that leaves few digits."""
    for unit in _UNITS:
        if number < 999.5 or unit == _UNITS[-1]:
            break
        number /= 1000
    return f"{number:.3g} {unit}"


def in_time(seconds: float) -> str:
    """Seconds, minutes or hours."""
    minutes, hours = seconds / _GROUPED, seconds / _GROUPED**2
    if hours >= 2:
        return f"{hours:.0f} hours"
    return f"{minutes:.0f} minutes" if minutes >= 2 else f"{max(1, seconds):.0f} s"
