"""Learning rates, seeding, normalisation, prediction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rrtool.errors import UsageError, WorkFailed
from rrtool.training.epochs import (
    Trainer,
    cosine_rates,
    epoch_generator,
    in_batches,
    seeded_torch,
)
from rrtool.training.options import TrainingOptions
from rrtool.training.pixels import Pixels
from tests.training.tiny_images import as_dataset, striped

TINY = TrainingOptions(width=0.05, device="cpu", translate=1)


def test_cosine_rates_reach_zero_at_epoch_210_of_200():
    assert cosine_rates(0.2, 0, 4, 200, 1.05)[0] == pytest.approx(0.2)
    assert cosine_rates(0.2, 105, 4, 200, 1.05)[0] == pytest.approx(0.1)
    assert cosine_rates(0.2, 210, 4, 200, 1.05)[0] == pytest.approx(0)
    last = cosine_rates(0.2, 199, 4, 200, 1.05)
    np.testing.assert_allclose(last[2], 0.1 * (1 + np.cos(np.pi * 199.5 / 210)))
    assert (np.diff(np.concatenate([cosine_rates(0.2, e, 3, 5, 1.05) for e in range(5)])) < 0).all()


def test_cosine_rates_without_rampdown_are_constant():
    np.testing.assert_array_equal(cosine_rates(0.02, 7, 3, 9, np.inf), np.full(3, 0.02))
    assert cosine_rates(0.2, 0, 0, 5, 1.05).shape == (0,)


def test_epoch_generator_differs_in_seed_phase_and_epoch_only():
    moments = [(0, "supervised", 0), (1, "supervised", 0), (0, "pretraining", 0)]
    moments.append((0, "supervised", 1))
    draws = [epoch_generator(*moment).integers(1 << 62) for moment in moments]
    assert len(set(draws)) == len(moments)
    assert draws == [epoch_generator(*moment).integers(1 << 62) for moment in moments]


def test_seeded_torch_leaves_the_state_outside_alone():
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded_torch(1, "cpu"):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with seeded_torch(1, "cpu"):
        assert torch.equal(torch.rand(2), inside)


def test_in_batches_keeps_the_last_part():
    batches = in_batches(np.arange(7), np.arange(7) * 10, 3)
    assert [ids.tolist() for ids, _ in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [labels.tolist() for _, labels in batches] == [[0, 10, 20], [30, 40, 50], [60]]
    assert len(in_batches(np.arange(0), np.arange(0), 3)) == 0


def test_pixels_are_normalised_by_the_data_set():
    dataset = striped(5, n_channels=3)
    pixels = Pixels(dataset.images, dataset.mean, dataset.std)
    batch = pixels.batch(0, 5)
    assert batch.shape == (5, 3, 16, 16)
    expected = (dataset.images / 255 - dataset.mean) / dataset.std
    np.testing.assert_allclose(batch.permute(0, 2, 3, 1), expected, atol=1e-5)
    torch.testing.assert_close(batch.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)


def test_predict_equals_the_network_image_by_image():
    dataset = striped(70)  # more than one batch of inference
    trainer = Trainer(dataset, 3, TINY, 0)
    found = trainer.predict()
    network = trainer.network.eval()
    pixels = Pixels(dataset.images, dataset.mean, dataset.std)
    for row in (0, 63, 64, 69):
        with torch.inference_mode():
            logits, features = network(pixels.batch(row, row + 1))
        np.testing.assert_allclose(found.features[row], features[0], atol=1e-5)
        np.testing.assert_allclose(found.probabilities[row], logits.softmax(1)[0], atol=1e-5)
    assert found.probabilities.dtype == found.features.dtype == np.float32


def test_trainer_starts_from_the_seed():
    dataset = striped(4)
    weights = [Trainer(dataset, 2, TINY, seed).network.classifier.weight for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_trainer_refuses_images_too_small_for_the_network():
    small = as_dataset(np.zeros((3, 15, 40, 1), np.uint8), np.zeros(3, np.int32))
    with pytest.raises(UsageError, match="found 40×15"):
        Trainer(small, 2, TINY, 0)


def test_epoch_stops_when_the_loss_is_not_finite():
    trainer = Trainer(striped(8), 2, TINY, 0)
    with torch.no_grad():
        trainer.network.classifier.bias.fill_(float("nan"))
    batches = in_batches(np.arange(8), np.arange(8) % 2, 4)
    with pytest.raises(WorkFailed, match="diverged"):
        trainer.epoch(batches, [0.1, 0.1], np.random.default_rng(0))


def test_epoch_takes_the_steps_of_nesterov_on_the_cross_entropy():
    """One parameter tensor followed by hand: g + λp, v = μv + g, p − r(g + μv)."""
    dataset = striped(8)
    options = TrainingOptions(width=0.05, device="cpu", translate=0, flip=False)
    trainer = Trainer(dataset, 2, options, 0)
    bias = trainer.network.classifier.bias
    weight = trainer.network.classifier.weight
    with torch.no_grad():
        weight.zero_()  # the logits are then the bias alone, whatever the features
    labels = np.array([0, 0, 0, 1])
    before = bias.detach().clone().double()
    gradient = torch.softmax(before, 0) - torch.tensor([0.75, 0.25])
    trainer.epoch(in_batches(np.arange(4), labels, 4), [0.2], np.random.default_rng(0))
    decayed = gradient + 2e-4 * before
    expected = before - 0.2 * (decayed + 0.9 * decayed)
    torch.testing.assert_close(bias.detach().double(), expected, atol=1e-6, rtol=0)
