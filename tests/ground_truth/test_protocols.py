"""Benchmarks in one file: which protocol one is of, and what it counts."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.evaluation.evaluation import retrieval_scores
from rrtool.errors import UsageError
from rrtool.ground_truth import load, resolve
from rrtool.ground_truth.boxes import load_boxes
from tests.ground_truth.test_ground_truth import ids, write_matlab, write_pickle

GALLERY = ["q", "a", "b", "c"]
BOX = [0.0, 0.0, 9.0, 9.0]


def write(folder, *entries, queries=("q",), gallery=GALLERY):
    content = {"imlist": list(gallery), "qimlist": list(queries), "gnd": list(entries)}
    return write_pickle(folder / "gnd.pkl", content)


@pytest.mark.parametrize(
    ("entry", "protocol", "expected"),
    [
        ({"bbx": BOX, "ok": [3], "junk": [0, 1, 2]}, "oxford5k", ([3], [0, 1, 2])),
        ({"bbx": BOX, "ok": [0, 3], "junk": [1]}, "oxford5k", ([0, 3], [1])),
        ({"bbx": BOX, "ok": [3], "junk": []}, "oxford5k", ([3], [])),
        ({"bbx": BOX, "ok": [3]}, "instre", ([3], [])),
        ({"ok": [2, 3]}, "holidays", ([2, 3], [0])),
        ({"ok": [3], "junk": [0]}, "holidays", ([3], [0])),
        ({"ok": [3], "junk": [1], "bbx": None}, "holidays", ([3], [0, 1])),
        ({"ok": [0, 3]}, "holidays", ([0, 3], [])),  # where the lists name the query, it counts
    ],
)
@pytest.mark.parametrize("folder", ["", "jpg/"])
def test_a_benchmark_is_known_by_what_its_entries_hold(tmp_path, entry, protocol, expected, folder):
    source = load(write(tmp_path, entry), protocol)
    names = [f"{folder}{name}.jpg" for name in GALLERY]
    (truths,) = source.resolve(["queries/q.jpg"], names).values()
    assert ids(truths) == [expected]
    assert source.describe()["positives_rule"] == "ok"


def test_junk_before_the_only_positive_costs_nothing(tmp_path):
    truth = load(write(tmp_path, {"bbx": BOX, "ok": [3], "junk": [0, 1, 2]}))
    queries = resolve(truth, ["q.jpg"], [f"{name}.jpg" for name in GALLERY])["all"]
    ranks = np.array([[0, 1, 2, 3]])
    assert retrieval_scores(ranks, queries, protocol="", setup="").mean_average_precision == 1


def test_holidays_leaves_the_query_out_whatever_its_names_end_in(tmp_path):
    """As in its authors' script: if the query image is ranked, it is ignored in the scoring."""
    path = write(tmp_path, {"ok": [1]}, {"ok": [0]}, queries=["q", "a"],
                 gallery=["q.jpg", "a.jpg", "b.jpg"])  # fmt: skip
    truths = load(path).resolve(["q.jpg", "a.jpg"], ["b.jpg", "a.jpg", "q.jpg"])
    assert ids(truths["all"]) == [([1], [2]), ([2], [1])]


def test_holidays_of_matlab_names_its_queries_by_their_place(tmp_path):
    from scipy.io import loadmat, savemat

    path = write_matlab(
        tmp_path / "gnd.mat", {"imlist": GALLERY, "qimlist": [], "gnd": [{"ok": [1]}, {"ok": [3]}]}
    )
    content = {key: value for key, value in loadmat(path).items() if key in ("imlist", "gnd")}
    savemat(path, content | {"qidx": [1.0, 3.0]})
    truths = load(path, "holidays").resolve(["b", "q"], GALLERY)["all"]
    assert ids(truths) == [([3], [2]), ([1], [0])]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([{"ok": [1], "hard": [2], "bbx": BOX}], r"gnd\[0\].*expected.*found ok \+ hard \+ bbx"),
        ([{"strong": [1], "crops": [2]}], r"gnd\[0\].*found strong \+ crops"),
        ([{}], "found nothing"),
        ([{"easy": [1], "hard": [], "junk": []}], r"found easy \+ hard \+ junk\)"),
        (
            [{"ok": [1]}, {"ok": [1], "bbx": BOX}],
            r"gnd\[1\].*ok \+ bbx, as gnd\[0\] has ok\)",
        ),
        ([{"ok": [1], "junk": [2]}, {"ok": [1]}], r"gnd\[1\].*what the others hold"),
        ([{"ok": [4]}], "counted from 0 to 3, found 4"),
    ],
)
def test_a_mixture_is_an_error_that_says_what_was_found(tmp_path, entries, message):
    queries = ["q", "a"][: len(entries)]
    with pytest.raises(UsageError, match=message):
        load(write(tmp_path, *entries, queries=queries))


