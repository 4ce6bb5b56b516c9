"""Options: declared once, checked with the name as typed, the same everywhere."""

from __future__ import annotations

import inspect
import math
import re
from dataclasses import MISSING, dataclass
from typing import ClassVar

import pytest
from typer.main import get_command

import rrtool
from rrtool.api import ordered
from rrtool.cli.app import app
from rrtool.cli.commands import MESSAGES, parameters_of
from rrtool.commands import by_function, by_name
from rrtool.errors import OptionError
from rrtool.options import Command, Option, Options, declarations, option
from tests import tiny

COMMANDS = by_name()
OPTIONS = [(name, key) for name, options in COMMANDS.items() for key in declarations(options)]


@dataclass(frozen=True, kw_only=True)
class GreetOptions(Options):
    """Greet somebody."""

    COMMAND: ClassVar = Command("greet", "nowhere", "§1")
    times: int = option(3, "How often.", least=1, most=10)
    warmth: float | None = option(None, "How warmly.", above=0, most=2)
    tone: str = option("kind", "How.", choices=("kind", "formal"))
    scales: tuple[float, ...] = option((1.0,), "Sizes.", above=0, below=9)
    loud: bool = option(False, "Whether to shout.")
    step_size: float = option(1.0, "In metres.", least=0, flags=("--step", "-s"))


def test_options_values_take_their_own_type():
    import numpy as np

    chosen = GreetOptions(times=np.int64(4), warmth=1, scales="1, 0.5", step_size=np.float32(2))
    assert (chosen.times, chosen.warmth, chosen.scales, chosen.step_size) == (4, 1.0, (1, 0.5), 2)
    assert type(chosen.times) is int
    assert type(chosen.warmth) is type(chosen.step_size) is float
    assert GreetOptions(scales=[2, 3]).settings()["scales"] == [2.0, 3.0]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"times": 0}, "bad --times (expected 1 to 10, found 0)"),
        ({"times": 11}, "bad --times (expected 1 to 10, found 11)"),
        ({"times": 1.5}, "bad --times (expected a whole number, found 1.5)"),
        ({"times": True}, "bad --times (expected a whole number, found True)"),
        ({"times": "3"}, "bad --times (expected a whole number, found 3)"),
        ({"times": None}, "bad --times (expected a whole number, found none)"),
        ({"warmth": 0}, "bad --warmth (expected (0, 2], found 0)"),
        ({"warmth": math.nan}, "bad --warmth (expected (0, 2], found nan)"),
        ({"warmth": math.inf}, "bad --warmth (expected (0, 2], found inf)"),
        ({"tone": "rude"}, "unknown --tone (expected kind, formal, found rude)"),
        ({"tone": 3}, "bad --tone (expected a text, found 3)"),
        ({"scales": "1,x"}, "bad --scales (expected numbers, comma-separated, found 1,x)"),
        ({"scales": (1, 9)}, "bad --scales (expected (0, 9), found (1, 9))"),
        ({"scales": 1}, "bad --scales (expected a list, found 1)"),
        ({"loud": 1}, "bad --loud (expected true or false, found 1)"),
        ({"step_size": -1}, "bad --step (expected at least 0, found -1)"),
    ],
)
def test_options_wrong_value_names_the_option_and_its_range(values, text):
    with pytest.raises(OptionError) as error:
        GreetOptions(**values)
    assert str(error.value) == text
    assert error.value.option == next(iter(values))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({}, ""), ({"least": 1}, "at least 1"), ({"above": 0}, "more than 0"),
        ({"most": 5}, "at most 5"), ({"below": 5}, "less than 5"),
        ({"least": 1, "most": 5}, "1 to 5"), ({"above": 0, "most": 1}, "(0, 1]"),
        ({"least": 0, "below": 1}, "[0, 1)"), ({"above": 0, "below": 1}, "(0, 1)"),
    ],
)  # fmt: skip
def test_option_range_in_words(limits, words):
    assert Option("Help.", **limits).range == words


def test_option_that_does_not_shape_the_result_is_no_part_of_it():
    search = by_function()["search"](queries="q", database="d", output="r", regional=True)
    assert "regional" not in search.settings()
    assert search.settings() == search.asked()
    assert set(search.settings()) == {"top", "expand", "expand_alpha", "augment"}


OUTPUTS = [
    (command, key)
    for command, key in OPTIONS
    if declarations(COMMANDS[command])[key].declared.role == "output"
]


