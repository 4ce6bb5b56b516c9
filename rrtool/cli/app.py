"""The command line: every command made from its options. A stage is imported when it runs."""

import sys
from functools import cache
from typing import Any

import typer
from typer.core import TyperGroup

from rrtool.cli import config
from rrtool.cli.commands import callback_of, command_of, help_of, known_names, source_of
from rrtool.cli.console import complete_streams, output_written, reported, warn
from rrtool.cli.results import SHOWN, show_path
from rrtool.commands import FAMILIES, GROUPS, by_name
from rrtool.errors import UsageError
from rrtool.interrupts import EXIT_INTERRUPTED, ignore, install
from rrtool.version import VERSION

# Click's own, which newer versions of Typer carry inside.
_ClickUsageError: Any = typer.BadParameter.__base__


class Group(TyperGroup):
    """Tells wrong usage in one line, and lists commands by what they are for."""

    def main(  # type: ignore[override]  # all but the first are given by name
        self, args: Any = None, *, standalone_mode: bool = True, **more: Any
    ) -> Any:
        """Run a command line; see Click's ``BaseCommand.main``."""
        if not standalone_mode:
            return super().main(args, standalone_mode=False, **more)
        try:
            code = super().main(args, standalone_mode=False, **more)
        except typer.Abort:
            code = EXIT_INTERRUPTED
        except _ClickUsageError as error:
            is_help = type(error).__name__ == "NoArgsIsHelpError"
            error.show() if is_help else _tell(error)
            code = error.exit_code
        # A command returns nothing; a number is the code that it left with.
        sys.exit(code if isinstance(code, int) else 0)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of use, which Typer does not keep between commands and families."""
        # A family may have a command of the same name as one that stands alone.
        names = [name.partition(" ") for name in by_name()]
        is_family = self.name in FAMILIES
        order = [last if is_family else first for first, _, last in names]
        return sorted(self.commands, key=order.index)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        panels: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            command: Any = self.commands[name]
            # The first line of the help, uncut.
            text = (command.help or "").partition("\n")[0]
            panels.setdefault(command.rich_help_panel or "Commands", []).append((name, text))
        for panel, rows in panels.items():
            with formatter.section(panel):
                formatter.write_dl(rows)


def _tell(error: Any) -> None:
    context = error.ctx
    command = context.command_path if context is not None else "rrtool"
    what = " ".join(error.format_message().split()).rstrip(".")
    parameter = getattr(error, "param", None)
    where = None
    if context is not None and parameter is not None and "missing" not in what.lower():
        where = source_of(context, parameter.name)
    line = UsageError(what[:1].lower() + what[1:], where=where, todo=f"see {command} --help")
    print(f"rrtool: {line}", file=sys.stderr)


app = typer.Typer(
    name="rrtool",
    cls=Group,
    help="Find the same object again in large photo collections, and learn from few labels.",
    epilog="Options also come from rrtool.toml (a table a command, [common] for all) and from "
    "variables such as RRTOOL_EXTRACT_MAX_SIZE; the command line wins.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _add_commands() -> None:
    families: dict[str, typer.Typer] = {}
    for panel, group in GROUPS.items():
        for options in group:
            family, _, name = options.COMMAND.name.rpartition(" ")
            if family and family not in families:
                families[family] = typer.Typer(
                    cls=Group, help=FAMILIES[family], no_args_is_help=True, rich_markup_mode=None
                )
                app.add_typer(families[family], name=family, rich_help_panel=panel)
            parent = families[family] if family else app
            show = SHOWN.get(options.COMMAND.name, show_path)
            parent.command(
                name, cls=command_of(options), help=help_of(options), rich_help_panel=panel
            )(callback_of(options, show))


_add_commands()


def _print_version(wanted: bool) -> None:
    if wanted:
        print(VERSION)
        raise typer.Exit


@cache
def _known() -> config.Known:
    """The same at every call in a process."""
    return {name: known_names(options) for name, options in by_name().items()}


@app.callback()
def _main(
    context: typer.Context,
    version: bool = typer.Option(
        False, "--version", help="Print the version.", is_eager=True, callback=_print_version
    ),
) -> None:
    with reported():
        defaults = config.read_defaults(_known())
        for variable in defaults.unknown:
            warn(f"the variable {variable} is none of rrtool's and is ignored")
        context.default_map = defaults.nested()
        context.obj = {"sources": defaults.sources}


def main() -> None:
    """Run the command line of this process, and leave it with the exit code."""
    install()
    complete_streams()
    with output_written():
        try:
            app()
        finally:
            ignore()
