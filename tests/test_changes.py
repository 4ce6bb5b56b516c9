"""Every option of every command: changed between two runs, the message names exactly this one."""

from __future__ import annotations

import re

import pytest

from rrtool.commands import by_name
from rrtool.options import declarations
from tests.made_chain import COMMANDS, command_of, make_chain
from tests.tiny import assert_done, assert_fails, rrtool


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_chain(tmp_path_factory.mktemp("chain"))


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.chdir(made)


# What is not changed by adding one word to the call of ``COMMANDS``: other words, by command and
# option; None where the option makes another call, which ``COMMANDS`` has a case of its own for.
WORDS: dict[tuple[str, str], tuple[str, ...] | None] = {}
# Options that change nothing in the artifact as they are called here.
WITHOUT_EFFECT: set[tuple[str, str]] = set()


def _commands_with_artifacts():
    """The first call of each command that leaves an artifact."""
    seen = {}
    for name in COMMANDS:
        options = by_name()[_command(name)]
        if "output" in declarations(options) and _command(name) != "evaluate":
            seen.setdefault(_command(name), name)
    return seen


def _command(name):
    words = name.split()
    return " ".join(words[:2]) if words[0] in ("whiten", "saliency") else words[0]


CASES = [
    (call, key)
    for command, call in _commands_with_artifacts().items()
    for key, declared in declarations(by_name()[command]).items()
    if declared.declared.shapes and declared.declared.role in ("setting", "network")
]


def _changed(call, key):
    """The words that change an option."""
    if (_command(call), key) in WORDS:
        return WORDS[_command(call), key]
    declared = declarations(by_name()[_command(call)])[key]
    given, about = COMMANDS[call], declared.declared
    flag = declared.flags[0]
    now = given[given.index(flag) + 1] if flag in given and declared.type is not bool else None
    if declared.type is bool:
        return (flag,)
    if about.choices:
        return flag, next(each for each in about.choices if each not in (now, declared.default))
    if declared.many:
        return flag, "0.5"
    if declared.type is int:
        value = int(now if now is not None else declared.default or 1)
        return flag, str(value + 1 if about.most is None or value < about.most else value - 1)
    if declared.type is float:
        value = float(now if now is not None else declared.default or 0.5)
        return flag, str(value * 0.9 if value else 0.5)
    raise AssertionError(f"say how to change {flag} of {call}")


@pytest.mark.parametrize(("call", "key"), CASES)
def test_option_changed_between_two_runs_is_named(here, call, key):
    words = _changed(call, key)
    if words is None:
        pytest.skip("makes another kind of artifact")
    result = rrtool(*command_of(call), *words)
    if (_command(call), key) in WITHOUT_EFFECT:
        assert_done(result)
        return
    line = assert_fails(result, 4, "the output exists and was made with another")
    typed = declarations(by_name()[_command(call)])[key].flags[0]
    assert re.search(rf"made with another {typed} \(expected .*, found .*\);", line), line


@pytest.mark.parametrize("call", COMMANDS)
def test_same_call_is_up_to_date(here, call):
    result = rrtool(*command_of(call))
    assert_done(result)
    assert "is up to date" in result.stderr
