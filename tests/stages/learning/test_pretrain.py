"""The command al-pretrain: what it writes, kills, unreadable photos, wrong usage."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import AlPretraining
from rrtool.datasets import load_dataset
from rrtool.progress import Silent
from rrtool.stages.learning import pretrain as stage
from rrtool.stages.learning.options import AlPretrainOptions
from rrtool.training.pretraining import pretrain
from tests.datasets.made_files import images_and_labels, write_mnist
from tests.tiny import (
    assert_done,
    assert_fails,
    digest_of,
    leftovers,
    make_pictures,
    rrtool,
    skipped_rows,
)
from tests.training.tiny_images import Killed, assert_same_parameters

TINY = ("--width", "0.05", "--epochs", "3", "--batch-size", "8", "--device", "cpu")


def _options(images, output):
    return AlPretrainOptions(
        images=images, output=output, epochs=3, clusters_per_class=1, batch_size=8, width=0.05,
        device="cpu", checkpoint_seconds=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mnist") / "m"
    write_mnist(folder, "train", *images_and_labels(20, (28, 28, 1)))
    return f"mnist:{folder}"


def _run(images, output, progress=None):
    return stage.run(_options(images, output), progress or Silent())


def test_al_pretrain_writes_parameters_assignments_and_log(mnist, tmp_path):
    path = tmp_path / "pre.h5"
    assert_done(rrtool("al-pretrain", mnist, "-o", path, *TINY, "--clusters-per-class", "1"))
    dataset = load_dataset(mnist)
    expected = pretrain(dataset, 10, _options(mnist, path), 0)
    with open_artifact(path, AlPretraining) as artifact:
        assert_same_parameters(artifact.parameters, expected.parameters)
        np.testing.assert_array_equal(artifact.assignments, expected.assignments)
        assert artifact.names == dataset.names
        assert not artifact.status.any()
        assert artifact.options["classes"] == 10
        assert artifact.options["image_size"] == [28, 28, 1]
        assert [entry["epoch"] for entry in artifact.extra["log"]] == [0, 1, 2]
        assert artifact.extra["log"][2]["nmi"] <= 1
        reseeded = sum(entry["n_reseeded"] for entry in artifact.extra["log"])
        assert artifact.extra["n_reseeded"] == reseeded
    assert [name for name in leftovers(tmp_path) if "parts" in name] == []


class _Stopping(Silent):
    """Progress that notes the steps, and ends the run in the midst of the report of one."""

    def __init__(self, n_epochs=None):
        self.steps = []
        self._n_epochs = n_epochs

    @contextmanager
    def task(self, description, total, unit):
        yield self._advance

    def _advance(self, n):
        if len(self.steps) == self._n_epochs:
            raise Killed
        self.steps.append(n)


@pytest.mark.parametrize(("n_epochs", "steps"), [(0, [1, 1, 1]), (1, [2, 1]), (2, [3])])
def test_al_pretrain_killed_and_continued_equals_uninterrupted(mnist, tmp_path, n_epochs, steps):
    whole, part = _run(mnist, tmp_path / "whole.h5"), tmp_path / "part.h5"
    with pytest.raises(Killed):
        _run(mnist, part, progress=_Stopping(n_epochs))
    assert not part.exists()
    rest = _Stopping()
    _run(mnist, part, progress=rest)
    assert rest.steps == steps  # the first step makes up for the epochs before the kill
    assert digest_of(part) == digest_of(whole)
    with open_artifact(part) as artifact:
        assert [entry["epoch"] for entry in artifact.extra["log"]] == [0, 1, 2]


def test_al_pretrain_of_the_same_is_left_alone_and_of_another_refused(mnist, tmp_path):
    path = tmp_path / "pre.h5"
    command = ("al-pretrain", mnist, "-o", path, *TINY, "--clusters-per-class", "1")
    assert_done(rrtool(*command))
    before = path.read_bytes()
    assert_done(rrtool(*command))
    assert path.read_bytes() == before
    assert_fails(rrtool(*command, "--seed", "1"), 4, "--seed", "expected 1, found 0")
    assert_done(rrtool(*command, "--seed", "1", "--overwrite"))
    assert path.read_bytes() != before


def test_al_pretrain_of_photos_skips_the_unreadable(tmp_path):
    folder = make_pictures(tmp_path / "photos", 6)
    (folder / "002.png").write_bytes(b"no picture")
    path = tmp_path / "pre.h5"
    result = rrtool(
        "al-pretrain", folder, "-o", path, *TINY, "--classes", "2", "--clusters-per-class", "2",
        "--image-size", "16",
    )  # fmt: skip
    assert_done(result, 3)
    assert list(skipped_rows(path)) == ["002.png"]
    with open_artifact(path, AlPretraining) as artifact:
        assert artifact.status.tolist() == [0, 0, 1, 0, 0, 0]
        assert artifact.assignments[2] == -1
        assert artifact.extra["n_failed_rows"] == 1


def test_al_pretrain_of_unreadable_photos_alone_fails(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"no picture")
    command = ("al-pretrain", tmp_path / "photos", "-o", tmp_path / "pre.h5", "--classes", "1")
    assert_fails(rrtool(*command, *TINY), 1, "not one of 1 images")
    assert list(skipped_rows(tmp_path / "pre.h5")) == ["a.png"]


@pytest.mark.parametrize(
    ("options", "fragment"),
    [
        ((), "with --classes"),
        (("--classes", "0"), "bad --classes"),
        (("--classes", "9"), "not so many clusters"),
        (("--classes", "1", "--epochs", "-1"), "bad --epochs"),
        (("--classes", "1", "--width", "0"), "bad --width"),
        (("--classes", "1", "--image-size", "8"), "bad --image-size"),
        (("--classes", "1", "--limit", "0"), "bad --limit"),
        (("--classes", "1", "--seed", "-1"), "bad --seed"),
        (("--classes", "1", "--momentum", "1"), "bad --momentum"),
        (("--classes", "1", "--device", "tpu"), "unknown --device"),
    ],
)
def test_al_pretrain_wrong_usage_is_one_line(tmp_path, options, fragment):
    folder = make_pictures(tmp_path / "photos", 2)
    command = ("al-pretrain", folder, "-o", tmp_path / "pre.h5")
    assert_fails(rrtool(*command, *options), 2, fragment)
    assert not (tmp_path / "pre.h5").exists()
