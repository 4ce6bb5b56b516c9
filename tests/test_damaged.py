"""Damaged artifacts, in every command that takes them: one line and exit code 4, never a traceback.

What its header shows is refused on opening. What only its values show (offsets that fall, rows that
do not exist, NaN) is refused where the values are read, and else does no harm.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from rrtool.artifacts.kinds import KINDS
from rrtool.artifacts.schema import Column, Texts, schema_of
from rrtool.commands import by_name
from rrtool.options import declarations
from tests.made_chain import COMMANDS, command_name, command_of, output_flags
from tests.stages.damaging import edited
from tests.tiny import assert_fails, assert_one_line, rrtool

KIND_OF = {kind.KIND: kind for kind in KINDS}
OTHER = np.dtype("S3")


@pytest.fixture(scope="module")
def made(chain, tmp_path_factory):
    """A copy, in which tests leave what they make."""
    return shutil.copytree(chain, tmp_path_factory.mktemp("damaged") / "chain")


@pytest.fixture
def here(made, monkeypatch):
    monkeypatch.chdir(made)


@pytest.fixture(scope="module")
def firsts(made):
    """The first of all cases for each kind of artifact, with each set of datasets."""
    found = {}
    for call, place in CASES:
        with h5py.File(made / command_of(call)[place]) as file:
            names = []
            file.visit(names.append)
            found.setdefault((file.attrs["kind"], *names), (call, place))
    return set(found.values())


def _inputs(call):
    """The places of artifacts to read among the words of a call."""
    options = by_name()[command_name(call)]
    declared = declarations(options)
    flags = {flag for each in declared.values() for flag in each.flags
             if each.declared.role == "artifact"}  # fmt: skip
    words = command_of(call)
    takes_artifacts = any(d.declared.positional and d.declared.role == "artifact"
                          for d in declared.values())  # fmt: skip
    for place, word in enumerate(words):
        before = words[place - 1]
        is_read = before in flags or (takes_artifacts and before[:1] != "-")
        if word.endswith(".h5") and is_read:
            yield place


def _cases():
    """One call of each command for every input that it takes."""
    seen = {}
    for call in COMMANDS:
        for number, place in enumerate(_inputs(call)):
            word = COMMANDS[call][place - len(command_name(call).split())]
            seen.setdefault((command_name(call), number, word), (call, place))
    return list(seen.values())


CASES = _cases()


def _columns(kind):
    """The datasets of a kind, each with its column; those of texts too."""
    for column in schema_of(kind).values():
        if isinstance(column, Texts):
            yield from column.columns()
        elif isinstance(column, Column):
            yield column


def _replace(file, name, values):
    del file[name]
    if values is not None:
        file.create_dataset(name, data=values)


def _headers(kind):
    """Changes that the header shows: a name, and what to do with the file."""
    for column in _columns(kind):
        name = column.name
        if not column.optional:
            yield f"no {name}", lambda file, n=name: _replace(file, n, None)
        yield f"type of {name}", lambda file, n=name: _replace(file, n, file[n][()].astype(OTHER))
        if column.shape != "*" and not _is_free(kind, column):
            yield f"length of {name}", lambda file, n=name: _replace(file, n, _longer(file[n][()]))
        if column.shape != "*":
            yield f"rank of {name}", lambda file, n=name: _replace(file, n, file[n][()][..., None])
    for attribute, value in (
        ("options", np.bytes_(b"{}")), ("inputs", "{"), ("network", 3), ("extra", "[]"),
    ):  # fmt: skip
        yield f"{attribute} {value}", lambda f, a=attribute, v=value: _set(f, a, v)
    for attribute, keys in (("extra", kind.FACTS), ("options", kind.OPTIONS)):
        for key in keys:
            yield f"no {key}", lambda f, a=attribute, k=key: _without(f, a, k)


def _is_free(kind, column):
    """Whether no other dataset has the length of this one; digests are of updated files alone."""
    letters = column.shape.split()[0].partition("+")[0]
    others = [
        each
        for each in _columns(kind)
        if each.name != column.name and not each.name.endswith("digests")
    ]
    return not any(letters in axis for each in others for axis in each.shape.split())


def _longer(values):
    return np.concatenate([values, values[-1:]] if len(values) else [values, _row(values)])


def _row(values):
    return np.zeros((1, *values.shape[1:]), values.dtype)


def _without(file, attribute, key):
    content = json.loads(file.attrs[attribute])
    del content[key]
    _set(file, attribute, json.dumps(content))


def _set(file, attribute, value):
    del file.attrs[attribute]
    file.attrs[attribute] = value


def _values(kind):
    """Changes that only the values show."""
    for column in _columns(kind):
        name = column.name
        if column.shape != "*" and _is_free(kind, column):
            yield f"longer {name}", lambda file, n=name: _replace(file, n, _longer(file[n][()]))
        if column.offsets_of:
            yield f"falling {name}", lambda file, n=name: _replace(file, n, file[n][()][::-1])
        elif column.ids_of:
            yield f"far {name}", lambda file, n=name: _fill(file[n], 10_000)
            yield f"negative {name}", lambda file, n=name: _fill(file[n], -7)
        elif column.dtype.startswith("float"):
            yield f"NaN in {name}", lambda file, n=name: _fill(file[n], np.nan)
    yield "no input", lambda file: _set(file, "inputs", "[]")
    yield "no option", lambda file: _set(file, "options", "{}")
    yield "no network", lambda file: _set(file, "network", "{}")
    yield "no fact", lambda file: _set(file, "extra", "{}")


def _fill(dataset, value):
    if dataset.size:
        dataset[...] = value


def _run_on_changed(call, place, change):
    words = command_of(call)
    shutil.copy(words[place], "changed.h5")
    with edited("changed.h5") as file:
        kind = KIND_OF[file.attrs["kind"]]
        try:
            change(file)
        except KeyError:  # an optional dataset that this one lacks
            return None, kind
    words[place] = "changed.h5"
    for flag in output_flags(call):
        if flag in words:
            words[words.index(flag) + 1] = f"new{flag}.h5"
            Path(f"new{flag}.h5").unlink(missing_ok=True)
    result = rrtool(*words, "--overwrite")
    return result, kind


def _kind_at(call, place):
    with h5py.File(command_of(call)[place]) as file:
        return KIND_OF[file.attrs["kind"]]


def test_every_command_that_takes_artifacts_is_here():
    assert {"search", "rerank", "diffuse", "centrality", "discover", "evaluate", "al-agree"} <= {
        command_name(call) for call, _ in CASES
    }


def _one_of_each_way(changes, number):
    """Of the changes that begin with the same word one: another for another number."""
    ways = {}
    for name, change in changes:
        ways.setdefault(name.split()[0], []).append((name, change))
    return [same[number % len(same)] for same in ways.values()]


@pytest.mark.parametrize(("call", "place"), CASES)
def test_header_that_does_not_fit_is_one_line_and_exit_4(here, firsts, call, place):
    """All changes of each kind; then one of each way wherever else a command takes it."""
    changes = list(_headers(_kind_at(call, place)))
    if (call, place) not in firsts:
        changes = _one_of_each_way(changes, CASES.index((call, place)))
    n_tried = 0
    for name, change in changes:
        result, _ = _run_on_changed(call, place, change)
        if result is not None:
            assert isinstance(result.exception, SystemExit), (name, repr(result.exception))
            assert_fails(result, 4, "changed.h5")
            n_tried += 1
    assert n_tried > (10 if (call, place) in firsts else 4)


@pytest.mark.parametrize(("call", "place"), CASES)
def test_values_that_do_not_fit_give_no_traceback(here, call, place):
    for name, change in _values(_kind_at(call, place)):
        result, _ = _run_on_changed(call, place, change)
        if result is None or result.exit_code == 0:
            continue
        assert isinstance(result.exception, SystemExit), (name, repr(result.exception))
        assert result.exit_code in (1, 2, 4), (name, result.stderr)
        assert_one_line(result.stderr)
