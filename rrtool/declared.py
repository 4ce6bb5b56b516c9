"""What is declared of an option, and how its values are checked."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from numbers import Integral, Real
from typing import Any, Literal

from rrtool.errors import OptionError

MAX_SEED = 2**63 - 1
# What a value is: a setting; a part of the network; an artifact; images; another file that is read;
# a file that is written.
Role = Literal["setting", "network", "artifact", "images", "file", "output"]


@dataclass(frozen=True)
class Option:
    """What is declared of a field, beside its name, type and default.

    Attributes:
        help: a sentence that says what it does, with its unit.
        least, most: smallest and largest value, both allowed.
        above, below: limits that are not allowed themselves.
        choices: the only texts allowed.
        shapes: whether the result depends on it.
        role: what the value is.
        names_file: whether the value may name a file that is read, where the role does not say so.
        file_prefix: what stands before the name in a value that names a file.
        replaces: whether it lets something be replaced that is there.
        trusts: whether it names somebody who may then do whatever this user may.
        panel: heading under which the help lists it.
        flags: how it is typed, where that is not ``--`` and its name; the first is its name.
        positional: whether it is an argument, known by its place.
        parse: from the text of a command line to the value, where the type does not tell.
    """

    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    shapes: bool = True
    role: Role = "setting"
    names_file: bool = False
    file_prefix: str = ""
    replaces: bool = False
    trusts: bool = False
    panel: str = "Options"
    flags: tuple[str, ...] = ()
    positional: bool = False
    parse: Callable[[str], Any] | None = None

    @property
    def range(self) -> str:
        """In words, such as ``at least 1`` or ``(0, 100]``; empty where there is none."""
        low = self.least if self.above is None else self.above
        high = self.most if self.below is None else self.below
        if low is None and high is None:
            return ""
        if high is None:
            return f"at least {low:g}" if self.above is None else f"more than {low:g}"
        if low is None:
            return f"at most {high:g}" if self.below is None else f"less than {high:g}"
        if self.above is None and self.below is None:
            return f"{_number(low)} to {_number(high)}"
        return f"{'[('[self.above is not None]}{low:g}, {high:g}{'])'[self.below is not None]}"

    def holds(self, value: float) -> bool:
        """Whether a number is in the range; NaN and the infinities are in none."""
        return (
            -math.inf < value < math.inf
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def _number(value: float) -> str:
    if value == MAX_SEED:
        return "2^63 − 1"
    return str(value) if isinstance(value, int) else f"{value:g}"


@dataclass(frozen=True)
class Declared:
    """An option of a class.

    Attributes:
        name: of the field, of the key of ``rrtool.toml`` and of the Python argument.
        declared: see ``Option``.
        type: ``int``, ``float``, ``str``, ``bool``, or the type of the entries of a tuple.
        many: whether the value is a tuple.
        optional: whether it may be None.
        default: ``MISSING`` where it must be given.
    """

    name: str
    declared: Option
    type: type
    many: bool
    optional: bool
    default: Any

    @property
    def flags(self) -> tuple[str, ...]:
        """All ways to type it, its name first."""
        return self.declared.flags or ("--" + self.name.replace("_", "-"),)

    @property
    def typed(self) -> str:
        """Its name as the user types it; that of an argument in capitals."""
        return self.name.upper() if self.declared.positional else self.flags[0]

    @property
    def is_read(self) -> bool:
        """Whether its value may name a file or a folder that is read."""
        return self.declared.names_file or self.declared.role in ("artifact", "images", "file")

    def file_in(self, value: str) -> str | None:
        """What may be the path of a file or folder that a value names."""
        prefix = self.declared.file_prefix
        return value.removeprefix(prefix) if self.is_read and value.startswith(prefix) else None

    @property
    def is_risky(self) -> bool:
        """Whether it says what is written or replaced, or who is trusted: for whoever types it, no
        file of others."""
        return self.declared.role == "output" or self.declared.replaces or self.declared.trusts

    @property
    def required(self) -> bool:
        return self.default is MISSING

    @property
    def about(self) -> str:
        """Its help and its range."""
        text, limits = self.declared.help, self.declared.range
        if self.declared.choices and not self.is_short_choice:
            text += f" One of {', '.join(self.declared.choices)}."
        if limits:
            text += f" {'In ' if limits[0] in '([' else ''}{limits[0].upper()}{limits[1:]}."
        return text

    @property
    def is_short_choice(self) -> bool:
        """Whether its choices can stand in the place of a value, as ``<gem|mac>``."""
        return bool(self.declared.choices) and len("|".join(self.declared.choices)) <= 36

    def error(self, what: str, expected: str | None, found: object) -> OptionError:
        """The error about its value."""
        return OptionError(f"{what} {self.typed}", option=self.name, expected=expected, found=found)

    def checked(self, value: Any) -> Any:
        """The value in its own type.

        Raises:
            OptionError: it is of another type, out of the range, or none of the choices.
        """
        if value is None and (self.optional or self.default is None):
            return None
        if not self.many:
            return self._one(value, value)
        if isinstance(value, (str, os.PathLike)) and self.declared.role != "setting":
            value = [value]  # one path, which may hold commas
        elif isinstance(value, str):
            value = self._split(value)
        if not isinstance(value, (list, tuple)):
            raise self.error("bad", "a list", value)
        return tuple(self._one(part, value) for part in value)

    def _split(self, text: str) -> tuple[Any, ...]:
        if self.declared.parse is not None:
            return tuple(self.declared.parse(text))
        parts = [part.strip() for part in text.split(",")]
        try:
            return tuple(self.type(part) for part in parts)
        except ValueError:
            raise self.error("bad", f"{_WORDS[self.type][2:]}s, comma-separated", text) from None

    def _one(self, value: Any, found: Any) -> Any:
        value = _converted(value, self.type)
        if value is None:
            raise self.error("bad", _WORDS[self.type], "none" if found is None else found)
        declared = self.declared
        if declared.role == "output" and value in ("-", ""):
            # Where it is an input, it stands for a path on standard input.
            raise self.error(
                "bad", "a file name, such as ./- for a file of this name", value or "none"
            )
        if declared.choices and value not in declared.choices:
            raise self.error("unknown", ", ".join(declared.choices), value)
        if self.type in (int, float) and not declared.holds(value):
            raise self.error("bad", declared.range or "a number", found)
        return value


_WORDS: Mapping[type, str] = {
    int: "a whole number", float: "a number", str: "a text", bool: "true or false",
}  # fmt: skip


def _converted(value: Any, kind: type) -> Any:
    """The value in another Python or NumPy type of the same meaning; None if it has another."""
    if kind is bool or isinstance(value, bool):
        return value if kind is bool and isinstance(value, bool) else None
    if kind is str:
        return os.fspath(value) if isinstance(value, (str, os.PathLike)) else None
    if kind is int:
        return int(value) if isinstance(value, Integral) else None
    return float(value) if isinstance(value, Real) else None
