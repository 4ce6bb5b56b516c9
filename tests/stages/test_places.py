"""Outputs have places of their own, in every command, by its declarations."""

from __future__ import annotations

import os
from dataclasses import MISSING

import pytest

from rrtool.commands import by_name
from rrtool.errors import UsageError
from rrtool.options import OutputOptions, declarations
from rrtool.stages.places import check_places

# Every output of every command but demo's, which is a folder, with each of its inputs.
PAIRS = [
    (options, output, source)
    for name, options in by_name().items()
    for output, written in declarations(options).items()
    for source, read in declarations(options).items()
    if name != "demo" and written.declared.role == "output" and read.is_read
]


def _options(kind, **files):
    """Options with these files, and anything for the others that must be given."""
    fields = declarations(kind)
    required = {
        name: 5 if declared.type is int else next(iter(declared.declared.choices), f"{name}-x")
        for name, declared in fields.items()
        if declared.default is MISSING or name in ("budget", "output")
    }
    named = {name: fields[name].declared.file_prefix + path for name, path in files.items()}
    values = {**required, **named}
    return kind(**{n: (v,) if fields[n].many else v for n, v in values.items()})


@pytest.mark.parametrize(("kind", "output", "source"), PAIRS)
def test_output_that_is_an_input_is_refused(tmp_path, monkeypatch, kind, output, source):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kind, "check", lambda self: None)  # what goes with what
    os.mkdir("sub")
    check_places(_options(kind, **{output: "same", source: "sub/same"}))
    with pytest.raises(UsageError, match="the output is one of the inputs"):
        check_places(_options(kind, **{output: "same", source: "sub/../same"}))
    if issubclass(kind, OutputOptions):  # the others leave no list of skipped inputs
        with pytest.raises(UsageError, match="the output is one of the inputs"):
            check_places(_options(kind, **{output: "a.h5", source: "./a.skipped.tsv"}))
    assert os.listdir() == ["sub"]
