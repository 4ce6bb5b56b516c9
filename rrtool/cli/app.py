"""The command line: thin Typer commands. A stage is imported only when its command runs."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from rrtool import __version__, config
from rrtool.cli import (
    active_learning,
    agreement,
    describe,
    graph,
    pretraining,
    rank,
    regions,
    saliency,
    show,
)
from rrtool.console import EXIT_INTERRUPTED, reported

app = typer.Typer(
    name="rrtool",
    help="Find the same object again in large photo collections, and learn from few labels.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"auto_envvar_prefix": "RRTOOL", "help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    describe,
    regions,
    rank,
    graph,
    saliency,
    pretraining,
    active_learning,
    agreement,
    show,
)
for module in _COMMANDS:
    app.add_typer(module.commands)


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit
    with reported():
        context.default_map = config.read_defaults(_option_names(context.command))


def _option_names(group: Any, prefix: str = "") -> dict[str, set[str]]:
    """The option names of each subcommand; of those in a group as ``group.subcommand``."""
    known: dict[str, set[str]] = {}
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            known |= _option_names(command, f"{prefix}{name}.")
        else:
            known[prefix + name] = {str(parameter.name) for parameter in command.params}
    return known


def main() -> None:
    """Entry point of the ``rrtool`` command."""
    # Threads that wait spinning starve everything else on a machine that others use too.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        app()
    except KeyboardInterrupt:  # before a command has begun
        raise SystemExit(EXIT_INTERRUPTED) from None
