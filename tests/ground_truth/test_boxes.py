"""Query boxes from tables and from the benchmarks' own files."""

from __future__ import annotations

import pickle

import pytest

from rrtool.errors import UsageError
from rrtool.ground_truth.boxes import QueryBox, load_boxes, match_boxes
from tests.shared_data import ROOT, needs_shared_data


@pytest.mark.parametrize(
    ("file_name", "text"),
    [
        ("boxes.csv", "sub/a.jpg,1,2,3.5,4\nb,0,0,10,20\n"),
        ("boxes.csv", "name,x0,y0,x1,y1\nsub/a.jpg,1,2,3.5,4\n\nb, 0, 0, 1e1, 20\n"),
        ("boxes.csv", "x1,y1,x0,y0,name,note\n3.5,4,1,2,sub/a.jpg,\n10,20,0,0,b,old\n"),
        ("boxes.tsv", "name\tx0\ty0\tx1\ty1\nsub/a.jpg\t1\t2\t3.5\t4\nb\t0\t0\t10\t20\n"),
    ],
)
def test_load_boxes_table(tmp_path, file_name, text):
    path = tmp_path / file_name
    path.write_text(text)
    assert load_boxes(str(path)) == [
        QueryBox("sub/a.jpg", (1.0, 2.0, 3.5, 4.0)),
        QueryBox("b", (0.0, 0.0, 10.0, 20.0)),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("b,1,2,3", r"wrong number of fields \(expected 5 \(name,x0,y0,x1,y1\), found 4\)"),
        ("b,1,2,3,4,5", "wrong number of fields.*found 6"),
        ("b,1,2,x,4", "four numbers.*found '1,2,x,4'"),
        ("b,1,2,,4", "four numbers"),
        ("b,1,2,nan,4", "finite"),
        ("b,1,2,inf,4", "finite"),
        ("b,3,2,3,4", "x1 > x0"),
        ("b,1,4,3,2", "x1 > x0 and y1 > y0"),
        (",1,2,3,4", "empty field"),
    ],
)
def test_load_boxes_malformed_line_is_named(tmp_path, line, message):
    path = tmp_path / "boxes.csv"
    path.write_text(f"a.jpg,1,2,3,4\n{line}\n")
    with pytest.raises(UsageError, match=message) as caught:
        load_boxes(str(path))
    assert f"{path}, line 2: " in str(caught.value)


def test_load_boxes_absent_file(tmp_path):
    with pytest.raises(UsageError, match=r"boxes.csv: cannot read it \(found No such file"):
        load_boxes(str(tmp_path / "boxes.csv"))


def test_load_boxes_empty_table_has_none(tmp_path):
    (tmp_path / "boxes.csv").write_text("name,x0,y0,x1,y1\n")
    assert load_boxes(str(tmp_path / "boxes.csv")) == []
    (tmp_path / "boxes.csv").write_text("")
    assert load_boxes(str(tmp_path / "boxes.csv")) == []


def test_load_boxes_revisited(tmp_path):
    entry = {"bbx": [1, 2, 30.5, 40], "easy": [], "hard": [], "junk": []}
    content = {"imlist": ["a"], "qimlist": ["q"], "gnd": [entry]}
    (tmp_path / "gnd.pkl").write_bytes(pickle.dumps(content, protocol=2))
    assert load_boxes(str(tmp_path / "gnd.pkl")) == [QueryBox("q", (1.0, 2.0, 30.5, 40.0))]


def test_match_boxes_by_path_or_stem():
    exact, stem, twice = (
        QueryBox("sub/a.jpg", (0, 0, 1, 1)),
        QueryBox("b", (0, 0, 2, 2)),
        QueryBox("b", (0, 0, 3, 3)),
    )
    absent = QueryBox("z", (0, 0, 4, 4))
    names = ["other/b.png", "a.jpg", "sub/a.jpg", "sub/c.jpg"]
    matched = match_boxes([stem, exact, absent, twice], names)
    # "a.jpg" is not "sub/a.jpg": a name with an extension is a whole relative path.
    assert matched == [[stem, twice], [], [exact], []]


def test_match_boxes_refuses_two_images_for_one_box():
    with pytest.raises(
        UsageError, match=r"two images match the box of 'b' \(found 'x/b.jpg', 'y/b"
    ):
        match_boxes([QueryBox("b", (0, 0, 1, 1))], ["x/b.jpg", "y/b.jpg"])


@needs_shared_data
def test_load_boxes_real_benchmarks():
    revisited = load_boxes(str(ROOT / "gnd" / "gnd_roxford5k.pkl"))
    original = load_boxes(str(ROOT / "gnd" / "oxford5k_gt_files"))
    assert (len(revisited), len(original)) == (70, 55)
    first = QueryBox("all_souls_000013", (136.5, 34.1, 648.5, 955.7))
    assert revisited[0] == original[0] == first
    # The revisited benchmark kept the 55 queries and their boxes, and added 15.
    assert {box.name for box in original} <= {box.name for box in revisited}
