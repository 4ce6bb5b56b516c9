"""Commands made from their options classes: parameters, panels of the help, and the call."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, Optional

import typer
from typer.core import TyperCommand

from rrtool.cli.console import path_argument, reported
from rrtool.errors import OptionError
from rrtool.interrupts import working
from rrtool.options import Declared, Options, declarations, option
from rrtool.progress import Progress

# The panels that every help ends with, in this order; before them come a command's own.
_LAST_PANELS = ("Inputs", "Images", "Network", "Output", "Running", "Messages")


@dataclass(frozen=True, kw_only=True)
class MessageOptions(Options):
    """What every command takes on the command line, and no Python function."""

    json: bool = option(
        False, "Print one JSON document on standard output in place of text.",
        shapes=False, panel="Messages",
    )  # fmt: skip
    quiet: bool = option(
        False, "Say nothing but errors.",
        shapes=False, panel="Messages", flags=("--quiet", "-q"),
    )  # fmt: skip
    verbose: bool = option(
        False, "Before the line of an error show where in the program it happened.",
        shapes=False, panel="Messages", flags=("--verbose", "-v"),
    )  # fmt: skip


MESSAGES = declarations(MessageOptions)
# Prints the result of a stage: from it, the console, and whether to print JSON.
Show = Callable[[Any, Progress, bool], None]


def parameters_of(options: type[Any]) -> dict[str, Declared]:
    """All parameters of a command on the command line, by name."""
    return {**declarations(options), **MESSAGES}


def known_names(options: type[Options]) -> dict[str, Declared]:
    """Names that ``rrtool.toml`` and variables may use, each with its option."""
    return {
        flag.lstrip("-").replace("-", "_"): declared
        for name, declared in parameters_of(options).items()
        for flag in (f"--{name}", *declared.flags)
        if flag.startswith("--")
    }


def panels_of(options: type[Options]) -> dict[str, list[Declared]]:
    """The parameters of a command under the headings of its help, in their order."""
    found: dict[str, list[Declared]] = {"Arguments": []}
    for declared in parameters_of(options).values():
        panel = "Arguments" if declared.declared.positional else declared.declared.panel
        found.setdefault(panel, []).append(declared)
    own = [panel for panel in found if panel not in _LAST_PANELS]
    return {
        panel: sorted(found[panel], key=lambda declared: not declared.required)
        for panel in [*own, *(panel for panel in _LAST_PANELS if panel in found)]
        if found[panel]
    }


def command_of(options: type[Options]) -> type[TyperCommand]:
    """The class of a command, which writes its help in panels, without the weight of rich."""

    class PanelCommand(TyperCommand):
        def format_options(self, ctx: Any, formatter: Any) -> None:
            records = {each.name: each.get_help_record(ctx) for each in self.get_params(ctx)}
            for panel, members in panels_of(options).items():
                rows = [records.pop(member.name) for member in members]
                if panel == "Messages":
                    rows += records.values()  # what is left is --help
                with formatter.section(panel):
                    formatter.write_dl(rows)

    return PanelCommand


def help_of(options: type[Options]) -> str:
    """What the command computes, and where the thesis and the documents say more."""
    command = options.COMMAND
    return f"{inspect.getdoc(options)}\n\nThesis {command.section}; documents: {command.page}."


def callback_of(options: type[Options], show: Show) -> Callable[..., None]:
    """The function of a command, with the signature that Typer makes its parameters from.

    Args:
        show: prints its result.
    """

    def run(context: typer.Context, **values: Any) -> None:
        messages = {name: values.pop(name) for name in MESSAGES}
        with reported(messages["quiet"], messages["verbose"]) as console:
            with working(False):  # nothing is held while libraries are imported
                from rrtool.stages.driver import perform

            for name, declared in declarations(options).items():
                if declared.declared.role == "artifact":
                    values[name] = _without_dash(values[name])
            try:
                chosen = options(**values)
            except OptionError as error:
                raise error.from_source(source_of(context, error.option)) from None
            made = perform(chosen, console)
            if made is not None:  # by a dry run
                show(made, console, messages["json"])

    run.__name__ = options.COMMAND.function
    parameters = [inspect.Parameter("context", _KIND, annotation=typer.Context)]
    parameters += [_parameter(declared) for declared in parameters_of(options).values()]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


_KIND = inspect.Parameter.KEYWORD_ONLY


def source_of(context: Any, name: str) -> str:
    """Where the value of an option came from, in words."""
    root = context.find_root()
    command = context.command_path.removeprefix(root.command_path).strip()
    sources: Mapping[tuple[str, str], str] = (root.obj or {}).get("sources", {})
    source = context.get_parameter_source(name)
    if source is not None and source.name == "DEFAULT_MAP":
        return sources.get((command, name), "rrtool.toml")
    return "command line"


def _without_dash(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(path_argument(path) for path in value)
    return value and path_argument(value)


def _parameter(declared: Declared) -> inspect.Parameter:
    """The parameter that Typer makes of an option."""
    flags = declared.flags
    about: dict[str, Any] = {"help": declared.about, "show_envvar": False}
    if declared.is_short_choice:
        about["metavar"] = f"<{'|'.join(declared.declared.choices)}>"
    if declared.type is bool and declared.optional:
        flags = (f"{flags[0]}/--no-{flags[0].lstrip('-')}",)
    info: Any = (
        typer.Argument(**about)
        if declared.declared.positional
        else typer.Option(*flags, rich_help_panel=declared.declared.panel, **about)
    )
    default = inspect.Parameter.empty if declared.default is MISSING else _shown(declared)
    return inspect.Parameter(
        declared.name, _KIND, default=default, annotation=Annotated[_type(declared), info]
    )


def _type(declared: Declared) -> Any:
    if declared.many and declared.declared.positional:
        return list[str]
    kind = str if declared.many else declared.type
    return Optional[kind] if declared.optional else kind  # noqa: UP045 - made at run time


def _shown(declared: Declared) -> Any:
    """A default as it is typed."""
    if not declared.many or declared.default is None:
        return declared.default
    parts = (f"{part:g}" if isinstance(part, float) else str(part) for part in declared.default)
    return ",".join(parts)
