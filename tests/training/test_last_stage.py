"""Fine-tuning of a network's last stage: what is split, what moves, what is learnt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rrtool.core.learning.few_labels import directions, fit_ridges
from rrtool.errors import UsageError, WorkFailed
from rrtool.networks import load_network
from rrtool.training.checkpoint import load_parameters, parameters_of
from rrtool.training.last_stage import LastStage, split_at_last_stage, tune
from rrtool.training.options import DescentOptions

OPTIONS = {"epochs": 12, "batch_size": 8, "learning_rate": 0.05, "device": "cpu"}


@pytest.fixture
def backbone():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(inplace=True)),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
        ).eval().requires_grad_(False)  # fmt: skip


def made_maps(backbone, n=120):
    """Maps of images with a bar, red or blue, lying or standing: one class of lying red and of
    standing blue ones, so that neither tells it."""
    draw = np.random.default_rng(1)
    images = draw.normal(size=(n, 3, 16, 16)).astype(np.float32)
    lies, red = np.arange(n) % 2, np.arange(n) // 2 % 2
    for image, lying, is_red in zip(images, lies, red, strict=True):
        place, channel = draw.integers(2, 12), image[0 if is_red else 2]
        (channel.T if lying else channel)[place : place + 2] += 10
    before, body = split_at_last_stage(backbone)
    with torch.inference_mode():
        return before(torch.from_numpy(images)).half().numpy(), lies ^ red, body


def stage_of(body, maps, labels, rows):
    """One that begins with a ridge, as the stage of al-cycle does."""
    stage = LastStage(body, 16, 2)
    pooled = stage.in_batches(stage.pooled, maps)
    center = pooled.mean(axis=0)
    ones = np.ones(len(rows))
    (ridge,) = fit_ridges(directions(pooled, center)[rows], np.arange(len(rows)), labels[rows],
                          ones, 2, (1.0,))  # fmt: skip
    stage.begin(center, ridge)
    return stage, 8 * directions(pooled, center) @ ridge


@pytest.mark.parametrize(
    ("name", "n_layers", "n_channels"),
    [("squeezenet1_1", 4, 256), ("resnet18", 2, 256), ("efficientnet_lite0", 8, 112)],
)
def test_split_begins_with_the_last_reduction_of_the_map(name, n_layers, n_channels):
    backbone = load_network(name, "none").backbone
    before, stage = split_at_last_stage(backbone)
    images = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        maps = before(images)
        assert torch.equal(stage(maps.clone()), backbone(images))
    assert (len(stage), maps.shape[1]) == (n_layers, n_channels)


def test_split_gives_a_copy_and_leaves_the_network(backbone):
    before, stage = split_at_last_stage(backbone)
    nn.init.zeros_(stage[0].weight)
    assert backbone[2].weight.any()
    assert [type(layer) for layer in before] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]


@pytest.mark.parametrize(
    "network",
    [nn.Conv2d(3, 4, 3, stride=2), nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU()),
     nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.MaxPool2d(2))],
)  # fmt: skip
def test_split_refuses_what_has_no_last_stage(network):
    with pytest.raises(UsageError, match="no last stage"):
        split_at_last_stage(network)


def test_stage_begins_as_the_ridge(backbone):
    maps, labels, body = made_maps(backbone)
    stage, expected = stage_of(body, maps, labels, np.arange(10))
    told = stage.probabilities(maps)
    np.testing.assert_allclose(told, torch.from_numpy(expected).softmax(1), atol=1e-5)


def test_tune_learns_what_the_frozen_network_does_not_tell(backbone):
    maps, labels, body = made_maps(backbone)
    rows, losses = np.arange(80), []
    stage, before = stage_of(body, maps, labels, rows)
    options = DescentOptions(epochs=15, batch_size=8, learning_rate=0.03, device="cpu")
    tune(stage, maps[rows], labels[rows], np.ones(80), options, 0,
         lambda phase, epoch, facts: losses.append(facts["loss"]))  # fmt: skip
    after = stage.probabilities(maps).argmax(axis=1)
    assert len(losses) == 15
    assert losses[-1] < 0.05 * losses[0]
    assert np.mean(before[80:].argmax(axis=1) == labels[80:]) < 0.9
    assert np.mean(after[80:] == labels[80:]) > 0.95


def test_tune_moves_nothing_but_weights_of_the_stage(backbone):
    maps, labels, body = made_maps(backbone)
    network = parameters_of(backbone)
    stage, _ = stage_of(body, maps, labels, np.arange(8))
    before = parameters_of(stage)
    tune(stage, maps[:8], labels[:8], np.ones(8), DescentOptions(**OPTIONS), 0)
    for name, values in parameters_of(backbone).items():
        np.testing.assert_array_equal(values, network[name])
    moved = {name for name, values in parameters_of(stage).items()
             if not np.array_equal(values, before[name])}  # fmt: skip
    assert moved == {"body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias",
                     "classifier.weight"}  # fmt: skip


@pytest.mark.parametrize("is_steep", [False, True])
def test_tune_first_step_is_that_of_the_weighted_loss(backbone, is_steep):
    """By finite differences of the loss as it is written down; a steep one is of length 1."""
    maps, labels, body = made_maps(backbone, n=6)
    weights = np.array([1, 0.5, 0.25, 1, 0.75, 0.5]) * (1000 if is_steep else 0.01)
    stage, _ = stage_of(body, maps, labels, np.arange(6))
    before = parameters_of(stage)

    def loss(name, values):
        load_parameters(stage, {**before, name: values.astype(np.float32)})
        told = stage.probabilities(maps)[np.arange(6), labels].astype(np.float64)
        return float(-(weights * np.log(told)).sum() / 6)

    gradients = {}
    for name in ("classifier.weight", "body.1.bias"):
        start = before[name].astype(np.float64)
        gradients[name] = np.zeros_like(start)
        for place in np.ndindex(start.shape):
            step = np.zeros_like(start)
            step[place] = 0.01
            rise = loss(name, start + step) - loss(name, start - step)
            gradients[name][place] = rise / 0.02
    load_parameters(stage, before)
    options = DescentOptions(epochs=1, batch_size=6, learning_rate=1, weight_decay=0,
                             momentum=1e-9, device="cpu")  # fmt: skip
    tune(stage, maps, labels, weights, options, 0)
    after = parameters_of(stage)
    moved = {name: after[name] - before[name] for name in before}
    length = np.sqrt(sum((change**2).sum() for change in moved.values()))
    assert length == pytest.approx(1, rel=1e-3) if is_steep else length < 1
    found, expected = (
        np.concatenate([each[name].ravel() for name in gradients]) for each in (moved, gradients)
    )
    cosine = -(found @ expected) / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.999
    if not is_steep:
        np.testing.assert_allclose(found, -expected, rtol=0.05, atol=0.01 * abs(expected).max())


def test_tune_repeats_by_its_seed_and_keeps_torchs_own(backbone):
    maps, labels, _ = made_maps(backbone)
    found = []
    for seed in (3, 3, 4):
        stage, _ = stage_of(split_at_last_stage(backbone)[1], maps, labels, np.arange(20))
        torch.manual_seed(9)
        expected = torch.rand(1)
        torch.manual_seed(9)
        tune(stage, maps[:20], labels[:20], np.ones(20), DescentOptions(**OPTIONS), seed)
        assert torch.equal(torch.rand(1), expected)
        found.append(parameters_of(stage)["body.0.weight"])
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_tune_of_no_epochs_changes_nothing_and_a_wild_rate_is_told(backbone):
    maps, labels, body = made_maps(backbone)
    stage, _ = stage_of(body, maps, labels, np.arange(20))
    before = parameters_of(stage)
    tune(stage, maps, labels, np.ones(120), DescentOptions(**{**OPTIONS, "epochs": 0}), 0)
    for name, values in parameters_of(stage).items():
        np.testing.assert_array_equal(values, before[name])
    wild = DescentOptions(**{**OPTIONS, "learning_rate": 100, "weight_decay": 0.9})
    with pytest.raises(WorkFailed, match="--learning-rate"):
        tune(stage, maps, labels, np.ones(120), wild, 0)
