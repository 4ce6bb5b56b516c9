"""DeepCluster: learns, can be killed, never looks at a label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rrtool.core.learning.kmeans import normalized_mutual_information
from rrtool.errors import UsageError
from rrtool.training.learner import Learner
from rrtool.training.options import PretrainingOptions, TrainingOptions
from rrtool.training.pretraining import pretrain
from tests.training.tiny_images import (
    InMemory,
    KillAt,
    Killed,
    as_dataset,
    assert_same_parameters,
    striped,
)

OPTIONS = PretrainingOptions(
    epochs=4,
    clusters_per_class=3,
    batch_size=8,
    translate=1,
    width=0.05,
    device="cpu",
    checkpoint_seconds=0.0,
)
DATASET = striped(30)


@pytest.fixture(scope="module")
def uninterrupted():
    return pretrain(DATASET, 2, OPTIONS, 0)


def test_pretrain_gives_all_parameters_but_the_classifier(uninterrupted):
    training = TrainingOptions(width=0.05, device="cpu")
    fresh = Learner(DATASET, 2, training, 0).parameters()
    assert {*fresh} - {*uninterrupted.parameters} == {"classifier.weight", "classifier.bias"}
    again = Learner(DATASET, 2, training, 0, initial=uninterrupted.parameters).parameters()
    for name, values in uninterrupted.parameters.items():
        np.testing.assert_array_equal(again[name], values)


def test_pretrain_tells_of_every_epoch():
    log = KillAt("never", 0)
    found = pretrain(DATASET, 2, OPTIONS, 0, on_epoch=log)
    assert [(phase, epoch) for phase, epoch, _ in log.log] == [
        ("pretraining", epoch) for epoch in range(4)
    ]
    for _, epoch, facts in log.log:
        assert facts["loss"] > 0
        assert facts["learning_rate"] == 0.02
        assert facts["n_images"] == 30
        assert facts["n_reseeded"] >= 0
        assert ("nmi" in facts) == (epoch > 0)
    assert found.assignments.shape == (30,)
    assert set(found.assignments) <= set(range(6))


def test_pretrain_of_one_seed_learns_the_same(uninterrupted):
    again = pretrain(DATASET, 2, OPTIONS, 0)
    assert_same_parameters(again.parameters, uninterrupted.parameters)
    np.testing.assert_array_equal(again.assignments, uninterrupted.assignments)
    blind = replace(DATASET, labels=np.full(30, -1, np.int32))
    assert_same_parameters(pretrain(blind, 2, OPTIONS, 0).parameters, uninterrupted.parameters)


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_pretrain_killed_and_continued_equals_uninterrupted(uninterrupted, epoch):
    checkpoint, rest = InMemory(), KillAt("never", 0)
    with pytest.raises(Killed):
        pretrain(
            DATASET, 2, OPTIONS, 0, checkpoint=checkpoint, on_epoch=KillAt("pretraining", epoch)
        )
    continued = pretrain(DATASET, 2, OPTIONS, 0, checkpoint=checkpoint, on_epoch=rest)
    assert_same_parameters(continued.parameters, uninterrupted.parameters)
    np.testing.assert_array_equal(continued.assignments, uninterrupted.assignments)
    assert len(rest.log) == 4 - epoch
    assert ("nmi" in rest.log[0][2]) == (epoch > 0)  # the clusters before the kill are known


def test_pretrain_clusters_what_looks_alike():
    dataset = striped(120, n_classes=2, seed=2)
    options = replace(OPTIONS, epochs=3, clusters_per_class=1, width=0.1, flip=False, translate=0)
    found = pretrain(dataset, 2, options, 0)
    assert normalized_mutual_information(found.assignments, dataset.labels) > 0.9


def test_pretrain_never_uses_an_image_that_could_not_be_read(uninterrupted):
    status = np.zeros(32, np.uint8)
    status[[4, 31]] = 1
    good = np.flatnonzero(status == 0)
    images = np.zeros((32, *DATASET.images.shape[1:]), np.uint8)
    images[good] = DATASET.images
    found = pretrain(as_dataset(images, np.zeros(32, np.int32), status), 2, OPTIONS, 0)
    assert found.assignments[[4, 31]].tolist() == [-1, -1]
    # The good ones alone, and in the same order: as if the others were not there.
    assert_same_parameters(found.parameters, uninterrupted.parameters)
    np.testing.assert_array_equal(found.assignments[good], uninterrupted.assignments)


def test_pretrain_without_epochs_gives_the_network_of_the_seed():
    found = pretrain(DATASET, 2, replace(OPTIONS, epochs=0), 3)
    assert (found.assignments == -1).all()
    fresh = Learner(DATASET, 2, TrainingOptions(width=0.05, device="cpu"), 3).parameters()
    for name, values in found.parameters.items():
        np.testing.assert_array_equal(values, fresh[name])


@pytest.mark.parametrize("n_classes", [0, 11])
def test_pretrain_refuses_more_clusters_than_images(n_classes):
    with pytest.raises(UsageError, match="expected 1 to 30"):
        pretrain(DATASET, n_classes, OPTIONS, 0)
