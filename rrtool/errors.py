"""Errors that end a command: one printable line each, and the exit status that goes with it."""

_LONGEST = 600
_KEPT = 280  # characters, of either end


class RrtoolError(Exception):
    """A failure the user can act on, told in one line: what, where, expected, found, what to do.

    The line reads "where: what (expected …, found …); todo". The parts are also kept as
    attributes, already escaped, for callers that lay them out differently.

    Args:
        what: the failure itself.
        where: the file, option or row it is about.
        expected: what should have been there.
        found: what was there.
        todo: what the user can do about it.
    """

    exit_code = 1

    def __init__(
        self,
        what: object,
        *,
        where: object = None,
        expected: object = None,
        found: object = None,
        todo: object = None,
    ) -> None:
        self.what = shortened(printable(what))
        self.where = _printable_or_none(where)
        self.expected = _printable_or_none(expected)
        self.found = _printable_or_none(found)
        self.todo = _printable_or_none(todo)
        # Errors cross from worker processes: Exception's own pickling makes one of ``what`` alone,
        # and then gives it the other parts.
        super().__init__(self.what)

    def __str__(self) -> str:
        labelled = (("expected", self.expected), ("found", self.found))
        compared = ", ".join(f"{label} {part}" for label, part in labelled if part is not None)
        line = self.what if self.where is None else f"{self.where}: {self.what}"
        if compared:
            line += f" ({compared})"
        return line if self.todo is None else f"{line}; {self.todo}"


class UsageError(RrtoolError):
    """An option, an argument or a file the user wrote is wrong: exit status 2."""

    exit_code = 2


class OptionError(UsageError):
    """The value of one option is wrong.

    Args:
        option: name of its field, by which the command line finds out where the value came from.
        parts: as for ``RrtoolError``.
    """

    def __init__(self, what: object, *, option: str = "", **parts: object) -> None:
        super().__init__(what, **parts)
        self.option = option

    def from_source(self, source: str) -> "OptionError":
        """The same error, saying where the value came from."""
        where = source if self.where is None else f"{source}, {self.where}"
        parts = {name: getattr(self, name) for name in ("expected", "found", "todo")}
        return OptionError(self.what, option=self.option, where=where, **parts)


class ArtifactError(RrtoolError):
    """An artifact is damaged, or does not fit the others: exit status 4."""

    exit_code = 4


class NoArtifact(ArtifactError):
    """A file that may be good, and is none of rrtool's: exit status 4."""


class NewerArtifact(ArtifactError):
    """An artifact of a later version of rrtool, which may be good: exit status 4."""


class WorkFailed(RrtoolError):
    """The input was right and the work still failed: exit status 1."""

    exit_code = 1


def printable(part: object) -> str:
    """`str(part)` with every unprintable character escaped, so that it stays on one line.

    File names may hold newlines, terminal control codes and undecodable bytes (lone surrogates,
    which no UTF-8 stream accepts); backslashes stay as they are, for Windows paths and regular
    expressions are easier to read so.
    """
    text = str(part)
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def shortened(text: str) -> str:
    """A text with its middle left out where it is longer than a terminal is good for.

    A damaged table has cells of megabytes; the longest names of files that people have fit.
    """
    return text if len(text) <= _LONGEST else f"{text[:_KEPT]} … {text[-_KEPT:]}"


def _printable_or_none(part: object) -> str | None:
    return None if part is None else shortened(printable(part))
