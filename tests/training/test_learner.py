"""SUP and SEMI: they learn, they can be killed, and they refuse what cannot be learnt from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rrtool.errors import UsageError
from rrtool.training.learner import Learner
from rrtool.training.options import TrainingOptions
from tests.training.tiny_images import (
    Guesses,
    InMemory,
    KillAt,
    Killed,
    as_dataset,
    assert_same_parameters,
    striped,
)

OPTIONS = TrainingOptions(
    epochs=5,
    semi_epochs=4,
    batch_size=3,
    semi_batch_size=8,
    semi_labeled=3,
    translate=1,
    width=0.05,
    device="cpu",
    checkpoint_seconds=0.0,
)
DATASET = striped(24)
IDS = np.arange(7)


def _certain(features: np.ndarray) -> Guesses:
    return Guesses(DATASET.labels, np.ones(len(DATASET)))


def _by_features(features: np.ndarray) -> Guesses:
    """Pseudo-labels that change with the parameters: the nearest labelled image's."""
    similarities = features @ features[IDS].T
    return Guesses(DATASET.labels[IDS][similarities.argmax(axis=1)], similarities.max(axis=1) + 2)


def _learn(options=OPTIONS, seed=0, checkpoint=None, on_epoch=lambda *_: None, dataset=DATASET):
    learner = Learner(dataset, 2, options, seed, checkpoint=checkpoint, on_epoch=on_epoch)
    labels = dataset.labels[IDS]
    learner.fit_supervised(IDS, labels)
    learner.fit_semi_supervised(IDS, labels, _by_features)
    return learner


@pytest.fixture(scope="module")
def uninterrupted():
    return _learn().parameters()


def test_learner_of_one_seed_learns_the_same(uninterrupted):
    assert_same_parameters(_learn().parameters(), uninterrupted)
    other = _learn(seed=1).parameters()
    assert not np.array_equal(other["classifier.weight"], uninterrupted["classifier.weight"])


@pytest.mark.parametrize(
    "moment",
    [("supervised", 0), ("supervised", 3), ("semi-supervised", 0), ("semi-supervised", 2)],
)
def test_learner_killed_and_continued_equals_uninterrupted(uninterrupted, moment):
    checkpoint, killed, rest = InMemory(), KillAt(*moment), KillAt("never", 0)
    with pytest.raises(Killed):
        _learn(checkpoint=checkpoint, on_epoch=killed)
    continued = _learn(checkpoint=checkpoint, on_epoch=rest)
    assert_same_parameters(continued.parameters(), uninterrupted)
    assert len(killed.log) + len(rest.log) == 9  # no epoch was learnt twice, but the killed one


def test_learner_killed_between_renewals_keeps_the_pseudo_labels():
    options = replace(OPTIONS, renew=3)
    checkpoint = InMemory()
    with pytest.raises(Killed):
        _learn(options, checkpoint=checkpoint, on_epoch=KillAt("semi-supervised", 2))
    continued = _learn(options, checkpoint=checkpoint)
    assert_same_parameters(continued.parameters(), _learn(options).parameters())


def test_learner_of_a_finished_checkpoint_does_nothing(uninterrupted):
    checkpoint, log = InMemory(), KillAt("never", 0)
    _learn(checkpoint=checkpoint)
    again = _learn(checkpoint=checkpoint, on_epoch=log)
    assert log.log == []
    assert_same_parameters(again.parameters(), uninterrupted)


def test_learner_saves_now_and_then_and_at_the_end_of_a_phase():
    checkpoint = InMemory()
    _learn(replace(OPTIONS, checkpoint_seconds=1e6), checkpoint=checkpoint)
    assert checkpoint.n_saved == 2


def test_learner_labels_of_the_data_set_are_not_looked_at(uninterrupted):
    blind = replace(DATASET, labels=np.full(len(DATASET), -1, np.int32))
    learner = Learner(blind, 2, OPTIONS, 0)
    learner.fit_supervised(IDS, DATASET.labels[IDS])
    learner.fit_semi_supervised(IDS, DATASET.labels[IDS], _by_features)
    assert_same_parameters(learner.parameters(), uninterrupted)


def test_fit_supervised_learns_stripes_from_a_few():
    dataset = striped(120, seed=4)
    options = replace(OPTIONS, epochs=40, batch_size=10, width=0.1, learning_rate=0.1, flip=False)
    learner = Learner(dataset, 2, options, 0)
    learner.fit_supervised(np.arange(20), dataset.labels[:20])
    assert learner.accuracy(dataset.images[20:], dataset.labels[20:]) > 0.95


