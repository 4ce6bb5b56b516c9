"""Lists to label: they belong to their state whatever happens, and labels in them are kept."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from rrtool.artifacts import OutputFile, open_artifact
from rrtool.artifacts.kinds import AlState
from tests.tiny import assert_done, assert_fails, digest_of, leftovers, make_pictures, rrtool

LIST, SHEET = "s.to_label.csv", "s.to_label.html"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return make_pictures(tmp_path_factory.mktemp("photos") / "images", 12)


@pytest.fixture
def here(pictures, tmp_path, monkeypatch):
    (tmp_path / "images").symlink_to(pictures)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def cycle(*more, output="s.h5", seed=0, budget=3):
    """A first cycle without labels: nothing is trained."""
    return rrtool(
        "al-cycle", "images", "-o", output, "--classes", "a,b", "--budget", budget, "--seed", seed,
        "--device", "cpu", *more,
    )  # fmt: skip


def asked(output="s.h5"):
    with open_artifact(output, AlState) as state:
        return state.acquired_ids.tolist()


def listed(path=LIST):
    with open(path, newline="") as file:
        return [int(row["id"]) for row in csv.DictReader(file)]


def fill(path=LIST):
    """As people do; returns what is in it then."""
    text = Path(path).read_text().replace(",,", ",a,", 1)
    Path(path).write_text(text)
    return text


def is_sheet_of(output, path=SHEET):
    with open_artifact(output, AlState) as state:
        return state.uuid in Path(path).read_text()


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (("--to-label", "s.h5"), "--output and --to-label name the same file"),
        (("--to-label", "images/../s.h5"), "--output and --to-label name the same file"),
        (("--to-label", "x", "--sheet", "./x"), "--to-label and --sheet name the same file"),
        (("--sheet", LIST), "--to-label and --sheet name the same file"),
        (("--sheet", "s.skipped.tsv"), "--sheet and the list of skipped inputs name the same file"),
        (("--to-label", "labels.csv"), "is one of the inputs (found --labels)"),
        (("--to-label", "sub/../labels.csv"), "is one of the inputs (found --labels)"),
        (("--sheet", "link.csv"), "is one of the inputs (found --labels)"),
        (("--to-label", "images"), "the output is a folder"),
        (("--to-label", "no/l.csv"), "there is no such folder"),
    ],
)
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_files_of_a_cycle_never_take_each_others_place(here, more, text, overwrite):
    (here / "sub").mkdir()
    (here / "labels.csv").write_text("name,label\n000.png,a\n001.png,b\n")
    (here / "link.csv").symlink_to("labels.csv")
    before = sorted(os.listdir())
    assert_fails(cycle("--labels", "labels.csv", *more, *overwrite), 2, text)
    assert sorted(os.listdir()) == before
    assert "000.png,a" in (here / "labels.csv").read_text()


def test_default_list_is_never_the_labels(here):
    Path(LIST).write_text("name,label\n000.png,a\n001.png,b\n")
    result = cycle("--labels", f"images/../{LIST}", "--overwrite")
    assert_fails(result, 2, "is one of the inputs (found --labels)")


@pytest.mark.parametrize("given", [(), ("--to-label", LIST, "--sheet", SHEET)])
def test_list_with_labels_is_never_replaced(here, given):
    assert_done(cycle(*given))
    filled = fill()
    result = cycle(*given, "--overwrite", seed=1)
    assert_done(result)
    assert Path(LIST).read_text() == filled
    assert listed("s.to_label-2.csv") == asked()
    assert is_sheet_of("s.h5")
    assert f"{LIST} stays as it is" in result.stderr
    assert "s.to_label-2.csv and s.to_label.html" in result.stderr
    assert_done(cycle(*given, seed=1))  # up to date: nothing more is written
    assert Path(LIST).read_text() == filled
    assert len(os.listdir()) == 5


def test_list_that_is_none_of_ours_stays_as_it_is(here):
    mine = "name;label\n000.png;a\n"
    Path(LIST).write_text(mine)
    Path(SHEET).write_text("<html>mine</html>")
    result = cycle("--overwrite")
    assert_done(result)
    assert (Path(LIST).read_text(), Path(SHEET).read_text()) == (mine, "<html>mine</html>")
    assert listed("s.to_label-2.csv") == asked()
    assert is_sheet_of("s.h5", "s.to_label-2.html")
    assert "s.to_label-2.csv and s.to_label-2.html" in result.stderr


def test_unlabelled_list_elsewhere_is_replaced_on_request_alone(here):
    assert_done(cycle("--to-label", "l.csv"))
    first = asked()
    assert_done(cycle("--to-label", "l.csv", output="t.h5", seed=1))
    assert (listed("l.csv"), listed("l-2.csv")) == (first, asked("t.h5"))
    assert_done(cycle("--to-label", "l.csv", output="u.h5", seed=2, budget=2))
    assert_done(cycle("--to-label", "l.csv", "--overwrite", output="u.h5", seed=3))
    assert listed("l.csv") == asked("u.h5")


@pytest.mark.parametrize("moment", ["list", "sheet", "state"])
@pytest.mark.parametrize("again", [1, 0])
def test_run_that_is_killed_while_it_writes_is_mended_by_the_next(here, monkeypatch, moment, again):
    """By the same command, or by that of the old state."""
    assert_done(cycle())
    digest = digest_of("s.h5")
    with monkeypatch.context() as patch:
        if moment == "state":
            patch.setattr(OutputFile, "publish", _killed)
        else:
            patch.setattr(f"rrtool.stages.learning.queries.{_BEFORE[moment]}", _killed)
        with pytest.raises(_Kill):
            raise cycle("--overwrite", seed=1).exception
    assert digest_of("s.h5") == digest
    assert_done(cycle("--overwrite", seed=again))
    assert listed() == asked()
    assert is_sheet_of("s.h5")
    assert sorted(os.listdir()) == ["images", "s.h5", LIST, SHEET]


class _Kill(BaseException):
    pass


_BEFORE = {"list": "write_text", "sheet": "_standing_sheet"}


def _killed(*_args, **_more):
    raise _Kill


def test_state_that_is_up_to_date_has_the_list_of_another_written_again(here):
    """As versions before left it, which wrote the list last."""
    assert_done(cycle(output="other.h5", seed=1))
    assert_done(cycle())
    for ending in ("csv", "html"):
        os.replace(f"other.to_label.{ending}", f"s.to_label.{ending}")
    assert listed() != asked()
    result = cycle()
    assert_done(result)
    assert "up to date" in result.stderr
    assert listed() == asked()
    assert is_sheet_of("s.h5")
    filled = fill()
    os.unlink(SHEET)
    assert_done(cycle())
    assert Path(LIST).read_text() == filled
    assert is_sheet_of("s.h5")
    assert leftovers(here) == []
