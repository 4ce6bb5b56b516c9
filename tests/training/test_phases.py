"""What the mini-batches of SUP and SEMI hold."""

from __future__ import annotations

import numpy as np

from rrtool.training.options import TrainingOptions
from rrtool.training.phases import SemiSupervised, Supervised

OPTIONS = TrainingOptions(
    batch_size=4, semi_batch_size=10, semi_labeled=3, width=0.05, device="cpu"
)
IDS, LABELS = LABELED = np.array([5, 2, 9, 30, 31]), np.array([1, 0, 1, 0, 1])
POOL = np.setdiff1d(np.arange(40), IDS)


def _batches(phase, epoch=0, seed=0):
    return phase.batches(epoch, np.random.default_rng(seed))


def test_supervised_batches_hold_every_label_once_with_a_smaller_last_one():
    batches, facts = _batches(Supervised(*LABELED, OPTIONS))
    assert [len(ids) for ids, _ in batches] == [4, 1]
    pairs = {i: y for ids, labels in batches for i, y in zip(ids, labels, strict=True)}
    assert pairs == dict(zip(*LABELED, strict=True))
    assert facts == {}


def test_semi_supervised_batches_hold_true_labels_of_l_and_guesses_of_u():
    guessed = np.full(40, 7)  # of the labelled images too
    phase = SemiSupervised(*LABELED, POOL, lambda: (guessed.copy(), np.ones(40)), OPTIONS)
    batches, facts = _batches(phase)
    true = dict(zip(*LABELED, strict=True))
    assert len(batches) == 3  # 7 guesses a batch reach half of 35 in the third
    assert facts["n_pseudo_labeled"] == 21
    for ids, labels in batches:
        assert ids.shape == labels.shape == (10,)
        assert [true[image] for image in ids[:3]] == labels[:3].tolist()
        assert set(ids[3:]) <= set(POOL)
        assert labels[3:].tolist() == [7] * 7


def test_semi_supervised_batches_draw_only_what_has_weight():
    weights = np.zeros(40)
    weights[[0, 5, 39]] = 1  # 5 is labelled
    phase = SemiSupervised(*LABELED, POOL, lambda: (np.zeros(40, int), weights), OPTIONS)
    batches, facts = _batches(phase)
    assert {*np.concatenate([ids[3:] for ids, _ in batches])} == {0, 39}
    assert facts["n_weighted"] == 2
    assert facts["mean_weight"] == 2 / 35


def test_semi_supervised_of_labelled_images_alone_is_a_pass_over_them():
    everything = np.arange(40), np.arange(40) % 2
    phase = SemiSupervised(
        *everything, np.zeros(0, int), lambda: (np.zeros(40, int), np.ones(40)), OPTIONS
    )
    batches, facts = _batches(phase)
    assert sorted(np.concatenate([ids for ids, _ in batches])) == list(range(40))
    assert facts == {"n_weighted": 0, "mean_weight": 0, "n_pseudo_labeled": 0}
