"""Labels that come in: hand-written files with every mistake people make."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rrtool.errors import UsageError
from rrtool.stages.learning.labels import read_truth, take_labels
from tests.training.tiny_images import as_dataset

NAMES = ["a.png", "b.png", "c/d.png", "e,f.png", "g.png"]


def take(path, classes=(), before=None, failures=None):
    failures = failures or {}
    status = np.array([row in failures for row in range(5)], np.uint8)
    images = as_dataset(np.zeros((5, 1, 1, 1), np.uint8), np.full(5, -1, np.int32), status)
    reasons = [failures.get(row, "") for row in range(5)]
    return take_labels(path, replace(images, names=NAMES, reasons=reasons), classes, before)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def taken_as_dict(taken):
    labels = [taken.class_names[label] for label in taken.labels]
    return dict(zip(taken.rows.tolist(), labels, strict=True))


@pytest.mark.parametrize(
    "text",
    [
        "name,label\na.png,cat\ng.png,dog\n",
        "a.png,cat\ng.png,dog\n",
        "label,name\ncat,a.png\ndog,g.png\n",
        "id,label\n4,dog\n0,cat\n",
        "Label,Confidence,ID\ndog,.5,4\ncat,.7,0\n",
        "id,name,label,score\n0,a.png,cat,1\n4,g.png,dog,1\n",
        "id,name,label\n0,,cat\n,g.png,dog\n",
        "\ufeffName;Class\r./a.png;cat\rg;dog\r",
        "/photos/g.png\tdog\n.\\a.png\tcat\n",
        "\n name,label\r\na.png, cat \r\ng.png,dog\r\na.png,cat\r\n".replace(" name", "name"),
    ],
)
def test_take_labels_reads_names_or_ids_in_any_order(tmp_path, text):
    taken = take(write(tmp_path / "l.csv", text))
    assert taken_as_dict(taken) == {0: "cat", 4: "dog"}
    assert taken.class_names == ["cat", "dog"]
    assert taken.rows.dtype == np.int64
    assert taken.labels.dtype == np.int32
    assert taken.mistakes == []


def test_take_labels_keeps_quoted_names_and_known_classes_in_their_order(tmp_path):
    path = write(tmp_path / "l.csv", 'name,label\n"e,f.png",cat\nc/d.png,owl\n')
    taken = take(path, ("owl", "dog", "cat"))
    assert taken.class_names == ["owl", "dog", "cat"]
    assert (taken.rows.tolist(), taken.labels.tolist()) == ([2, 3], [0, 2])


def test_take_labels_knows_a_class_in_both_unicode_forms(tmp_path):
    path = write(tmp_path / "l.csv", "name;label\na.png;cafe\u0301\nb.png;caf\u00e9\n")
    assert taken_as_dict(take(path)) == {0: "caf\u00e9", 1: "caf\u00e9"}
    for known in ("cafe\u0301", "caf\u00e9"):
        taken = take(path, (known,), {0: known})
        assert taken_as_dict(taken) == {0: known, 1: known}
        assert taken.mistakes == []


def test_read_truth_matches_as_every_table(tmp_path):
    path = write(tmp_path / "l.csv", "\ufeffFilename;Class\r./a;cafe\u0301\r/x/b.png;dog\r")
    labels = read_truth(str(path), ["a.png", "b.png", "c.png"], ["dog", "caf\u00e9"])
    assert labels.tolist() == [1, 0, -1]


@pytest.mark.parametrize(
    ("row", "image", "fragments"),
    [
        ("99,,cat", "id 99", ("no image of this id", "expected 0 to 4", "found 99")),
        ("x,,cat", "id x", ("no image of this id", "found x")),
        ("²,,cat", "id ²", ("no image of this id",)),
        (",h.png,cat", "h.png", ("no image of this name", "a.png", "found h.png")),
        (",,cat", "id ", ("no image of this name", "found none")),
        ("0,b.png,cat", "b.png", ("id 0 is another image", "expected a.png", "found b.png")),
        (",a.png,doog", "a.png", ("unknown class", "perhaps dog", "found doog", "--classes")),
        (",a.png,xyz", "a.png", ("unknown class", "expected cat, dog", "found xyz")),
        (",a.png,", "a.png", ("no label for a.png", "an empty label")),
        ("1,,  ", "id 1", ("no label for id 1",)),
        (",g.png,cat", "g.png", ("cannot be used", "cut short")),
        (",c/d.png,dog", "c/d.png", ("earlier cycle", "expected cat", "found dog", "--relabel")),
    ],
)
def test_take_labels_tells_each_mistake_in_one_line_and_uses_the_rest(
    tmp_path, row, image, fragments
):
    path = write(tmp_path / "l.csv", f"id,name,label\n1,b.png,dog\n{row}\n")
    taken = take(path, ("cat", "dog"), {2: "cat"}, {4: "cut short"})
    assert taken_as_dict(taken) == {1: "dog"}
    (mistake,) = taken.mistakes
    assert mistake.name == image
    assert mistake.reason.startswith(f"{path}, line 3: ")
    assert "\n" not in mistake.reason
    for fragment in fragments:
        assert fragment in mistake.reason


def test_take_labels_leaves_out_both_of_two_rows_that_disagree(tmp_path):
    path = write(tmp_path / "l.csv", "name,label\na.png,cat\nb.png,dog\na.png,dog\n")
    taken = take(path)
    assert taken_as_dict(taken) == {1: "dog"}
    (mistake,) = taken.mistakes
    assert "two labels for a.png" in mistake.reason
    assert "line 2" in mistake.reason
    assert "line 4" in mistake.reason


def test_take_labels_accepts_a_cumulative_file_and_relabels_on_request(tmp_path):
    path = write(tmp_path / "l.csv", "name,label\na.png,cat\nb.png,dog\n")
    before = {0: "cat", 1: "cat"}
    assert taken_as_dict(take(path, ("cat", "dog"), before)) == {0: "cat"}
    changed = take(path, ("cat", "dog"))  # as --relabel does
    assert taken_as_dict(changed) == {0: "cat", 1: "dog"}
    assert changed.mistakes == []


@pytest.mark.parametrize("text", ["", "name,label\n", "\n\n"])
def test_take_labels_of_no_rows_is_empty(tmp_path, text):
    taken = take(write(tmp_path / "l.csv", text), ("cat",))
    assert taken.rows.shape == taken.labels.shape == (0,)
    assert taken.mistakes == []
    assert taken.class_names == ["cat"]


def test_take_labels_names_the_line_of_a_malformed_row(tmp_path):
    path = write(tmp_path / "l.csv", "name,label\na.png,cat\nb.png\n")
    with pytest.raises(UsageError, match=r"line 3.*number of fields"):
        take(path)
    with pytest.raises(UsageError, match="cannot read"):
        take(tmp_path / "none.csv")
