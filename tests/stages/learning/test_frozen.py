"""al-cycle on frozen features: cold start, schedules, photos that join and go, review, tests."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from rrtool.artifacts import AlState, open_artifact
from rrtool.core.learning.few_labels import directions
from rrtool.core.learning.label_propagation import feature_graph
from rrtool.core.learning.typical import acquire_typical
from rrtool.errors import ArtifactError, OptionError, UsageError
from rrtool.progress import Silent
from rrtool.stages.driver import perform
from rrtool.stages.learning import model
from rrtool.stages.learning.acquisition_options import Step, steps_in
from rrtool.stages.learning.frozen.outlook import outlook
from rrtool.stages.learning.options import AlCycleOptions
from tests.stages.made_features import NETWORK, write_features
from tests.tiny import make_pictures, skipped_rows

CLASSES = ("cup", "jug, large", "Schüssel")
N = 60
NAMES = [f"photo {i:02d}.jpg" for i in range(N)]


def class_of(name: str) -> str:
    return CLASSES[int(name[6:8]) % 3]


def made(names=NAMES, noise=0.35):
    """Descriptors that depend on the name alone."""
    rows = []
    for name in names:
        number = int(name[6:8])
        draw = np.random.default_rng(number).normal(size=6)
        rows.append(2 * np.eye(3, 6)[number % 3] + 1 + noise * draw)
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Messages(Silent):
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


@pytest.fixture
def features(tmp_path):
    return str(write_features(tmp_path / "f.h5", NAMES, made()))


def cycle(output, features, progress=None, **more):
    opts = {"budget": 6, "device": "cpu", **more}
    return perform(AlCycleOptions(features=features, output=str(output), **opts),
                   progress or Messages())  # fmt: skip


def test_a_cycle_builds_its_graph_once(tmp_path, features, monkeypatch):
    built = []

    def counted(*given, **options):
        built.append(options["k"])
        return feature_graph(*given, **options)

    monkeypatch.setattr(model, "feature_graph", counted)
    labels = write_labels(tmp_path / "labels.csv", NAMES[:12])
    assert cycle(tmp_path / "0.h5", features, labels=labels)
    assert len(built) == 1


def write_labels(path, names, wrong=(), label=class_of):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("name", "label"), *((n, label(n)) for n in names), *wrong])
    return str(path)


def read(path, *names):
    with open_artifact(path, AlState) as state:
        return [getattr(state, name) for name in names], state.extra


def test_run_without_labels_asks_for_typical_images(tmp_path, features):
    path = cycle(tmp_path / "s.h5", features)
    (asked,), extra = read(path, "acquired_ids")
    vectors = directions(made(), made().mean(axis=0))
    draw = np.random.default_rng([0, 3, 0])  # the stream of acquisition, cycle −1
    expected = acquire_typical(vectors, np.zeros(0, int), np.arange(N), 6, draw).ids
    np.testing.assert_array_equal(asked, expected)
    assert extra["cycle"] == -1
    assert {class_of(NAMES[row]) for row in asked} == set(CLASSES)
    other = cycle(tmp_path / "r.h5", features, first="random")
    assert read(other, "acquired_ids")[0][0].tolist() != asked.tolist()


def test_run_learns_in_a_cycle_what_is_true_and_says_what_is_next(tmp_path, features):
    first = cycle(tmp_path / "s.h5", features)
    (asked,), _ = read(first, "acquired_ids")
    labels = write_labels(tmp_path / "l.csv", [NAMES[row] for row in asked])
    path = cycle(tmp_path / "s0.h5", features, state=str(first), labels=labels, strategy="margin")
    (told, classes), extra = read(path, "probabilities", "class_names")
    assert classes == sorted(CLASSES)
    right = [
        classes[row] == class_of(name) for row, name in zip(told.argmax(1), NAMES, strict=True)
    ]
    assert np.mean(right) > 0.95
    np.testing.assert_allclose(told.sum(axis=1), 1, rtol=1e-5)
    entry = extra["history"][0]
    assert entry["held_out"]["n"] == 6
    rows = list(csv.DictReader((tmp_path / "s0.to_label.csv").open()))
    assert {row["suggested"] for row in rows} <= set(CLASSES)
    assert "data:image" not in (tmp_path / "s0.to_label.html").read_text()  # no photos are known


def test_run_goes_on_where_photos_came_and_went(tmp_path, features):
    labels = write_labels(tmp_path / "l.csv", NAMES[:12])
    first = cycle(tmp_path / "s.h5", features, labels=labels)
    new = [f"photo {i:02d}.jpg" for i in range(60, 70)]
    names = [*new, *NAMES[5:]]  # the first five have gone; another order
    write_features(tmp_path / "g.h5", names, made(names))
    progress = Messages()
    more = write_labels(tmp_path / "m.csv", [new[0], NAMES[30]], [(NAMES[0], "cup")])
    second = cycle(
        tmp_path / "t.h5", str(tmp_path / "g.h5"), progress, state=str(first), labels=more
    )
    assert any("10 images have come and 5 have gone" in line for line in progress.lines)
    (after, status, known, told), extra = read(second, "names", "status", "labels", "probabilities")
    assert after == [*NAMES, *new]  # ids are stable
    assert extra["came"] == new
    assert extra["gone"] == NAMES[:5]
    assert status[:5].all()
    assert not status[5:].any()
    (before,), _ = read(first, "labels")
    np.testing.assert_array_equal(known[:12], before[:12])  # kept for when they are back
    assert extra["history"][-1]["n_labels"] == 7 + 2
    classes = read(second, "class_names")[0][0]
    assert all(classes[told[row].argmax()] == class_of(after[row]) for row in range(60, 70))
    assert not set(read(second, "acquired_ids")[0][0]) & set(range(5))
    assert "no longer among the images" in skipped_rows(second)[NAMES[0]]
    # Back again, with their labels.
    again = write_labels(tmp_path / "a.csv", [NAMES[40]])
    third = cycle(tmp_path / "u.h5", features, state=str(second), labels=again)
    _, extra = read(third)
    assert extra["came"] == NAMES[:5]
    assert extra["gone"] == new
    assert extra["history"][-1]["n_labels"] == 12 + 2


def test_run_takes_classes_that_are_added(tmp_path, features):
    labels = write_labels(tmp_path / "l.csv", NAMES[:12])
    first = cycle(tmp_path / "s.h5", features, labels=labels)
    more = write_labels(tmp_path / "m.csv", [], [(NAMES[20], "plate"), (NAMES[21], "cup")])
    second = cycle(tmp_path / "t.h5", features, state=str(first), labels=more, classes=("plate",))
    (classes, known, told), _ = read(second, "class_names", "labels", "probabilities")
    assert classes == [*sorted(CLASSES), "plate"]
    assert known[20] == 3
    assert told.shape == (N, 4)


def test_run_by_a_schedule(tmp_path, features):
    truth = write_labels(tmp_path / "truth.csv", NAMES)
    path = cycle(
        tmp_path / "s.h5", features, oracle=truth, cycles=3, budget=None,
        schedule="random:7,typiclust:4,jlp:3x2",
    )  # fmt: skip
    numbers = [len(read(tmp_path / f"s-{name}.h5", "acquired_ids")[0][0])
               for name in ("start", "c0", "c1")]  # fmt: skip
    assert numbers == [7, 4, 3]
    (last,), extra = read(path, "acquired_ids")
    assert len(last) == 3
    assert [entry["n_labels"] for entry in extra["history"]] == [7, 11, 14]


@pytest.mark.parametrize("text", ["", "random", "random:0", "best:3", "jlp:2x0", "random:2,,jlp:2"])
def test_steps_in_a_bad_schedule(text):
    with pytest.raises(OptionError, match="--schedule"):
        steps_in(text)


def test_steps_in_counts_repeats():
    steps = steps_in("random:20, typiclust:10,jlp:5x2")
    assert steps == [Step("random", 20), Step("typiclust", 10), *[Step("jlp", 5)] * 2]


@pytest.mark.parametrize("strategy", ["ceal", "probcover", "badge", "dropquery", "entropy"])
def test_run_by_every_other_strategy(tmp_path, features, strategy):
    labels = write_labels(tmp_path / "l.csv", NAMES[:9])
    path = cycle(tmp_path / "s.h5", features, labels=labels, strategy=strategy)
    (asked,), extra = read(path, "acquired_ids")
    assert len(set(asked) - set(range(9))) == 6
    assert extra["semi"] == (strategy != "ceal")


def test_run_lists_flipped_labels_for_review(tmp_path, features):
    flipped = {NAMES[row]: CLASSES[(row + 1) % 3] for row in (4, 11)}
    labels = write_labels(
        tmp_path / "l.csv", NAMES[:40], label=lambda name: flipped.get(name, class_of(name))
    )
    path = cycle(tmp_path / "s.h5", features, labels=labels, review=5)
    rows = list(csv.DictReader((tmp_path / "s.review.csv").open()))
    assert {row["name"]: row["labelled as"] for row in rows} == flipped
    assert all(row["suggested"] == class_of(row["name"]) for row in rows)
    # What people have filled in is never replaced, and comes back by --relabel.
    filled = (tmp_path / "s.review.csv").read_text().replace(",,", ",cup,", 1)
    (tmp_path / "s.review.csv").write_text(filled)
    cycle(tmp_path / "s.h5", features, labels=labels, review=5, overwrite=True, seed=1)
    assert (tmp_path / "s.review.csv").read_text() == filled
    assert (tmp_path / "s-2.review.csv").exists() or (tmp_path / "s.review-2.csv").exists()
    back = write_labels(tmp_path / "b.csv", list(flipped))
    mended = cycle(tmp_path / "t.h5", features, state=str(path), labels=back, relabel=True)
    known, classes = read(mended, "labels", "class_names")[0]
    assert all(classes[known[NAMES.index(name)]] == class_of(name) for name in flipped)


def test_run_tells_the_accuracy_and_that_it_tests_on_what_it_has_learnt_from(tmp_path, features):
    labels = write_labels(tmp_path / "l.csv", NAMES[:12])
    held = [f"photo {i:02d}.jpg" for i in range(70, 90)]
    write_features(tmp_path / "h.h5", [*held, *NAMES[:3]], made([*held, *NAMES[:3]]))
    truth = write_labels(tmp_path / "truth.csv", [*held, *NAMES[:3]])
    progress = Messages()
    path = cycle(
        tmp_path / "s.h5", features, progress, labels=labels, test=str(tmp_path / "h.h5"),
        test_labels=truth,
    )  # fmt: skip
    (line,) = [line for line in progress.lines if line.startswith("accuracy on 23")]
    assert "3 of them are learnt from too" in line
    assert read(path)[1]["history"][0]["accuracy"] > 0.9


def test_run_tells_the_expected_gain_from_the_third_cycle_on(tmp_path, features):
    truth = write_labels(tmp_path / "truth.csv", NAMES)
    progress = Messages()
    path = cycle(
        tmp_path / "s.h5", features, progress, oracle=truth, cycles=3, strategy="typiclust",
        budget=9,
    )  # fmt: skip
    history = read(path)[1]["history"]
    assert "expected_gain" not in history[1]
    assert history[2]["expected_gain"].keys() == {"low", "expected", "high"}
    (line,) = [line for line in progress.lines if line.startswith("9 more labels are expected")]
    assert line.endswith("by the same estimate")


def test_outlook_without_held_out_images_is_an_estimate_and_none_of_too_few_labels():
    def told(accuracy, n, n_classes=4):
        held_out = {"accuracy": accuracy, "n": n}
        entry = {"n_labels": n, "accuracy": None, "held_out": held_out if n else None}
        return list(outlook([entry], (0, 0), 5, n_classes))

    (line,) = told(0.75, 12)
    assert line.startswith("of the 12 labels, held out in turn, about 75 % are told right")
    assert "(95 %: 47 to 91 %)" in line  # Wilson's, worked out by hand
    assert "estimate" in line
    assert "--test" in line
    for few in (told(0.75, 11), told(1.0, 12, 5), told(None, 0)):
        assert few == [
            "how good it is cannot be told by fewer than 3 labels a class: keep some images aside "
            "for --test"
        ]
    trained = {"n_labels": 12, "accuracy": None}
    assert list(outlook([trained], (0, 0), 5, 4)) == []


def test_run_leaves_out_descriptors_that_are_not_finite(tmp_path):
    vectors = made()
    vectors[7] = np.nan
    path = write_features(tmp_path / "f.h5", NAMES, vectors)
    labels = write_labels(tmp_path / "l.csv", NAMES[:12])
    state = cycle(tmp_path / "s.h5", str(path), labels=labels)
    assert "not finite" in skipped_rows(state)[NAMES[7]]
    (told, status), _ = read(state, "probabilities", "status")
    assert np.isfinite(told).all()
    assert np.flatnonzero(status).tolist() == [7]


def test_run_refuses_features_of_another_network(tmp_path, features):
    first = cycle(tmp_path / "s.h5", features)
    other = write_features(tmp_path / "g.h5", NAMES, made(), network={**NETWORK, "name": "alexnet"})
    labels = write_labels(tmp_path / "l.csv", NAMES[:12])
    with pytest.raises(ArtifactError, match="network"):
        cycle(tmp_path / "t.h5", str(other), state=str(first), labels=labels)


def test_run_with_a_class_of_one_photo_and_a_budget_beyond_the_pool(tmp_path, features):
    labels = write_labels(tmp_path / "l.csv", NAMES[:12], [(NAMES[50], "lonely")])
    progress = Messages()
    path = cycle(tmp_path / "s.h5", features, progress, labels=labels, budget=99)
    assert len(read(path, "acquired_ids")[0][0]) == N - 13
    assert "only 47 images are left to acquire" in progress.lines
    labels = write_labels(tmp_path / "all.csv", NAMES)
    cycle(tmp_path / "t.h5", features, progress, labels=labels)
    assert "no images are left to acquire" in progress.lines


def test_run_with_every_label_of_one_class_of_two(tmp_path, features):
    labels = write_labels(tmp_path / "l.csv", NAMES[:9], label=lambda name: "cup")
    with pytest.raises(UsageError, match="one class only"):
        cycle(tmp_path / "s.h5", features, labels=labels)
    progress = Messages()
    path = cycle(tmp_path / "s.h5", features, progress, labels=labels, classes=("cup", "jug"))
    (told,), extra = read(path, "probabilities")
    assert told.argmax(axis=1).tolist() == [0] * N
    assert "no image is labelled jug yet: none can be told to be that" in progress.lines
    assert extra["history"][-1]["held_out"] is None  # all labels are told right, whatever it is
    assert not any("told right" in line for line in progress.lines)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"frozen": True}, "--frozen and --features"),
        ({"budget": None}, "--schedule"),
        ({"features": None}, "no images"),
        ({"features": None, "images": "mnist:x", "frozen": True}, "of photos"),
        ({"features": None, "images": "photos", "review": 3}, "--review"),
        ({"subset": 5}, "--subset"),
        ({"schedule": "all:3"}, "--schedule"),
    ],
)
def test_run_refuses_what_cannot_be(tmp_path, features, more, what):
    with pytest.raises(UsageError, match=what):
        cycle(tmp_path / "s.h5", more.pop("features", features), **more)


def test_dry_run_on_photos_describes_none(tmp_path):
    photos = make_pictures(tmp_path / "photos", 5)
    labels = write_labels(tmp_path / "l.csv", ["000.png", "001.png"], label=lambda name: name[:3])
    before, progress = sorted(tmp_path.rglob("*")), Messages()
    cycle(tmp_path / "s.h5", None, progress, images=str(photos), frozen=True, labels=labels,
          dry_run=True, test=str(photos), test_labels=labels)  # fmt: skip
    assert sorted(tmp_path.rglob("*")) == before
    assert f"{tmp_path}/photos.features.h5 (features) would be made" in progress.lines
    assert f"{tmp_path}/s.h5 (al-state) would be made" in progress.lines
    assert progress.lines.count("5 images are to be worked on") == 2
    with pytest.raises(UsageError, match="no image of this name"):  # as the run would
        cycle(tmp_path / "s.h5", None, images=str(photos), frozen=True, dry_run=True,
              labels=write_labels(tmp_path / "m.csv", NAMES[:2]))  # fmt: skip


def test_defaults_of_the_graph_depend_on_what_is_learnt_on():
    trained = AlCycleOptions(images="photos", output="s.h5", budget=1)
    frozen = AlCycleOptions(images="photos", output="s.h5", budget=1, frozen=True)
    assert (trained.k, trained.alpha, trained.symmetrize) == (50, 0.99, "mutual")
    assert (frozen.k, frozen.alpha, frozen.symmetrize) == (None, 0.9, "sum")
    assert not trained.semi
    assert frozen.semi
