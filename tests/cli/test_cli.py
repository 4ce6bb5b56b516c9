"""The command line: start-up, usage errors, defaults from file and environment, pipes, JSON."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time

import pytest

from rrtool.artifacts.kinds import open_any
from rrtool.commands import GROUPS, by_name
from rrtool.options import declarations
from rrtool.progress import Console, Silent
from tests.tiny import NETWORK, assert_done, assert_fails, extract, make_pictures, rrtool


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("cli") / "images", 2)


def test_help_imports_no_heavy_library():
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "rrtool", "--help"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer" in imported
    assert not imported & {"torch", "torchvision", "numba", "h5py", "scipy", "PIL"}
    for command in ("extract", "detect-local", "whiten", "search", "rerank", "evaluate", "inspect"):
        assert command in done.stdout


@pytest.mark.parametrize(
    "options",
    [
        ("--scales", "1,x"), ("--scales", "0"), ("--scales", "1,1"), ("--max-size", "0"),
        ("--pool", "sum"), ("--gem-exponent", "0"), ("--network", "lenet"),
        ("--whitening", "sfm"), ("--device", "tpu"), ("--workers", "-1"), ("--upsample",),
    ],
)  # fmt: skip
def test_extract_wrong_option_value_exits_2(tmp_path, images, options):
    assert_fails(extract(images, tmp_path / "f.h5", *options), 2)
    assert not (tmp_path / "f.h5").exists()


@pytest.mark.parametrize("arguments", [("fly",), ("extract",), ("extract", "x", "--no-such")])
def test_wrong_usage_exits_2(arguments):
    assert rrtool(*arguments).exit_code == 2


def _options(path):
    with open_any(path) as artifact:
        return artifact.options


def test_config_file_gives_defaults_and_refuses_unknown_keys(tmp_path, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rrtool.toml").write_text(
        "[extract]\npool = 'mac'\n[common]\npool = 'spoc'\nmax-pixels = 99999\n"
    )
    assert_done(extract(images, tmp_path / "f.h5"))
    assert _options(tmp_path / "f.h5")["pool"] == "mac"
    assert _options(tmp_path / "f.h5")["max_pixels"] == 99999
    for text, message in (
        ("[extract]\npol = 1\n", "unknown key 'pol'"),
        ("[extrat]\n", "unknown entry"),
        ("[extract\n", "cannot read the options"),
    ):
        (tmp_path / "rrtool.toml").write_text(text)
        assert_fails(extract(images, tmp_path / "g.h5"), 2, message)
    monkeypatch.setenv("RRTOOL_CONFIG", "absent.toml")
    assert_fails(extract(images, tmp_path / "g.h5"), 2, "RRTOOL_CONFIG")


WRITERS = [
    (command, name)
    for command, options in by_name().items()
    for name, declared in declarations(options).items()
    if declared.declared.role == "output" or name == "overwrite"
]


def test_there_are_options_that_write():
    assert len({name for _, name in WRITERS}) >= 7


@pytest.mark.parametrize(("command", "name"), WRITERS)
def test_config_file_never_says_what_is_written(tmp_path, monkeypatch, command, name):
    monkeypatch.chdir(tmp_path)
    value = "true" if name == "overwrite" else "'.bashrc'"
    key = name.replace("_", "-")
    for table in (command.replace(" ", "."), "common"):
        (tmp_path / "rrtool.toml").write_text(f"[{table}]\n{key} = {value}\n")
        for asked in ("search", "q.h5", "d.h5", "-o", "r.h5"), (*command.split(), "x"):
            text = f"[{table}]: '{key}' cannot stand in a file"
            assert_fails(rrtool(*asked), 2, "rrtool.toml", text, "command line or by a variable")
    assert [path.name for path in tmp_path.iterdir()] == ["rrtool.toml"]


def test_variable_may_say_what_is_written(tmp_path, images, monkeypatch):
    assert_done(extract(images, tmp_path / "f.h5"))
    monkeypatch.setenv("RRTOOL_SEARCH_OUTPUT", str(tmp_path / "r.h5"))
    assert_done(rrtool("search", tmp_path / "f.h5", tmp_path / "f.h5"))
    monkeypatch.setenv("RRTOOL_SEARCH_OVERWRITE", "1")
    assert_done(rrtool("search", tmp_path / "f.h5", tmp_path / "f.h5", "--top", "1"))
    assert _options(tmp_path / "r.h5")["top"] == 1


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.write_text("a = " + "[" * 10_000), "nested without end"),
        (lambda path: path.write_text("a = " + "9" * 5000), "digits"),
        (lambda path: path.write_text("a" + ".a" * 10_000 + " = 1"), "more than 16384 bytes"),
        (lambda path: path.write_bytes(b"\xff\xfe[\0"), "can't decode"),
        (os.mkfifo, "a pipe, a socket or a device"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to("/dev/zero"), "a pipe, a socket or a device"),
        (lambda path: path.symlink_to("gone"), "No such file"),
        (lambda path: path.write_text("[search]\ntop = true"), "bad 'top' (expected no truth"),
        (lambda path: path.write_text("[search]\ntop = {a = 1}"), "invalid value for '--top'"),
        (lambda path: path.write_text("[search]\nexpand = nan"), "invalid value for '--expand'"),
        (lambda path: path.write_text("[search.top.x]"), "invalid value for '--top'"),
    ],
)  # fmt: skip
def test_config_file_that_is_damaged_is_one_line(tmp_path, monkeypatch, make, text):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "rrtool.toml")
    assert_fails(rrtool("search", "q.h5", "d.h5", "-o", "r.h5"), 2, "rrtool.toml", text)


def test_config_file_gives_defaults_to_the_commands_of_a_group(tmp_path, images, monkeypatch):
    assert_done(extract(images, tmp_path / "f.h5"))
    monkeypatch.chdir(tmp_path)
    fit = ("whiten", "fit", "f.h5", "-o", "w.h5")
    (tmp_path / "rrtool.toml").write_text("[whiten.fit]\nmethod = 'pca'\n[common]\ndim = 1\n")
    assert_done(rrtool(*fit))
    assert _options(tmp_path / "w.h5") == {"method": "pca", "dim": 1, "shrinkage": None}
    monkeypatch.setenv("RRTOOL_WHITEN_FIT_METHOD", "lda")
    assert_fails(rrtool(*fit), 2, "unknown --method", "found lda")
    for text, message in (
        ("[whiten.fit]\nmetod = 'pca'\n", "unknown key 'metod' in [whiten.fit]"),
        ("[whiten.fits]\n", "unknown entry [whiten.fits]"),
        ("[whiten]\nmethod = 'pca'\n", "unknown entry [whiten.method]"),
        ("whiten = 1\n", "unknown entry [whiten]"),
        ("['whiten.fit'.x]\n", "unknown key 'x' in [whiten.fit]"),
    ):
        (tmp_path / "rrtool.toml").write_text(text)
        assert_fails(rrtool(*fit), 2, message)


def test_variable_gives_a_default_and_wins_over_the_file(tmp_path, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rrtool.toml").write_text("[extract]\npool = 'mac'\n")
    monkeypatch.setenv("RRTOOL_EXTRACT_POOL", "crow")
    assert_done(extract(images, tmp_path / "f.h5"))
    assert _options(tmp_path / "f.h5")["pool"] == "crow"
    assert_done(extract(images, tmp_path / "g.h5", "--pool", "spoc"))
    assert _options(tmp_path / "g.h5")["pool"] == "spoc"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("RRTOOL_EXTRACT_MAXSIZE", "names no option of extract"),
        ("RRTOOL_WHITEN_FIT_DIMS", "names no option of whiten fit"),
        ("RRTOOL_WHITEN_DIM", "names no command and option"),
    ],
)
def test_variable_of_a_command_that_names_no_option_is_an_error(
    tmp_path, images, monkeypatch, variable, text
):
    monkeypatch.setenv(variable, "33")
    assert_fails(extract(images, tmp_path / "f.h5"), 2, variable, text)
    assert not (tmp_path / "f.h5").exists()


def test_other_variables_are_one_line_of_warning_or_no_business_of_ours(
    tmp_path, images, monkeypatch
):
    for name in ("RRTOOL_VERSION", "RRTOOL_SHARED_DATA", "RRTOOL_EXTRACTION"):
        monkeypatch.setenv(name, "1")
    result = extract(images, tmp_path / "f.h5")
    assert_done(result)
    assert [line for line in result.stderr.splitlines() if "RRTOOL" in line] == [
        "warning: the variable RRTOOL_EXTRACTION is none of rrtool's and is ignored"
    ]
    assert (tmp_path / "f.h5").exists()


def test_bad_value_says_where_it_came_from(tmp_path, images, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = ("--max-size", "0")
    assert_fails(extract(images, "f.h5", *wrong), 2, "command line: bad --max-size")
    arguments = ("extract", images, "-o", "f.h5", *NETWORK)
    for text, table in (
        ("[extract]\nmax-size = 0\n", "[extract]"),
        ("[common]\nmax_size = 0\n", "[common]"),
    ):
        (tmp_path / "rrtool.toml").write_text(text)
        assert_fails(rrtool(*arguments), 2, f"rrtool.toml, {table}: bad --max-size")
    (tmp_path / "rrtool.toml").write_text("[extract]\nmax-size = 'big'\n")
    assert_fails(rrtool(*arguments), 2, "rrtool.toml, [extract]: invalid value for '--max-size'")
    for value, what in (("0", "bad --max-size"), ("big", "invalid value for '--max-size'")):
        monkeypatch.setenv("RRTOOL_EXTRACT_MAX_SIZE", value)
        assert_fails(rrtool(*arguments), 2, f"variable RRTOOL_EXTRACT_MAX_SIZE: {what}")


def test_help_lists_the_commands_by_purpose_uncut():
    shown = rrtool("--help").stdout
    places = [shown.index(f"{group}:") for group in GROUPS]
    assert places == sorted(places)
    for options in GROUPS.values():
        for each in options:
            assert each.COMMAND.name.split()[0] in shown
    assert "…" not in shown
    assert "..." not in shown.replace("[ARGS]...", "")


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_on_a_terminal_has_rate_and_time_left(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    with Console().task("extract", 40, "images") as advance:
        for _ in range(4):
            time.sleep(0.01)
            advance(10)
    shown = terminal.getvalue()
    assert "extract" in shown
    assert "40/40" in shown
    assert re.search(r"\d+\.\d images/s", shown)
    assert re.search(r"\d:\d\d:\d\d", shown)


def test_progress_without_a_terminal_is_plain_lines_and_quiet_none(capsys):
    for progress in (Console(), Silent()):
        with progress.task("extract", 40, "images") as advance:
            advance(40)
    assert re.fullmatch(
        r"extract: 40/40 images, [\d.]+ images/s, 0 s left\n", capsys.readouterr().err
    )


def test_message_leaves_out_the_middle_of_what_is_too_long(capsys):
    Console().message("rule " + "a|" * 5000 + ": end")
    shown = capsys.readouterr().err
    assert re.fullmatch(r"rule a[a|]+ … [a|]+: end\n", shown)
    assert len(shown) < 1000


def test_verbose_shows_the_traceback_before_the_line(tmp_path, images):
    arguments = ("search", tmp_path / "no.h5", tmp_path / "no.h5", "-o", tmp_path / "r.h5")
    assert_fails(rrtool(*arguments), 2)
    result = rrtool(*arguments, "-v")
    assert result.exit_code == 2
    first, *_, last = result.stderr.splitlines()
    assert first.startswith("Traceback")
    assert last.startswith("rrtool: ")


def test_pipe_and_json(tmp_path, images):
    first = extract(images, tmp_path / "f.h5")
    path = first.stdout_bytes
    result = rrtool("search", "-", tmp_path / "f.h5", "-o", tmp_path / "r.h5", "--json", stdin=path)
    assert_done(result)
    assert json.loads(result.stdout)["kind"] == "ranking"
    described = json.loads(rrtool("inspect", tmp_path / "r.h5", "--json").stdout)
    assert [record["role"] for record in described["inputs"]] == ["queries", "database"]
    result = rrtool("search", "-", tmp_path / "f.h5", "-o", tmp_path / "s.h5", stdin=b"")
    assert_fails(result, 2, "'-' reads one path")
