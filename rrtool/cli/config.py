"""Defaults from ``rrtool.toml`` and from variables, and where each of them came from.

The file has a table per subcommand, ``[whiten.fit]`` for ``whiten fit``, and ``[common]`` for all.
It may come with a folder of somebody else's photos: it never says what is written, replaced or
trusted.
A variable is ``RRTOOL_<COMMAND>_<OPTION>``; it wins over the file.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrtool.declared import Declared
from rrtool.errors import UsageError
from rrtool.files import open_regular

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "rrtool.toml"
_PREFIX = "RRTOOL_"
# Variables that are read elsewhere, or mean something to other programs.
_NO_OPTIONS = frozenset(
    {
        "RRTOOL_CONFIG",
        "RRTOOL_SHARED_DATA",
        "RRTOOL_VERSION",
        "RRTOOL_KILLS",
        "RRTOOL_COMPLETE",
        "RRTOOL_VLFEAT",
    }
)
# Option names by command (``whiten fit``), each with its option.
Known = Mapping[str, Mapping[str, Declared]]
_MAX_BYTES = 1 << 14  # the parser's memory grows with the square of a key's length


@dataclass
class Defaults:
    """Values that take the place of defaults.

    Attributes:
        values: by command and option.
        sources: where each came from, for messages.
        unknown: variables that name no command.
    """

    values: dict[tuple[str, str], Any] = field(default_factory=dict)
    sources: dict[tuple[str, str], str] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)

    def put(self, command: str, option: str, value: Any, source: str) -> None:
        """Set one; a later one wins."""
        self.values[command, option] = value
        self.sources[command, option] = source

    def nested(self) -> dict[str, Any]:
        """By command, those of a family one level deeper, as Click's ``default_map``."""
        nested: dict[str, Any] = {}
        for (command, option), value in self.values.items():
            level = nested
            for part in command.split():
                level = level.setdefault(part, {})
            level[option] = value
        return nested


def read_defaults(known: Known) -> Defaults:
    """From ``$RRTOOL_CONFIG`` or ``rrtool.toml`` in this folder, and from the environment.

    Raises:
        UsageError: the file is no TOML; or a table, key or variable means nothing here.
    """
    defaults = Defaults()
    _take_file(known, defaults)
    _take_variables(known, defaults)
    return defaults


def _take_file(known: Known, defaults: Defaults) -> None:
    path = Path(os.environ.get("RRTOOL_CONFIG", FILE_NAME))
    if not os.path.lexists(path):
        if "RRTOOL_CONFIG" in os.environ:
            raise UsageError("RRTOOL_CONFIG names no file", found=path)
        return
    tables = _read(path)
    # A command's own table wins over [common], whichever comes first in the file.
    for table, options in sorted(_flat(tables, known), key=lambda entry: entry[0] != "common"):
        _take_table(path, table, options, known, defaults)


def _read(path: Path) -> dict[str, Any]:
    try:
        with open_regular(path) as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        return tomllib.loads(content.decode("utf-8"))
    except RecursionError:
        found = "tables or lists nested without end"
    except OSError as error:
        found = error.strerror or str(error)
    except ValueError as error:  # no TOML, no UTF-8, a number of too many digits
        found = str(error)
    raise UsageError("cannot read the options", where=path, found=found)


def _flat(tables: Mapping[str, Any], known: Known) -> Iterator[tuple[str, Any]]:
    """The tables, those of a family's subcommands under their dotted names."""
    for table, options in tables.items():
        is_family = any(command.startswith(f"{table} ") for command in known)
        if is_family and isinstance(options, dict):
            yield from ((f"{table}.{name}", entry) for name, entry in options.items())
        else:
            yield table, options


def _take_table(path: Path, table: str, options: Any, known: Known, defaults: Defaults) -> None:
    names = [command.replace(" ", ".") for command in known]
    if not isinstance(options, dict) or table not in (*names, "common"):
        raise UsageError(
            f"unknown entry [{table}]", where=path, expected=f"common, {', '.join(names)}"
        )
    commands = list(known) if table == "common" else [table.replace(".", " ")]
    for key, value in options.items():
        name = key.replace("-", "_")
        takers = [command for command in commands if name in known[command]]
        if not takers:
            fields = {
                each.name
                for command in commands
                for each in known[command].values()
                if not each.is_risky
            }
            what = f"unknown key '{key}' in [{table}]"
            raise UsageError(what, where=path, expected=", ".join(sorted(fields)))
        for command in takers:
            declared = known[command][name]
            _require_harmless(declared, key, value, f"{path}, [{table}]")
            defaults.put(command, declared.name, value, f"{path}, [{table}]")


def _require_harmless(declared: Declared, key: str, value: Any, where: str) -> None:
    if declared.is_risky:
        raise UsageError(
            f"'{key}' cannot stand in a file", where=where,
            todo="say on the command line or by a variable what is written, replaced and trusted",
        )  # fmt: skip
    if isinstance(value, bool) and declared.type is not bool:
        raise UsageError(f"bad '{key}'", where=where, expected="no truth value", found=value)


def _take_variables(known: Known, defaults: Defaults) -> None:
    prefixes = {_PREFIX + _upper(command) + "_": command for command in known}
    families = {_PREFIX + _upper(command.split()[0]) + "_" for command in known if " " in command}
    for variable in sorted(name for name in os.environ if name.startswith(_PREFIX)):
        prefix = next((each for each in prefixes if variable.startswith(each)), None)
        if variable in _NO_OPTIONS:
            continue
        if prefix is None:
            if variable.startswith(tuple(families)):
                raise UsageError(f"the variable {variable} names no command and option")
            defaults.unknown.append(variable)
            continue
        command = prefixes[prefix]
        name = variable.removeprefix(prefix).lower()
        if name not in known[command]:
            names = {each.name for each in known[command].values()}
            fields = [prefix + _upper(each) for each in sorted(names)]
            what = f"the variable {variable} names no option of {command}"
            raise UsageError(what, expected=", ".join(fields))
        value = os.environ[variable]
        defaults.put(command, known[command][name].name, value, f"variable {variable}")


def _upper(name: str) -> str:
    return name.upper().replace("-", "_").replace(" ", "_")