def test_whole_images_make_no_boxes(tmp_path):
    with pytest.raises(UsageError, match=r"no boxes.*whole images"):
        load_boxes(write(tmp_path, {"ok": [1]}))


# --- what fits nothing ---------------------------------------------------------------------------


def told_by(source, queries, database):
    told = []
    resolve(load(source), queries, database, tell=told.append)
    return told


def test_groups_are_counted():
    names = ["a_1.jpg", "a_2.jpg", "b_1.jpg"]
    (line,) = told_by("prefix:([^_]*)_", names, names)
    assert line == "prefix:([^_]*)_: 2 groups among 3 images of the database"


def test_one_group_and_groups_of_one_are_doubted(tmp_path):
    paths = [f"/my_photos/{name}" for name in ("a_1.jpg", "a_2.jpg", "b_1.jpg")]
    (line,) = told_by("prefix:^([^_]*)_", paths, paths)
    assert "1 group among 3" in line
    assert "all are in one group, '/my', so that every order scores 100" in line
    (line,) = told_by("prefix:^([^_]*)_", ["a_9.jpg"], ["a_1.jpg", "b_1.jpg"])
    assert "2 groups among 2" in line
    assert "a group of its own" in line
    # The rule that the line proposes is right.
    assert "2 groups" in told_by("prefix:(?:.*/)?([^_]*)_", paths, paths)[0]


@pytest.mark.parametrize("rule", ["prefix:([^_]*)_", "folder"])
def test_no_query_with_anything_to_find_is_an_error(rule):
    queries, database = ["x/a_1.jpg"], ["/home/x/a_1.jpg", "/home/x/a_2.jpg"]
    with pytest.raises(UsageError, match=r"no query has anything.*'x/a_1.jpg'; images.*'/home/x/a"):
        resolve(load(rule), queries, database)


@pytest.mark.parametrize(
    ("query", "database"),
    [
        ("./x/a1.jpg", ["x/a1.jpg", "x/a2.jpg"]),
        ("x/a1.jpg", ["/home/me/x/a1.jpg", "/home/me/x/a2.jpg"]),
        ("/home/me/x/a1.jpg", ["x/a1.jpg", "x/a2.jpg"]),
    ],
)
def test_query_is_itself_under_another_spelling(query, database):
    truths = load("prefix:(?:.*/)?(.)").resolve([query], database)["all"]
    assert ids(truths) == [([1], [0])]


@pytest.mark.parametrize("rule", ["([^_]*)_", "(caf\u00e9|b)_", "(....|.)_"])
def test_labels_are_the_same_in_both_unicode_forms(rule):
    truths = load(f"prefix:{rule}").resolve(["cafe\u0301_1"], ["caf\u00e9_2", "b_3"])["all"]
    assert ids(truths) == [([0], [])]


def test_an_expression_that_goes_back_and_forth_ends(monkeypatch):
    from rrtool.ground_truth import groups

    monkeypatch.setattr(groups, "_SECONDS", 0.1)
    names = ["x" * 60 + ".jpg"] * 20
    with pytest.raises(UsageError, match=r"takes too long.*'xxx"):
        load(r"prefix:(x|x)*\d\d").resolve(names, names)


@pytest.mark.parametrize(
    ("rule", "name", "label"),
    [
        (r"(.+)_\d+", "castle_old_001.jpg", "castle_old"),
        (r"(?:.*/)?([^_]*)_", "x_y/a_1.jpg", "a"),
        (r"(?i)([a-z]+)(?=\d)", "Cat9.jpg", "Cat"),
        (r"(?P<a>.)(?P=a)", "aab", "a"),
        (r"[[a]b]", "[b]", "[b]"),  # nested sets are another dialect's
        (r"(a{e<=1})", "a{e<=1}", "a{e<=1}"),  # and so is fuzzy matching
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_expressions_are_those_of_python(rule, name, label):
    assert load(f"prefix:{rule}").labels([name]) == [label]


def test_expressions_of_other_dialects_are_refused():
    with pytest.raises(UsageError, match="not a regular expression"):
        load(r"prefix:\p{Lu}")


def test_sources_that_are_pipes_are_refused_at_once(tmp_path):
    import os

    for name in ("gnd.pkl", "gnd.mat", "labels.csv"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(UsageError, match="a pipe, a socket or a device"):
            load(str(tmp_path / name))
        with pytest.raises(UsageError, match="a pipe, a socket or a device"):
            load_boxes(str(tmp_path / name))
