"""Options, each declared once: a field of a frozen class with default, help, range and meaning.

    @dataclass(frozen=True, kw_only=True)
    class GreetOptions(OutputOptions):
        '''Greet somebody.'''

        COMMAND = Command("greet", "rrtool.stages.greet", "§1", "docs/methods.md")
        whom: str = argument("Whom to greet.")
        times: int = option(3, "How often, in greetings.", least=1, most=10)

From the fields follow the command line's parameter (``cli.commands``), its check here, the keys of
``rrtool.toml`` and the variables (``cli.config``), the Python function (``api``), the identity of
the artifact and its message about differences (``stages.driver``), and ``docs/commands.md``.
"""

import dataclasses
import os
import re
import types
from dataclasses import MISSING, dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from rrtool.declared import Declared, Option, Role
from rrtool.errors import OptionError

_KEY = "rrtool.option"
_SHARD = re.compile(r"[1-9]\d{0,5}/[1-9]\d{0,5}")
Other = TypeVar("Other", bound="Options")


def option(default: Any, help: str, **more: Any) -> Any:
    """A field that is an option; ``MISSING`` as default makes it required. See ``Option``."""
    return dataclasses.field(
        default=default, kw_only=True, metadata={_KEY: Option(help=help, **more)}
    )


def argument(help: str, default: Any = MISSING, *, role: Role = "artifact") -> Any:
    """A field that is an argument: known by its place, an artifact unless said otherwise."""
    return option(default, help, role=role, positional=True)


def artifact(default: Any, help: str, **more: Any) -> Any:
    """An option that names an artifact to read; ``-`` stands for a path on standard input."""
    return option(default, help, role="artifact", **{"panel": "Inputs", **more})


def again(options: "type[Options]", name: str, default: Any, **changed: Any) -> Any:
    """An option of a base class, with another default and perhaps another help."""
    return option(default, **{**vars(declarations(options)[name].declared), **changed})


def declarations(options: "type[Options]") -> dict[str, Declared]:
    """The options of a class by name, in the order of its fields."""
    known: Any = options
    return _declarations(known)


@cache
def _declarations(options: Any) -> dict[str, Declared]:
    hints = get_type_hints(options)
    return {
        field.name: _declared(field, hints[field.name])
        for field in dataclasses.fields(options)
        if _KEY in field.metadata
    }


def _declared(field: dataclasses.Field, hint: Any) -> Declared:
    optional = False
    if get_origin(hint) in (Union, types.UnionType):
        optional = type(None) in get_args(hint)
        (hint,) = [part for part in get_args(hint) if part is not type(None)]
    many = get_origin(hint) is tuple
    kind = get_args(hint)[0] if many else hint
    return Declared(field.name, field.metadata[_KEY], kind, many, optional, field.default)


@dataclass(frozen=True)
class Command:
    """A command, declared with its options.

    Attributes:
        name: as typed, such as ``whiten fit``.
        runs: module whose ``run(options, progress)`` does the work.
        section: of the thesis that defines it.
        page: of the documents that says more.
        quick: whether an output that is asked for in the same words needs no closer look.
        python: its name in Python, where that of the command is a package's.
    """

    name: str
    runs: str
    section: str
    page: str = "docs/methods.md"
    quick: bool = True
    python: str = ""

    @property
    def function(self) -> str:
        """Its name in Python."""
        return self.python or self.name.replace(" ", "_").replace("-", "_")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The base of all options classes: every value is checked where an object is made.

    The first line of a class's docstring is the help of its command.

    Raises:
        OptionError: a value is of another type or out of its range, or does not go with another.
    """

    COMMAND: ClassVar[Command]

    def __post_init__(self) -> None:
        for name, declared in declarations(type(self)).items():
            object.__setattr__(self, name, declared.checked(getattr(self, name)))
        self.check()

    def check(self) -> None:
        """What holds between options; classes extend it.

        Raises:
            UsageError: it does not hold.
        """

    def asked(self) -> dict[str, Any]:
        """JSON-compatible values of all that shapes the result, but artifacts and images."""
        return self._values("setting", "network", "file")

    def settings(self) -> dict[str, Any]:
        """JSON-compatible values of the settings that shape the result: an artifact's identity."""
        return self._values("setting")

    def _values(self, *roles: Role) -> dict[str, Any]:
        found = {}
        for name, declared in declarations(type(self)).items():
            if declared.declared.shapes and declared.declared.role in roles:
                value = getattr(self, name)
                found[name] = list(value) if declared.many and value is not None else value
        return found

    def shared_with(self, kind: type[Other], **own: Any) -> Other:
        """The options of another command, with the values of these as far as it has them.

        Args:
            own: its values that are others; where these have None, its default counts.
        """
        shared = declarations(type(self)).keys() & declarations(kind).keys()
        values = {name: getattr(self, name) for name in shared}
        given = {name: value for name, value in values.items() if value is not None}
        return kind(**{**given, **own})

    def of_role(self, *roles: Role) -> dict[str, str]:
        """The values that are given of options of these roles."""
        return {
            name: getattr(self, name)
            for name, declared in declarations(type(self)).items()
            if declared.declared.role in roles and getattr(self, name) is not None
        }

    def asking(self) -> "dict[str, Options]":
        """By whose words each output is asked for, by its path, in the order they are made."""
        return dict.fromkeys(self.of_role("output").values(), self)

    def written(self) -> dict[str, str]:
        """The files that it writes under names that are known at once, by option."""
        return self.of_role("output")

    def from_anywhere(self: Other, **own: Any) -> Other:
        """The same for a process in another folder: paths of what is there are absolute.

        Args:
            own: values that are others.
        """
        given = {name: getattr(self, name) for name in declarations(type(self))} | own
        for name, declared in declarations(type(self)).items():
            if isinstance(given[name], str) and (path := declared.file_in(given[name])):
                # What may also be a word, such as a kind of weights, is no folder.
                is_there = os.path.isfile if declared.declared.names_file else os.path.exists
                if is_there(path):
                    given[name] = given[name].removesuffix(path) + os.path.abspath(path)
        return dataclasses.replace(self, **given)

    @classmethod
    def typed(cls, name: str) -> str:
        """An option's name as the user types it."""
        return declarations(cls)[name].typed