def test_fit_semi_supervised_learns_the_pseudo_labels():
    """With labels that are right for L and swapped for U, U decides, being more."""
    dataset = striped(60, seed=5)
    swapped = Guesses(1 - dataset.labels, np.ones(60))
    options = replace(
        OPTIONS, semi_epochs=20, semi_batch_size=20, semi_labeled=2, width=0.1, learning_rate=0.1
    )
    learner = Learner(dataset, 2, options, 0)
    learner.fit_semi_supervised(np.arange(4), dataset.labels[:4], lambda features: swapped)
    assert learner.accuracy(dataset.images[4:], 1 - dataset.labels[4:]) > 0.95


def test_fit_semi_supervised_tells_what_it_drew():
    log = KillAt("never", 0)
    learner = Learner(DATASET, 2, OPTIONS, 0, on_epoch=log)
    weights = np.where(np.arange(24) < 12, 0.5, 0)
    learner.fit_semi_supervised(
        IDS, DATASET.labels[IDS], lambda f: Guesses(DATASET.labels, weights)
    )
    assert [epoch for _, epoch, _ in log.log] == [0, 1, 2, 3]
    facts = log.log[0][2]
    assert facts["n_weighted"] == 5  # of U, ids 7 to 23
    assert facts["mean_weight"] == pytest.approx(2.5 / 17)
    assert facts["n_pseudo_labeled"] == 10  # two batches of five reach half of 17
    assert facts["n_images"] == 16
    assert facts["loss"] > 0
    rates = [entry["learning_rate"] for _, _, entry in log.log]
    assert rates == sorted(rates, reverse=True)


def test_fit_semi_supervised_leaves_the_guess_as_it_is():
    """The labels of L are put in the place of its guesses, but not in the caller's array."""
    wrong = Guesses(1 - DATASET.labels.astype(np.int64), np.ones(24))
    Learner(DATASET, 2, OPTIONS, 0).fit_semi_supervised(IDS, DATASET.labels[IDS], lambda _: wrong)
    np.testing.assert_array_equal(wrong.labels, 1 - DATASET.labels)


@pytest.mark.parametrize("n_labeled", [7, 24])
def test_fit_semi_supervised_without_weights_learns_the_labels_alone(n_labeled):
    log = KillAt("never", 0)
    learner = Learner(DATASET, 2, OPTIONS, 0, on_epoch=log)
    nothing = Guesses(np.full(24, -1), np.zeros(24))
    ids = np.arange(n_labeled)
    learner.fit_semi_supervised(ids, DATASET.labels[ids], lambda features: nothing)
    for _, _, facts in log.log:
        assert facts["n_pseudo_labeled"] == facts["n_weighted"] == 0
        assert facts["n_images"] == n_labeled


def test_fit_semi_supervised_renews_pseudo_labels_every_so_many_epochs():
    calls = []

    def guess(features):
        calls.append(features.shape)
        return _certain(features)

    for renew, expected in ((1, 4), (2, 2), (9, 1)):
        calls.clear()
        learner = Learner(DATASET, 2, replace(OPTIONS, renew=renew), 0)
        learner.fit_semi_supervised(IDS, DATASET.labels[IDS], guess)
        assert calls == [(24, 6)] * expected


def test_learner_never_draws_an_image_that_could_not_be_read():
    status = (np.arange(24) >= 20).astype(np.uint8)
    images = DATASET.images.copy()
    images[20:] = 0
    dataset = as_dataset(images, DATASET.labels, status)
    log = KillAt("never", 0)
    learner = Learner(dataset, 2, OPTIONS, 0, on_epoch=log)
    only_failed = Guesses(DATASET.labels, status.astype(float))
    learner.fit_semi_supervised(IDS, DATASET.labels[IDS], lambda features: only_failed)
    assert all(facts["n_pseudo_labeled"] == 0 for _, _, facts in log.log)
    found = learner.predict()
    assert not found.features[20:].any()
    assert not found.probabilities[20:].any()
    np.testing.assert_allclose(found.probabilities[:20].sum(axis=1), 1, atol=1e-5)
    with pytest.raises(ValueError, match="could not be read"):
        learner.fit_supervised([20], [0])


