"""Which images the names in a table mean."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rrtool.errors import UsageError
from rrtool.ground_truth import load
from rrtool.ground_truth.boxes import QueryBox, match_boxes
from rrtool.ground_truth.matching import (
    Entries,
    _Index,
    match_names,
    rows_of_same,
    spelled,
    spelling,
)
from rrtool.ground_truth.names import rows_of_entries

COMPOSED, DECOMPOSED = "caf\u00e9.jpg", "cafe\u0301.jpg"


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("./a.jpg", "a.jpg"),
        ("a.jpg", "./a.jpg"),
        ("sub\\a.jpg", "sub/a.jpg"),
        ("sub//./a.jpg", "sub/a.jpg"),
        ("other/../a.jpg", "a.jpg"),
        (" a.jpg ", "a.jpg"),
        (DECOMPOSED, COMPOSED),
        (COMPOSED, DECOMPOSED),
        (os.fsdecode(b"caf\xe9.jpg"), COMPOSED),
        (COMPOSED, os.fsdecode(b"caf\xe9.jpg")),
        ("a", "sub/a.jpg"),
        ("sub/a", "sub/a.jpg"),
        ("sub/a.jpg", "sub/a"),
        ("/home/me/photos/sub/a.jpg", "sub/a.jpg"),
        ("C:\\photos\\sub\\a.jpg", "sub/a.jpg"),
        ("sub/a.jpg", "/home/me/photos/sub/a.jpg"),
        ("sub/a", "/home/me/photos/sub/a.jpg"),
        ("a.jpg", "/home/me/photos/sub/a.jpg"),
    ],
)
def test_match_names_knows_the_spellings_of_a_name(entry, name):
    assert list(match_names(["x", entry, "y.jpg"], ["z.jpg", name])[1]) == [1]


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("a.jpg", "a.png"),
        ("a.jpg", "sub/a.jpg"),
        ("sub/a.jpg", "a.jpg"),
        ("A.jpg", "a.jpg"),
        ("/photos/ba.jpg", "a.jpg"),
        ("/photos/a.jpg", "/pictures/a.jpg"),
    ],
)
def test_match_names_takes_no_other_name(entry, name):
    assert not match_names([entry], [name])[0]


def test_match_names_takes_the_exact_name_first():
    names = [COMPOSED, DECOMPOSED, "a\\b.jpg", "a/b.jpg"]
    assert list(map(list, match_names(names, names))) == [[0], [1], [2], [3]]
    # What is another image's exact name is not this one's.
    assert [list(own) for own in match_names(["/x/a.jpg"], ["/x/a.jpg", "a.jpg"])] == [[0], []]
    assert list(match_names(["a.jpg", "./a.jpg"], ["a.jpg"])[0]) == [0, 1]


def test_match_names_serves_rows_of_one_image():
    """A query image has a row for each of its boxes."""
    assert [list(own) for own in match_names(["/x/a.jpg"], ["a.jpg", "a.jpg"])] == [[0], [0]]


@pytest.mark.parametrize(
    ("entries", "names", "message"),
    [
        (["/x/a.jpg", "/y/a.jpg"], ["a.jpg"], "two names match the image 'a.jpg'.*'/x/a.jpg', '/y"),
        (["a.jpg"], ["/x/a.jpg", "/y/a.jpg"], "two images .*match .*'/x/a.jpg', '/y/a.jpg'"),
        (["a.jpg", "a.png"], ["a"], "two names match the image 'a'"),
    ],
)
def test_names_that_may_be_two_are_an_error(entries, names, message):
    with pytest.raises(UsageError, match=message):
        rows_of_entries(entries, names, where="t.csv")
    with pytest.raises(UsageError, match=message):
        match_boxes([QueryBox(entry, (0, 0, 1, 1)) for entry in entries], names)


def test_rows_of_entries_of_one_image_are_the_same():
    rows = rows_of_entries(["./a.jpg", "b.jpg", "a.jpg"], ["b.jpg", "a.jpg"], where="")
    assert rows.tolist() == [1, 0, 1]


@pytest.mark.parametrize("second", ["a.jpg;cat", "./a.jpg;cat", "/photos/a.jpg;cat"])
def test_labels_of_one_image_twice_are_told_once(tmp_path, second):
    path, told = tmp_path / "l.csv", list[str]()
    path.write_text(f"name;label\na.jpg;cat\n{second}\nb.jpg;cat\n")
    names = ["a.jpg", "b.jpg"]
    truths = load(str(path)).resolve(names, names, tell=told.append)["all"]
    assert [truth.positives.tolist() for truth in truths] == [[1], [0]]
    assert len(told) == 2
    assert ("/photos/a.jpg" if second[0] == "/" else "1 of its rows name an image again") in told[1]


@pytest.mark.parametrize("second", ["a.jpg;dog", "./a.jpg;dog", ".\\a.jpg;dog"])
def test_labels_of_one_image_that_contradict_are_an_error(tmp_path, second):
    path = tmp_path / "l.csv"
    path.write_text(f"name;label\na.jpg;cat\n{second}\n")
    with pytest.raises(UsageError, match=r"(two labels|a second label) for"):
        load(str(path)).resolve(["a.jpg"], ["a.jpg"])


@pytest.mark.parametrize(("entry", "name"), [("A.jpg", "a.jpg"), (COMPOSED, DECOMPOSED)])
def test_labels_of_names_that_look_alike_say_so(tmp_path, entry, name):
    path = tmp_path / "l.csv"
    path.write_text(f"name;label\n{entry};cat\n", encoding="utf-8")
    with pytest.raises(UsageError, match=f"give '{name}' a line of its own: names that look alike"):
        load(str(path)).resolve([entry], [entry, name])


def test_labels_that_match_nothing_show_both_sides(tmp_path):
    path, told = tmp_path / "l.csv", list[str]()
    path.write_text("name;label\nx.jpg;cat\ny.jpg;cat\n")
    with pytest.raises(UsageError, match=r"2 of 2 image names.*has 'x.jpg'.*found 'a.jpg', 'b"):
        load(str(path)).resolve(["a.jpg"], ["a.jpg", "b.jpg"])
    path.write_text("name;label\nx.jpg;cat\na.jpg;cat\nb.jpg;cat\n")
    load(str(path)).resolve(["a.jpg"], ["a.jpg", "b.jpg"], tell=told.append)
    assert "1 of its 3 names are of no image here: 'x.jpg'; images are 'a.jpg'" in told[1]


def test_boxes_of_one_image_are_joined_and_a_row_that_is_there_twice_is_one(tmp_path):
    from rrtool.ground_truth.boxes import boxes_of_images

    path, told = tmp_path / "b.csv", list[str]()
    path.write_text(
        "filename;xmin;ymin;xmax;ymax\na.jpg;1,5;2;3;4\n./a.jpg;1,5;2;3;4\n.\\a.jpg;5;6;7;8\nz;0;0;1;1\n"
    )
    (found,) = boxes_of_images(str(path), ["a.jpg"], told.append)
    assert [box.box for box in found] == [(1.5, 2, 3, 4), (5, 6, 7, 8)]
    assert "1 of 3 boxes are of no image here: 'z'; images are 'a.jpg'" in told[0]


@given(st.lists(st.text(st.sampled_from("a./\\ \n\té"), max_size=5), max_size=4))
def test_spelled_is_the_spelling_of_each(names):
    assert spelled(names) == [spelling(name) for name in names]


_NAMES = st.lists(st.text(st.sampled_from("ab./\\ Cé:"), max_size=6), max_size=6)


@given(_NAMES, _NAMES)
def test_rows_of_same_are_those_of_all_names(names, database_names):
    index = _Index(Entries(database_names), names)
    plain = [index.same(form) for form in index.forms]
    index.add_ends(plain)
    assert list(map(list, rows_of_same(names, database_names))) == list(map(list, plain))


@pytest.mark.parametrize(
    ("name", "rows"),
    [("a.jpg", [0, 2]), ("/x/b/c.jpg", [3]), ("/x/b/c.png", []), ("e", [4]), ("z", [])],
)
def test_rows_of_same_knows_spellings_and_absolute_paths(name, rows):
    database = ["a.jpg", "d.jpg", "./a.jpg", "b/c.jpg", "/y/e"]
    assert [list(own) for own in rows_of_same([name], database)] == [rows]


_SPELLED = st.sampled_from(["a", "./a", "b.jpg", "/x/b.jpg", COMPOSED])


@given(
    st.lists(st.tuples(_SPELLED, st.sampled_from(["x", "y"])), min_size=2, max_size=4),
    st.booleans(), st.data(),
)  # fmt: skip
def test_labels_of_exact_names_are_those_of_the_long_way(rows, is_exact, data):
    drawn = st.sampled_from([name for name, _ in rows]) if is_exact else _SPELLED
    names = data.draw(st.lists(drawn, max_size=6))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "l.csv")
        lines = ["name,label", *(f'"{name}",{label}' for name, label in rows)]
        path.write_text("\n".join(lines), encoding="utf-8")
        found = []
        for unknown in ([], ["of no line"]):  # which all are looked up for
            try:
                found.append(load(str(path)).rule.labels([*names, *unknown])[: len(names)])
            except UsageError as error:
                found.append(str(error))
    assert found[0] == found[1]


def test_match_names_of_a_large_collection_is_quick():
    names = [f"folder_{i % 100}/image_{i}.jpg" for i in range(20_000)]
    found = match_names([f"/home/me/{name}" for name in names], names)
    assert np.array_equal(np.concatenate(found), np.arange(20_000))
