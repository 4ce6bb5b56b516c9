"""The commands as Python functions: the same names, defaults, checks and errors."""

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

from rrtool.commands import by_function
from rrtool.options import Declared, Options, declarations
from rrtool.progress import Progress, Silent


def function(name: str) -> Callable[..., Any]:
    """The function of a command.

    Its arguments come first in the order of the command line, then the output; all other options
    are given by name. ``progress`` is a ``rrtool.progress.Progress``, by default a silent one.

    Raises:
        KeyError: there is no such command.
    """
    options = by_function()[name]
    signature = signature_of(options)

    def run(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        progress = given.pop("progress", None) or Silent()
        from rrtool.stages.driver import perform

        return perform(options(**given), progress)

    run.__name__ = run.__qualname__ = name
    run.__module__ = "rrtool"
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__doc__ = _docstring(options)
    return run


def ordered(options: type[Options]) -> list[Declared]:
    """The options of a command: arguments, the output if it must be given, then all others."""

    def place(declared: Declared) -> tuple[bool, bool]:
        return not _leads(declared), not declared.declared.positional

    return sorted(declarations(options).values(), key=place)


def _leads(declared: Declared) -> bool:
    """Whether it may be given by its place."""
    return declared.declared.positional or (declared.name == "output" and declared.required)


def signature_of(options: type[Options]) -> inspect.Signature:
    """The signature of a command's function."""
    parameters, declared_all = [], ordered(options)
    has_output = any(each.name == "output" and each.required for each in declared_all)
    for declared in declared_all:
        kind = Parameter.POSITIONAL_OR_KEYWORD if _leads(declared) else Parameter.KEYWORD_ONLY
        # What stands before the output has no default in Python, even where the command line has.
        is_given = declared.required or (declared.declared.positional and has_output)
        default = Parameter.empty if is_given else declared.default
        parameters.append(Parameter(declared.name, kind, default=default))
    silent: dict[str, Any] = {"default": None, "annotation": Progress | None}
    return inspect.Signature([*parameters, Parameter("progress", Parameter.KEYWORD_ONLY, **silent)])


def _docstring(options: type[Options]) -> str:
    command = options.COMMAND
    lines = [inspect.getdoc(options) or "", "", f"Thesis {command.section}; see {command.page}."]
    lines += ["", "Args:"]
    lines += [f"    {each.name}: {each.declared.help}" for each in ordered(options)]
    lines += ["", "Raises:", "    rrtool.RrtoolError: in one line, what is wrong and what to do."]
    return "\n".join(lines)