def test_learner_parameters_come_back_as_initial(uninterrupted):
    again = Learner(DATASET, 2, OPTIONS, 5, initial=uninterrupted)
    assert_same_parameters(again.parameters(), uninterrupted)
    body = {n: v for n, v in uninterrupted.items() if not n.startswith("classifier")}
    pretrained = Learner(DATASET, 2, OPTIONS, 5, initial=body).parameters()
    fresh = Learner(DATASET, 2, OPTIONS, 5).parameters()
    for name, values in pretrained.items():
        np.testing.assert_array_equal(values, body.get(name, fresh[name]), err_msg=name)


@pytest.mark.parametrize("change", ["width", "channels", "classes", "missing", "unknown"])
def test_learner_refuses_parameters_of_another_network(uninterrupted, change):
    dataset, n_classes, options, initial = DATASET, 2, OPTIONS, dict(uninterrupted)
    if change == "width":
        options = replace(OPTIONS, width=0.1)
    elif change == "channels":
        dataset = striped(4, n_channels=3)
    elif change == "classes":
        n_classes = 3
    elif change == "missing":
        del initial["body.conv1a.bias"]
    else:
        initial["body.conv9z.bias"] = np.zeros(1)
    with pytest.raises(UsageError, match="another network"):
        Learner(dataset, n_classes, options, 0, initial=initial)


@pytest.mark.parametrize(
    ("ids", "labels", "fragment"),
    [
        ([], [], "0 labelled images"),
        ([0, 1], [0], "2 labelled images with 1 labels"),
        ([3, 3], [0, 1], "occurs twice"),
        ([24], [0], "out of range"),
        ([-1], [0], "out of range"),
        ([0], [2], "not one of 2 classes"),
        ([0], [-1], "not one of 2 classes"),
    ],
)
def test_learner_refuses_wrong_labels(ids, labels, fragment):
    learner = Learner(DATASET, 2, OPTIONS, 0)
    for fit in (
        learner.fit_supervised,
        lambda ids, labels: learner.fit_semi_supervised(ids, labels, _certain),
    ):
        with pytest.raises(ValueError, match=fragment):
            fit(ids, labels)


@pytest.mark.parametrize(
    ("guesses", "fragment"),
    [
        (Guesses(np.zeros(23, int), np.ones(24)), "pseudo-labels"),
        (Guesses(np.zeros(24, int), np.ones(23)), "24 images"),
        (Guesses(np.zeros(24, int), np.full(24, -0.1)), "not negative"),
        (Guesses(np.zeros(24, int), np.full(24, np.nan)), "finite"),
        (Guesses(np.full(24, 2), np.ones(24)), "not one of 2 classes"),
        (Guesses(np.full(24, -1), np.ones(24)), "not one of 2 classes"),
    ],
)
def test_fit_semi_supervised_refuses_wrong_pseudo_labels(guesses, fragment):
    learner = Learner(DATASET, 2, OPTIONS, 0)
    with pytest.raises(ValueError, match=fragment):
        learner.fit_semi_supervised(IDS, DATASET.labels[IDS], lambda features: guesses)


def test_fit_semi_supervised_keeps_its_number_of_threads_beside_numba():
    """Label propagation's kernels start numba's threads, which change torch's number."""
    n_threads = torch.get_num_threads()
    seen = []

    def guess(features):
        torch.set_num_threads(n_threads + 1)
        return _certain(features)

    learner = Learner(
        DATASET, 2, OPTIONS, 0, on_epoch=lambda *_: seen.append(torch.get_num_threads())
    )
    learner.fit_semi_supervised(IDS, DATASET.labels[IDS], guess)
    assert seen == [n_threads] * 4


def test_accuracy_counts_what_is_right():
    learner = Learner(DATASET, 2, OPTIONS, 0)
    guessed = learner.predict(DATASET.images[:10]).probabilities.argmax(axis=1)
    labels = np.where(np.arange(10) < 3, guessed, 1 - guessed)
    assert learner.accuracy(DATASET.images[:10], labels) == pytest.approx(0.3)
    assert np.isnan(learner.accuracy(DATASET.images[:0], labels[:0]))


def test_predict_of_no_images_is_empty():
    found = Learner(DATASET, 2, OPTIONS, 0).predict(DATASET.images[:0])
    assert found.probabilities.shape == (0, 2)
    assert found.features.shape == (0, 6)
