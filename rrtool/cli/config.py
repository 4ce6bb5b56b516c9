"""Defaults from ``rrtool.toml`` and from variables, and where each of them came from.

The file has a table per subcommand, ``[whiten.fit]`` for ``whiten fit``, and ``[common]`` for all.
A variable is ``RRTOOL_<COMMAND>_<OPTION>``; it wins over the file.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rrtool.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "rrtool.toml"
_PREFIX = "RRTOOL_"
# Variables that are read elsewhere, or mean something to other programs.
_NO_OPTIONS = frozenset(
    {"RRTOOL_CONFIG", "RRTOOL_SHARED_DATA", "RRTOOL_VERSION", "RRTOOL_KILLS", "RRTOOL_COMPLETE"}
)
# Option names by command (``whiten fit``), each with the name of its field.
Known = Mapping[str, Mapping[str, str]]


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
    if not os.path.isfile(path):
        if "RRTOOL_CONFIG" in os.environ:
            raise UsageError("RRTOOL_CONFIG names no file", found=path)
        return
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError("cannot read the options", where=path, found=error) from None
    # A command's own table wins over [common], whichever comes first in the file.
    for table, options in sorted(_flat(tables, known), key=lambda entry: entry[0] != "common"):
        _take_table(path, table, options, known, defaults)


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
            fields = sorted({field for command in commands for field in known[command].values()})
            what = f"unknown key '{key}' in [{table}]"
            raise UsageError(what, where=path, expected=", ".join(fields))
        for command in takers:
            defaults.put(command, known[command][name], value, f"{path}, [{table}]")


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
            fields = [prefix + _upper(each) for each in sorted(set(known[command].values()))]
            what = f"the variable {variable} names no option of {command}"
            raise UsageError(what, expected=", ".join(fields))
        value = os.environ[variable]
        defaults.put(command, known[command][name], value, f"variable {variable}")


def _upper(name: str) -> str:
    return name.upper().replace("-", "_").replace(" ", "_")