@dataclass(frozen=True, kw_only=True)
class OverwriteOptions(Options):
    """Whether a file that is there may be replaced."""

    overwrite: bool = option(
        False,
        "Replace an output that was made with other options or from other inputs.",
        shapes=False,
        replaces=True,
        panel="Output",
    )
    dry_run: bool = option(
        False, "Say what would be done, and write nothing.", shapes=False, panel="Output"
    )


@dataclass(frozen=True, kw_only=True)
class OutputOptions(OverwriteOptions):
    """Where a stage writes its artifact."""

    output: str = option(
        MISSING,
        "The artifact to write.",
        role="output",
        shapes=False,
        panel="Output",
        flags=("--output", "-o"),
    )


@dataclass(frozen=True, kw_only=True)
class UpdateOptions(OutputOptions):
    """Whether an output follows inputs that have changed; commands say in their help what stays."""

    update: bool = option(
        False,
        "Bring an output up to date whose inputs have changed: what they did not change is kept.",
        shapes=False, replaces=True, panel="Output",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.update and self.overwrite:
            raise OptionError(
                "--update keeps what --overwrite would replace", option="update",
                todo="leave out one of the two",
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ShareOptions(UpdateOptions):
    """Which share of the rows to work on."""

    shard: str | None = option(
        None,
        "Work on one of so many shares of the rows, such as 2/8; rrtool merge joins the shares.",
        shapes=False, panel="Output",
    )  # fmt: skip

    def check(self) -> None:
        super().check()
        if self.shard is None:
            return
        if not _SHARD.fullmatch(self.shard) or not 1 <= self.share[0] <= self.share[1]:
            raise OptionError(
                "bad --shard", option="shard", expected="a number of so many, such as 2/8",
                found=self.shard,
            )  # fmt: skip
        if self.update:
            raise OptionError(
                "--update is for whole collections", option="update", found="--shard",
                todo="leave out one of the two",
            )  # fmt: skip

    @property
    def share(self) -> tuple[int, int]:
        """Which one of how many."""
        number, _, n_shares = (self.shard or "1/1").partition("/")
        return int(number), int(n_shares)

    def asked(self) -> dict[str, Any]:
        """See ``Options``. The whole is asked for in the same words by all versions."""
        return {**super().asked(), **self.share_setting()}

    def share_setting(self) -> dict[str, str]:
        """What tells a share from the whole."""
        return {} if self.share[1] == 1 else {"shard": "/".join(map(str, self.share))}


@dataclass(frozen=True, kw_only=True)
class DeviceOptions(Options):
    """Where to compute."""

    device: str = option(
        "auto",
        "Where to compute: auto (the first GPU if there is one), cpu, cuda or cuda:<i>.",
        shapes=False,
        panel="Running",
    )


@dataclass(frozen=True, kw_only=True)
class SeedOptions(Options):
    """Of everything random."""

    seed: int = option(0, "Seed of everything random; equal seeds give equal results.", least=0)
