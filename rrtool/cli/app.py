"""The command line: thin Typer commands. A stage is imported only when its command runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from rrtool import __version__
from rrtool.cli import (
    active_learning,
    agreement,
    config,
    describe,
    graph,
    pretraining,
    rank,
    regions,
    saliency,
    show,
)
from rrtool.cli.console import EXIT_INTERRUPTED, reported
from rrtool.errors import UsageError

# Click's own, which newer versions of Typer carry inside.
_ClickUsageError: Any = typer.BadParameter.__base__


class Group(TyperGroup):
    """Tells wrong usage in one line, like every other failure."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line; see Click's ``BaseCommand.main``."""
        given = (args, prog_name, complete_var, False, windows_expand_args)
        if not standalone_mode:
            return super().main(*given, **extra)
        try:
            code = super().main(*given, **extra)
        except typer.Abort:
            code = EXIT_INTERRUPTED
        except _ClickUsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
            else:
                _tell(error)
            code = error.exit_code
        # A command returns nothing; a number is the code that it left with.
        sys.exit(code if isinstance(code, int) else 0)


def _tell(error: Any) -> None:
    command = error.ctx.command_path if error.ctx is not None else "rrtool"
    what = " ".join(error.format_message().split()).rstrip(".")
    line = UsageError(what[:1].lower() + what[1:], todo=f"see {command} --help")
    print(f"rrtool: {line}", file=sys.stderr)


app = typer.Typer(
    name="rrtool",
    cls=Group,
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


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
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
    try:
        app()
    except KeyboardInterrupt:  # before a command has begun
        raise SystemExit(EXIT_INTERRUPTED) from None