@pytest.mark.parametrize("value", ["-", ""])
@pytest.mark.parametrize(("command", "key"), OUTPUTS)
def test_dash_or_nothing_is_no_name_of_an_output(command, key, value):
    options = COMMANDS[command]
    declared = declarations(options)[key]
    typed = value if declared.declared.positional else f"{declared.flags[0]}={value}"
    line = tiny.assert_fails(tiny.rrtool(*command.split(), *_needed(options, key), typed), 2)
    assert f"bad {declared.typed} (expected a file name" in line, line


@pytest.mark.parametrize(("command", "key"), OPTIONS)
def test_option_help_is_a_sentence(command, key):
    text = declarations(COMMANDS[command])[key].declared.help
    assert re.match(r"[A-ZΑ-Ω]", text), text
    assert text.endswith("."), text
    assert len(text.split()) >= 3, text


@pytest.mark.parametrize("command", COMMANDS)
def test_option_helps_of_a_command_differ(command):
    texts = [declared.declared.help for declared in parameters_of(COMMANDS[command]).values()]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_help_says_what_it_computes_and_where_that_is_defined(command):
    first = (inspect.getdoc(COMMANDS[command]) or "").splitlines()[0]
    assert re.fullmatch(r"[A-Z].*\.", first), first
    assert COMMANDS[command].COMMAND.section
    shown = tiny.rrtool(*command.split(), "--help").stdout
    # Lines are broken anywhere, at hyphens too.
    text = "".join(shown.split())
    assert "".join(first.split()) in text
    assert COMMANDS[command].COMMAND.page in text
    for declared in parameters_of(COMMANDS[command]).values():
        assert "".join(declared.declared.help.split()) in text, declared.name


def _click_commands(group, prefix=""):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _click_commands(command, f"{name} ")
        else:
            yield prefix + name, command


def test_commands_line_and_python_functions_are_the_same():
    of_line = dict(_click_commands(get_command(app)))
    assert set(of_line) == set(COMMANDS)
    for function, options in by_function().items():
        parameters = inspect.signature(getattr(rrtool, function)).parameters
        names = {parameter.name for parameter in of_line[options.COMMAND.name].params}
        assert names - set(MESSAGES) == set(parameters) - {"progress"}
        for declared in ordered(options):
            default = parameters[declared.name].default
            if not declared.declared.positional:  # what may stand before a required output
                assert (default is inspect.Parameter.empty) == (declared.default is MISSING)
            assert default in (declared.default, inspect.Parameter.empty)


def _outside(declared):
    """Values that an option must refuse, as typed."""
    about, values = declared.declared, []
    if declared.type in (int, float):
        for low in (about.least, about.above):
            if low is not None:
                values.append(low if low == about.above else low - 1)
        for high in (about.most, about.below):
            if high is not None:
                values.append(high if high == about.below else high + 1)
        if declared.type is float:
            values.append(math.nan)
    return [*values, *(["no-such-choice"] if about.choices else [])]


OUT_OF_RANGE = [
    (command, key, value)
    for command, key in OPTIONS
    for value in _outside(declarations(COMMANDS[command])[key])
]


def _needed(options, but=""):
    """What a command needs at least, in words that are good in themselves."""
    given = []
    for declared in ordered(options):
        if not declared.required or declared.name == but:
            continue
        value = declared.declared.choices[0] if declared.declared.choices else "given"
        if declared.type in (int, float):
            value = "1"
        given += [value] if declared.declared.positional else [f"{declared.flags[0]}={value}"]
    return given


def test_there_are_options_with_ranges():
    assert len(OUT_OF_RANGE) > 10


@pytest.mark.parametrize(("command", "key", "value"), OUT_OF_RANGE)
def test_value_out_of_range_names_exactly_this_option_and_its_range(command, key, value):
    options = COMMANDS[command]
    declared = declarations(options)[key]
    typed = f"{declared.flags[0]}={value}"
    line = tiny.assert_fails(tiny.rrtool(*command.split(), *_needed(options, key), typed), 2)
    assert line.startswith("rrtool: command line: "), line
    named = set(re.findall(r"--[a-z][a-z0-9-]*", line))
    assert named == {declared.flags[0]}, line
    about = declared.declared
    assert f"expected {about.range or ', '.join(about.choices)}, found" in line, line
