"""Error lines: their parts, their exit statuses, and that they stay one printable line."""

from __future__ import annotations

import pickle

import pytest

from rrtool.errors import ArtifactError, RrtoolError, UsageError, WorkFailed, printable


def test_error_line_has_all_its_parts():
    error = UsageError("bad box", where="b.csv, line 3", expected="x1 > x0", found=7, todo="fix it")
    assert str(error) == "b.csv, line 3: bad box (expected x1 > x0, found 7); fix it"


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ({}, "bad"),
        ({"where": "f"}, "f: bad"),
        ({"expected": 0}, "bad (expected 0)"),
        ({"found": ""}, "bad (found )"),
        ({"todo": "retry"}, "bad; retry"),
    ],
)
def test_error_line_leaves_out_absent_parts(parts, line):
    assert str(RrtoolError("bad", **parts)) == line


@pytest.mark.parametrize(
    ("kind", "status"), [(RrtoolError, 1), (UsageError, 2), (ArtifactError, 4), (WorkFailed, 1)]
)
def test_exit_codes(kind, status):
    assert kind("x").exit_code == status
    assert isinstance(kind("x"), RrtoolError)


@pytest.mark.parametrize("part", ["what", "where", "expected", "found", "todo"])
def test_unprintable_characters_are_escaped_in_every_part(part):
    nasty = "a\nb\r\x1b[31m\udce9\u2028é"
    error = RrtoolError(**{"what": "x", part: nasty})
    assert str(error).isprintable()
    assert r"a\nb\r\x1b[31m\udce9\u2028é" in str(error)
    str(error).encode("utf-8")


def test_printable_leaves_backslashes_alone():
    assert printable(r"C:\new") == r"C:\new"


@pytest.mark.parametrize("part", ["what", "where", "expected", "found", "todo"])
def test_middle_of_a_long_part_is_left_out(part):
    line = str(RrtoolError(**{"what": "x", part: "a" * 10_000 + "b" * 10_000}))
    assert len(line) < 700
    assert "aaa … bbb" in line
    name = "/" + "n" * 255 + "/" + "m" * 255
    assert name in str(RrtoolError(**{"what": "x", part: name}))


def test_error_survives_pickling_as_workers_do_it():
    error = ArtifactError("bad\n", where="f", expected=1, found=2, todo="t")
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(copy), str(copy)) == (ArtifactError, str(error))
    assert copy.where == "f"
