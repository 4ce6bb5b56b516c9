"""Options from ``rrtool.toml``: a table per subcommand, and ``[common]`` for all of them.

A subcommand of a group, such as ``whiten fit``, has the table ``[whiten.fit]``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rrtool.errors import UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = "rrtool.toml"


def read_defaults(known: Mapping[str, set[str]]) -> dict[str, Any]:
    """Defaults of each subcommand from ``$RRTOOL_CONFIG`` or ``rrtool.toml`` in this folder.

    Args:
        known: the option names of each subcommand, with underscores; ``group.subcommand`` for
            one of a group.

    Returns:
        Values by subcommand and option, nested by group, as Click's ``default_map``.

    Raises:
        UsageError: the file is no TOML, or has a table or key that means nothing here.
    """
    path = Path(os.environ.get("RRTOOL_CONFIG", FILE_NAME))
    if not os.path.isfile(path):
        if "RRTOOL_CONFIG" in os.environ:
            raise UsageError("RRTOOL_CONFIG names no file", found=path)
        return {}
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UsageError("cannot read the options", where=path, found=error) from None
    defaults: dict[str, dict[str, Any]] = {command: {} for command in known}
    for table, options in _flat(tables, known):
        _take(path, table, options, known, defaults)
    return _nested(defaults)


def _flat(tables: Mapping[str, Any], known: Mapping[str, set[str]]) -> Iterator[tuple[str, Any]]:
    """The tables, those of a group's subcommands under their dotted names."""
    for table, options in tables.items():
        is_group = any(command.startswith(f"{table}.") for command in known)
        if is_group and isinstance(options, dict):
            yield from ((f"{table}.{name}", entry) for name, entry in options.items())
        else:
            yield table, options


def _nested(defaults: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for command, options in defaults.items():
        *groups, name = command.split(".")
        level = nested
        for group in groups:
            level = level.setdefault(group, {})
        level[name] = options
    return nested


def _take(
    path: Path,
    table: str,
    options: Any,
    known: Mapping[str, set[str]],
    defaults: dict[str, dict[str, Any]],
) -> None:
    commands = list(known) if table == "common" else [table]
    if not isinstance(options, dict) or table not in (*known, "common"):
        raise UsageError(
            f"unknown entry [{table}]", where=path, expected=f"common, {', '.join(known)}"
        )
    for key, value in options.items():
        name = key.replace("-", "_")
        takers = [command for command in commands if name in known[command]]
        if not takers:
            raise UsageError(
                f"unknown key '{key}' in [{table}]",
                where=path,
                expected=", ".join(sorted(set().union(*(known[c] for c in commands)))),
            )
        for command in takers:
            # A command's own table wins over [common], whichever comes first in the file.
            if table != "common":
                defaults[command][name] = value
            else:
                defaults[command].setdefault(name, value)
