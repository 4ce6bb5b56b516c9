"""The reference pages of ``docs/``, made from the declarations (``make docs``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path

from rrtool.api import ordered, signature_of
from rrtool.cli.commands import MESSAGES, panels_of
from rrtool.commands import GROUPS
from rrtool.options import Declared, Options

_MADE = "<!-- Made by `make docs` from the declarations in the code; changes here are lost. -->\n"


def commands_page() -> str:
    """``docs/commands.md``: every option of every command and Python function."""
    return "\n".join(_commands_lines()) + "\n"


def _commands_lines() -> Iterator[str]:
    yield _MADE
    yield "# Commands\n"
    yield (
        "Every command is also a function in Python: `rrtool whiten fit` is `rrtool.whiten_fit`, "
        "with the same names, defaults and checks ([docs/python.md](python.md)). An option can "
        "also stand in `rrtool.toml`, in the table of its command (`[extract]`, `[whiten.fit]`) or "
        "in `[common]`, or in a variable such as `RRTOOL_EXTRACT_MAX_SIZE`: the command line wins "
        "over the variable, the variable over the file, a command's table over `[common]`. An "
        "unknown key or a variable `RRTOOL_<COMMAND>_…` that names no option is an error. The "
        "file, which may have come with somebody else's photos, never names an output and never "
        "says `overwrite`.\n"
    )
    yield "Every command takes these:\n"
    yield from _table(list(MESSAGES.values()))
    for group, classes in GROUPS.items():
        yield f"\n## {group}"
        for options in classes:
            yield from _command_lines(options)


def _command_lines(options: type[Options]) -> Iterator[str]:
    command = options.COMMAND
    page = command.page.removeprefix("docs/")
    arguments = [f" {each.name.upper()}" for each in ordered(options) if each.declared.positional]
    yield f"\n### rrtool {command.name}{''.join(arguments)}\n"
    yield f"{' '.join((options.__doc__ or '').split())}\n"
    yield f"Thesis {command.section}; more in [{command.page}]({page}).\n"
    yield f"`rrtool.{command.function}{_signature(options)}`"
    for panel, declared in panels_of(options).items():
        if panel != "Messages":
            yield f"\n{panel}:\n"
            yield from _table(declared)


def _signature(options: type[Options]) -> str:
    """The arguments that come by their place, and that others follow by name."""
    names = [
        name
        for name, each in signature_of(options).parameters.items()
        if each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    return f"({', '.join([*names, '*', '…'])})"


def _table(options: list[Declared]) -> Iterator[str]:
    yield "| option | value | default | |"
    yield "|---|---|---|---|"
    for each in options:
        typed = each.name.upper() if each.declared.positional else "`, `".join(each.flags)
        yield f"| `{typed}` | {_value(each)} | {_default(each)} | {_cell(each.declared.help)} |"


def _value(declared: Declared) -> str:
    if declared.declared.choices:
        return _cell(", ".join(declared.declared.choices))
    words = {int: "whole number", float: "number", bool: "flag", str: "text"}[declared.type]
    limits = declared.declared.range
    return _cell((f"{words}s" if declared.many else words) + (f", {limits}" if limits else ""))


def _default(declared: Declared) -> str:
    if declared.default is MISSING:
        return "required"
    if declared.default is None or declared.type is bool:
        return "" if not declared.default else "yes"
    value = declared.default
    return _cell(",".join(f"{part:g}" for part in value) if declared.many and declared.type is float
                 else ",".join(map(str, value)) if declared.many else str(value))  # fmt: skip


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def kinds_page() -> str:
    """``docs/kinds.md``: the datasets of every kind of artifact."""
    return "\n".join(_kinds_lines()) + "\n"


def _kinds_lines() -> Iterator[str]:
    from rrtool.artifacts import Artifact
    from rrtool.artifacts.kinds import KINDS, OverImages
    from rrtool.artifacts.schema import Group, schema_of

    yield _MADE
    yield "# Kinds of artifacts\n"
    yield (
        "What every artifact has beside these is in [artifacts.md](artifacts.md). One letter is "
        "one length, the same wherever it stands in the artifact: n images, v vertices, S scales, "
        "k channels, d dimensions, q queries. Texts are two datasets, `<name>/bytes` and "
        "`<name>/offsets`. A dataset in brackets is not in every artifact of its kind.\n"
    )
    shared = schema_of(OverImages)
    kinds: tuple[type[Artifact], ...] = (OverImages, *KINDS)
    for kind in kinds:
        title = kind.KIND or "over images"
        yield f"## {title}\n"
        yield f"{' '.join((kind.__doc__ or '').split())}\n"
        own = {name: column for name, column in schema_of(kind).items()
               if kind is OverImages or not issubclass(kind, OverImages)
               or shared.get(name) is not column}  # fmt: skip
        if issubclass(kind, OverImages) and kind is not OverImages:
            yield "As over images, and:\n"
        if not own:
            continue
        yield "| dataset | shape, type | meaning |"
        yield "|---|---|---|"
        for column in own.values():
            if isinstance(column, Group):
                yield f"| `{column.prefix}…` | | {_cell(column.meaning)} |"
                continue
            name = f"[`{column.name}`]" if column.optional else f"`{column.name}`"
            shape = "" if column.shape == "*" else column.shape.replace(" ", "×")
            types = column.dtype.replace(" ", " or ")
            yield f"| {name} | {shape} {types} | {_cell(column.meaning)} |"
        yield ""


PAGES = {"commands.md": commands_page, "kinds.md": kinds_page}


if __name__ == "__main__":
    folder = Path(sys.argv[1] if sys.argv[1:] else "docs")
    for file_name, page in PAGES.items():
        (folder / file_name).write_text(page(), encoding="utf-8")
