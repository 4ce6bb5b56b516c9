"""predict: the table, what is unlike anything labelled, and folders for classes."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from rrtool.artifacts import AlState, Features, open_artifact
from rrtool.errors import ArtifactError, UsageError
from rrtool.stages.driver import perform
from rrtool.stages.learning.frozen.model import Teller
from rrtool.stages.learning.frozen.sorting import UNLIKE, folder_names, sort_into
from rrtool.stages.learning.options import PredictOptions
from tests.stages.damaging import damaged
from tests.stages.learning.test_frozen import (
    CLASSES,
    NAMES,
    Messages,
    class_of,
    cycle,
    made,
    write_labels,
)
from tests.stages.made_features import NETWORK, write_features
from tests.tiny import make_pictures, skipped_rows

NEW = [f"photo {i:02d}.jpg" for i in range(60, 80)]


@pytest.fixture
def state(tmp_path):
    features = write_features(tmp_path / "f.h5", NAMES, made())
    labels = write_labels(tmp_path / "l.csv", NAMES[:24])
    return str(cycle(tmp_path / "s.h5", str(features), labels=labels))


def predict(tmp_path, state, features, progress=None, **more):
    opts = PredictOptions(state=state, images=str(features), output=str(tmp_path / "p.csv"),
                          device="cpu", **more)  # fmt: skip
    return perform(opts, progress or Messages())


def rows(tmp_path):
    with (tmp_path / "p.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_predict_tells_class_probability_and_the_two_next(tmp_path, state):
    features = write_features(tmp_path / "g.h5", NEW, made(NEW))
    progress = Messages()
    made_table = predict(tmp_path, state, features, progress)
    assert made_table.n_skipped == 0
    found = rows(tmp_path)
    assert [row["name"] for row in found] == NEW
    assert np.mean([row["class"] == class_of(row["name"]) for row in found]) > 0.9
    for row in found:
        told = [float(row[key]) for key in ("probability", "second probability",
                                            "third probability")]  # fmt: skip
        assert told == sorted(told, reverse=True)
        assert sum(told) == pytest.approx(1, abs=1e-3)  # of three classes
        assert {row["class"], row["second"], row["third"]} == set(CLASSES)
    assert any("expected calibration error" in line for line in progress.lines)


def test_predict_of_the_state_s_own_photos_is_what_the_state_says(tmp_path, state):
    predict(tmp_path, state, tmp_path / "f.h5")
    assert all(row["class"] == class_of(row["name"]) for row in rows(tmp_path)[:24])


def test_predict_tells_what_is_unlike_anything_labelled(tmp_path, state):
    vectors = made(NEW)
    vectors[3] = [0, 0, 0, 0, 0, -1]
    features = write_features(tmp_path / "g.h5", NEW, vectors)
    predict(tmp_path, state, features)
    like = [row["like anything labelled"] for row in rows(tmp_path)]
    assert like[3] == "no"
    assert like.count("yes") >= 15


def test_predict_weighs_neighbours_as_the_graph_of_the_state_does(tmp_path):
    features = str(write_features(tmp_path / "f.h5", NAMES, made()))
    labels = write_labels(tmp_path / "l.csv", NAMES[:24])
    state = str(cycle(tmp_path / "s.h5", features, labels=labels, gamma=20.0))
    between = made(NEW) + 0.9 * np.roll(made(NEW), 1, axis=0)  # two classes
    asked = write_features(tmp_path / "g.h5", NEW, between)
    predict(tmp_path, state, asked)
    with open_artifact(state, AlState) as of, open_artifact(asked, Features) as new:
        told = [
            Teller(of.features, of.parameters, int(of.parameters["k"][0]), gamma)
            .probabilities(new.descriptors).max(axis=1)
            for gamma in (20.0, 3.0)
        ]  # fmt: skip
    found = [float(row["probability"]) for row in rows(tmp_path)]
    np.testing.assert_allclose(found, told[0], atol=1e-4)
    assert np.abs(told[0] - told[1]).max() > 1e-3


def test_predict_skips_what_has_no_descriptor(tmp_path, state):
    vectors = made(NEW)
    vectors[4] = np.inf
    features = write_features(tmp_path / "g.h5", NEW, vectors, failed=[2])
    assert predict(tmp_path, state, features).n_skipped == 2
    assert len(rows(tmp_path)) == 18
    assert set(skipped_rows(tmp_path / "p.csv")) == {NEW[2], NEW[4]}


def test_predict_replaces_its_own_table_and_no_other_file(tmp_path, state):
    features = write_features(tmp_path / "g.h5", NEW, made(NEW))
    (tmp_path / "p.csv").write_text("mine\n")
    with pytest.raises(UsageError, match="no table of predictions"):
        predict(tmp_path, state, features)
    assert (tmp_path / "p.csv").read_text() == "mine\n"
    predict(tmp_path, state, features, overwrite=True)
    predict(tmp_path, state, features)


def test_predict_refuses_a_state_without_labels_and_another_network(tmp_path, state):
    cold = cycle(tmp_path / "cold.h5", str(tmp_path / "f.h5"))
    features = write_features(tmp_path / "g.h5", NEW, made(NEW))
    with pytest.raises(UsageError, match="cannot tell the classes"):
        predict(tmp_path, str(cold), features)
    other = write_features(tmp_path / "h.h5", NEW, made(NEW), network={**NETWORK, "name": "vgg"})
    with pytest.raises(ArtifactError, match="network"):
        predict(tmp_path, state, other)


def test_predict_tells_a_state_whose_features_are_gone(tmp_path, state):
    features = write_features(tmp_path / "g.h5", NEW, made(NEW))
    without = damaged(Path(state), tmp_path / "without.h5", {"features": None})
    with pytest.raises(ArtifactError, match="parameters without features"):
        predict(tmp_path, str(without), features)


@pytest.mark.parametrize("link", [False, True])
def test_predict_sorts_photos_into_folders(tmp_path, state, link):
    features = write_features(tmp_path / "g.h5", NEW, made(NEW))
    photos, folder = tmp_path / "photos", tmp_path / "sorted"
    photos.mkdir()
    for name in NEW[1:]:
        (photos / name).write_bytes(name.encode())
    done = predict(tmp_path, state, features, sort_into=str(folder), photos=str(photos), link=link)
    assert done.n_skipped == 1  # the one that is not there
    for row in rows(tmp_path)[1:]:
        like = row["like anything labelled"] == "yes"
        placed = folder / (row["class"] if like else UNLIKE) / row["name"]
        assert placed.read_bytes() == row["name"].encode()
        assert placed.is_symlink() == link
    assert sorted(os.listdir(photos)) == NEW[1:]
    before = sorted(str(path) for path in folder.rglob("*"))
    predict(tmp_path, state, features, sort_into=str(folder), photos=str(photos), link=link)
    assert sorted(str(path) for path in folder.rglob("*")) == before


@pytest.mark.parametrize("name", ["p.csv", "f.h5", "l.csv"])
def test_predict_refuses_to_sort_into_a_file(tmp_path, state, name):
    with pytest.raises(UsageError, match=r"into a folder.*found a file|one of the inputs"):
        predict(tmp_path, state, tmp_path / "f.h5", sort_into=str(tmp_path / name),
                photos=str(tmp_path))  # fmt: skip
    assert not (tmp_path / "p.csv").exists()


def test_dry_run_of_predict_says_what_the_run_would_do(tmp_path, state):
    photos, progress = make_pictures(tmp_path / "photos", 3), Messages()
    before = sorted(tmp_path.rglob("*"))
    predict(tmp_path, state, tmp_path / "f.h5", progress, sort_into=str(tmp_path / "sorted"),
            photos=str(photos), dry_run=True)  # fmt: skip
    assert progress.lines == [
        f"predict would read STATE {state}, IMAGES {tmp_path}/f.h5, --photos {photos}",
        f"{tmp_path}/p.csv would be written",
        f"3 photos would be copied into folders in {tmp_path}/sorted",
        "60 images are to be worked on",
    ]
    progress.lines.clear()
    predict(tmp_path, state, photos, progress, dry_run=True)
    assert f"{tmp_path}/p.features.h5 (features) would be made" in progress.lines
    assert "3 images are to be worked on" in progress.lines
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(UsageError, match="cannot read the images"):
        predict(tmp_path, state, tmp_path / "f.h5", sort_into=str(tmp_path / "sorted"),
                photos=str(tmp_path / "none"), dry_run=True)  # fmt: skip


def test_predict_tells_that_features_were_whitened_about_another_mean(tmp_path):
    features = write_features(tmp_path / "f.h5", NAMES, made(), facts={"centred_on": "aa"})
    labels = write_labels(tmp_path / "l.csv", NAMES[:24])
    state = str(cycle(tmp_path / "s.h5", str(features), labels=labels))
    progress = Messages()
    predict(tmp_path, state, features, progress)
    assert not any("another mean" in line for line in progress.lines)
    other = write_features(tmp_path / "g.h5", NEW, made(NEW), facts={"centred_on": "bb"})
    predict(tmp_path, state, other, progress)
    (line,) = [line for line in progress.lines if "another mean" in line]
    assert f"extract --center {features} takes theirs" in line


def test_sort_into_keeps_a_file_that_has_the_name(tmp_path):
    photo, folder = tmp_path / "a.jpg", tmp_path / "s"
    photo.write_bytes(b"new")
    (folder / "cup").mkdir(parents=True)
    (folder / "cup" / "a.jpg").write_bytes(b"old")
    assert sort_into(folder, [("a.jpg", str(photo), "cup")], ["cup"], link=False) == []
    assert (folder / "cup" / "a.jpg").read_bytes() == b"old"
    assert (folder / "cup" / "a-2.jpg").read_bytes() == b"new"


def test_sort_into_keeps_a_class_apart_from_what_is_unlike_anything(tmp_path):
    wanted = []
    for name, label in (("a.jpg", UNLIKE), ("b.jpg", None)):
        (tmp_path / name).write_bytes(name.encode())
        wanted.append((name, str(tmp_path / name), label))
    assert sort_into(tmp_path / "s", wanted, [UNLIKE, "cup"], link=False) == []
    assert [p.name for p in (tmp_path / "s" / UNLIKE).iterdir()] == ["a.jpg"]
    assert [p.name for p in (tmp_path / "s" / f"{UNLIKE}-2").iterdir()] == ["b.jpg"]


def test_sort_into_passes_over_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    skipped = sort_into(
        tmp_path / "s", [("a.jpg", str(tmp_path / "a.jpg"), "cup")], ["cup"], link=False
    )
    assert [name for name, _ in skipped] == ["a.jpg"]


def test_folder_names_are_safe_and_different():
    poison = [
        "cup", "..", "../cup", "/etc/passwd", "a\\b", "CON", "nul.txt", "Cup", "cup ", ".hidden",
        "", "x" * 300, "ü" * 90, "a\nb", 'q"uo|te', "名前", UNLIKE, "a\udcff",
    ]  # fmt: skip
    found = folder_names(poison)
    assert list(found) == poison
    assert len({name.casefold() for name in found.values()}) == len(poison)
    for name in found.values():
        assert name not in ("", ".", "..")
        assert not set(name) & set('/\\<>:"|?*\0\n')
        assert len(name.encode()) <= 110
        assert name == name.strip(". ")
        assert name.split(".")[0].casefold() not in ("con", "nul")
    assert found["cup"] == "cup"
    assert found["名前"] == "名前"
