"""al-cycle --fine-tune and predict by such a state, on photos and an untrained network."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrtool.artifacts import AlState, open_artifact
from rrtool.core.learning.label_propagation import certainty
from rrtool.errors import ArtifactError, UsageError, WorkFailed
from rrtool.stages.driver import perform
from rrtool.stages.learning.frozen.fine_tuning import learnt_from, squared
from rrtool.stages.learning.options import AlCycleOptions, PredictOptions
from tests.stages.damaging import damaged
from tests.tiny import Told, assert_done, extract

N = 20
NAMES = [f"{row:02d}.png" for row in range(N)]
TUNING = {"fine_tune": True, "epochs": 3, "image_size": 64, "batch_size": 4, "learning_rate": 0.05}


def class_of(name: str) -> str:
    return ("red", "green")[int(name[:2]) % 2]


def photo(number: int) -> Image.Image:
    """Reddish or greenish noise."""
    pixels = np.random.default_rng(number).integers(0, 90, (60, 80, 3), dtype=np.uint8)
    pixels[..., number % 2] += 120
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """Photos, features of them, and labels of ten."""
    folder = tmp_path_factory.mktemp("fine-tuning")
    (folder / "photos").mkdir()
    for row, name in enumerate(NAMES):
        photo(row).save(folder / "photos" / name)
    assert_done(extract(folder / "photos", folder / "f.h5"))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "label"), *((n, class_of(n)) for n in NAMES[:10])])
    return folder


def cycle(folder: Path, output: str, progress=None, **more) -> Path:
    given = {"features": folder / "f.h5", "images": folder / "photos", **TUNING, **more}
    opts = AlCycleOptions(labels=folder / "labels.csv", output=folder / output, budget=4,
                          device="cpu", **given)  # fmt: skip
    return perform(opts, progress or Told())


@pytest.fixture(scope="module")
def tuned(here) -> Path:
    return cycle(here, "tuned.h5")


def predict(folder: Path, state: Path, images: Path, progress=None) -> list[dict[str, str]]:
    opts = PredictOptions(state=state, images=images, output=folder / "p.csv", device="cpu",
                          overwrite=True)  # fmt: skip
    perform(opts, progress or Told())
    with (folder / "p.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_cycle_keeps_the_last_stage_and_what_it_says(here, tuned):
    with open_artifact(tuned, AlState) as state:
        losses = [entry["loss"] for entry in state.extra["log"]]
        entry = state.extra["history"][-1]
        names = state.parameters.keys()
        told, classes = state.probabilities, state.class_names
    assert [each for each in losses if each < losses[0]] == losses[1:]
    assert entry["n_fine_tuned_on"] >= 10
    assert entry["frozen_accuracy"] is None
    assert {"tuned.classifier.weight", "tuned.center", "exponents"} <= names
    # The last stage of SqueezeNet 1.1 alone: its fire modules 9 to 12, four of thirteen.
    assert {name.split(".")[2] for name in names if name.startswith("tuned.body")} == set("0123")
    np.testing.assert_allclose(told.sum(axis=1), 1, rtol=1e-5)
    right = [classes[best] == class_of(name)
             for best, name in zip(told.argmax(axis=1), NAMES, strict=True)]  # fmt: skip
    assert np.mean(right) > 0.9


def test_cycle_repeats_by_its_seed(here, tuned):
    with open_artifact(tuned, AlState) as first:
        again, other = cycle(here, "again.h5"), cycle(here, "other.h5", seed=1)
        with open_artifact(again, AlState) as second, open_artifact(other, AlState) as third:
            assert first.digest == second.digest
            name = "tuned.body.0.squeeze.weight"
            assert not np.array_equal(first.parameters[name], third.parameters[name])


def test_predict_looks_at_the_photos_as_the_cycle_did(here, tuned):
    progress = Told()
    rows = predict(here, tuned, here / "photos", progress)
    with open_artifact(tuned, AlState) as state:
        for row, told in zip(rows, state.probabilities, strict=True):
            assert row["class"] == state.class_names[told.argmax()]
            assert float(row["probability"]) == pytest.approx(told.max(), abs=2e-4)
    assert any("not calibrated" in line for line in progress.lines)


def test_predict_refuses_features_where_the_network_was_fine_tuned(here, tuned):
    with pytest.raises(UsageError, match=r"looks at the photos.*found features.*--fine-tune"):
        predict(here, tuned, here / "f.h5")


@pytest.mark.parametrize(
    ("datasets", "attributes", "what"),
    [
        ({"parameters/tuned.classifier.weight": np.zeros((3, 3))}, {}, "of another network"),
        ({"parameters/tuned.body.0.squeeze.bias": None}, {}, "of another network"),
        ({}, {"options": {"image_size": None}}, "image_size"),
    ],
)
def test_predict_tells_a_state_that_is_damaged(here, tuned, datasets, attributes, what):
    state = damaged(tuned, here / "damaged.h5", datasets, **attributes)
    with pytest.raises(ArtifactError, match=what):
        predict(here, state, here / "photos")


def test_cycle_tells_the_accuracy_with_and_without(here):
    held = here / "held"
    held.mkdir()
    for number in range(30, 36):
        photo(number).save(held / f"{number}.png")
    rows = [("name", "label"), *((path.name, class_of(path.name)) for path in held.iterdir())]
    with (here / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    progress = Told()
    path = cycle(here, "test.h5", progress, test=held, test_labels=here / "truth.csv")
    with open_artifact(path, AlState) as state:
        entry = state.extra["history"][-1]
    assert entry["accuracy"] >= 5 / 6
    assert 0 <= entry["frozen_accuracy"] <= 1
    (line,) = [line for line in progress.lines if line.startswith("accuracy on 6")]
    assert f"{100 * entry['frozen_accuracy']:.1f} % before fine-tuning" in line


def test_cycle_leaves_photos_that_are_gone_to_the_frozen_classifier(here, tmp_path):
    fewer = tmp_path / "photos"
    shutil.copytree(here / "photos", fewer)
    (fewer / NAMES[3]).unlink()
    (fewer / NAMES[15]).write_bytes(b"no photo")
    frozen = cycle(here, "frozen.h5", **{**dict.fromkeys(TUNING), "fine_tune": False})
    path = cycle(here, "fewer.h5", images=fewer)
    with open_artifact(path, AlState) as state, open_artifact(frozen, AlState) as plain:
        same = (state.probabilities == plain.probabilities).all(axis=1)
    assert np.flatnonzero(same).tolist() == [3, 15]
    for path in fewer.iterdir():
        path.write_bytes(b"no photo")
    with pytest.raises(WorkFailed, match="no labelled image has a photo"):
        cycle(here, "none.h5", images=fewer)


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"images": None}, "learns from photos"),
        ({"features": None}, "--fine-tune is for frozen features"),
        ({"test": "x.h5", "test_labels": "y.csv"}, "tested on photos"),
        ({"width": 0.5}, "--width has no effect"),
        ({"semi_epochs": 3}, "--semi-epochs has no effect"),
    ],
)
def test_cycle_refuses_what_cannot_be_fine_tuned(here, more, what):
    with pytest.raises(UsageError, match=what):
        cycle(here, "x.h5", **more)


@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate", "image_size"])
def test_options_of_training_are_refused_on_frozen_features_alone(here, name):
    alone = {key: None for key in TUNING if key not in ("fine_tune", name)}
    typed = name.replace("_", "-")
    with pytest.raises(UsageError, match=rf"--{typed} has no effect.*or give --fine-tune"):
        cycle(here, "x.h5", **alone, fine_tune=False)


def test_learnt_from_takes_labels_and_what_is_sure_where_there_is_a_photo():
    told = np.array([[1, 0], [0.9, 0.1], [0.1, 0.9], [0.6, 0.4], [0.05, 0.95], [0.5, 0.5]])
    known = np.array([0, 5, 3]), np.array([1, 1, 0])
    ids, labels, weights = learnt_from(told, *known, np.array([0, 1, 2, 3, 5]))
    assert ids.tolist() == [0, 5, 3, 1, 2]
    assert labels.tolist() == [1, 1, 0, 0, 1]  # what people say counts, not what is told
    np.testing.assert_allclose(weights, [1, 1, 1, *certainty(told[1:3])], rtol=1e-6)


def test_squared_holds_all_of_a_photo(tmp_path):
    Image.fromarray(np.repeat(np.array([[[255, 0, 0]], [[0, 0, 255]]], np.uint8), 40, 1)).resize(
        (80, 20), Image.Resampling.NEAREST
    ).save(tmp_path / "a.png")
    found = squared(str(tmp_path / "a.png"), 32)
    assert found.shape == (32, 32, 3)
    assert found[2, 2].tolist() == [255, 0, 0]
    assert found[29, 29].tolist() == [0, 0, 255]
    assert squared(str(tmp_path / "none.png"), 32) is None
