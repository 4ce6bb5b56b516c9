"""Spatial training (T_SP): masks of the pairs take part in what is learnt (thesis §4.5.1)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rrtool.errors import WorkFailed
from rrtool.training.retrieval.losses import contrastive, squared_distances
from rrtool.training.retrieval.masks import PairMasks, levels_of, masks_of_pairs
from rrtool.training.retrieval.pooling import pooled, unit
from tests.training.retrieval.tiny import GROUPS, Memory, Pictures, arrays, learner, options

EXPONENTS = {"mac": None, "gem": torch.tensor([3.0]), "by channel": torch.linspace(1, 4, 8)}


def discs() -> Pictures:
    """Images (3, 24, 26): discs of each group, brighter than what is around them, and moved."""
    pictures, generator = Pictures(), np.random.default_rng(3)
    y, x = np.mgrid[:24, :26]
    pictures.images = []
    for row, group in enumerate(GROUPS):
        own = np.random.default_rng(100 + group)
        image = 0.1 * generator.random((3, 24, 26))
        shift = generator.integers(0, 3, 2)
        for _ in range(6):
            (v, u), (a, b) = own.uniform(4, 18, 2) + shift, own.uniform(2, 4, 2)
            shape = ((y - v) / a) ** 2 + ((x - u) / b) ** 2 < 1
            image += own.random((3, 1, 1)) * shape
        image = torch.tensor(image[None], dtype=torch.float32)
        pictures.images.append(image if row % 2 else image[..., :25])
    return pictures


def spatial(given, **own):
    return learner(given, **{"masks": PairMasks(), "images": discs(), **own})


def test_masks_of_these_images_leave_something_out():
    """What the other tests compare is not pooled globally everywhere."""
    made = spatial(options())
    maps = [made._encoder.trainable.body(image)[0] for image in discs().images]
    masks = masks_of_pairs(maps, [(0, 1), (0, 3)], levels_of(maps))
    shares = [float(mask.float().mean()) for pair in masks for mask in pair]
    assert all(0 < share < 0.5 for share in shares)


@pytest.mark.parametrize("exponent", EXPONENTS.values(), ids=EXPONENTS)
def test_loss_of_a_tuple_is_that_of_masked_descriptors(exponent):
    made = spatial(options(), exponent=exponent)
    made._encoder.learn_levels(list(range(15)))
    rows = [0, 1, 3, 6]
    images = [discs().images[row] for row in rows]
    body = made._encoder.trainable.body
    sample = [body(image).detach() for image in discs().images]
    maps = [sample[row][0] for row in rows]
    expected = torch.zeros(())
    for place in (1, 2, 3):
        ((first, second),) = masks_of_pairs([maps[0], maps[place]], [(0, 1)], levels_of(sample))
        query = unit(pooled(maps[0][None], exponent, first[None]))
        other = unit(pooled(maps[place][None], exponent, second[None]))
        is_match = torch.tensor([place == 1])
        expected = expected + contrastive(squared_distances(query, other), is_match, 0.7)
    torch.testing.assert_close(made._loss(images).detach(), expected)


@pytest.mark.parametrize("exponent", [None, EXPONENTS["gem"]], ids=["mac", "gem"])
def test_one_pair_can_be_fitted_with_masks(exponent):
    told = []
    spatial(
        options(epochs=40), exponent=exponent, pairs=np.array([[0, 2]], np.int32),
        on_epoch=lambda p, epoch, facts: told.append(facts["loss"]),
    ).fit()  # fmt: skip
    assert told[-1] < told[0] / 10


def test_spatial_training_brings_images_of_a_group_together_in_another_way():
    given = options(epochs=4, queries=8, learning_rate=0.02)
    made, plain = spatial(given), learner(given, images=discs())
    before = gap(made)
    made.fit()
    plain.fit()
    assert gap(made) > before + 0.02
    assert (arrays(made)["0.weight"] != arrays(plain)["0.weight"]).any()


def gap(made) -> float:
    """How much more similar images of one group are than those of two."""
    found = made._encoder.describe(np.arange(15))[0]
    similarities, same = found @ found.T, GROUPS[:, None] == GROUPS
    return float(similarities[same & ~np.eye(15, dtype=bool)].mean() - similarities[~same].mean())


FEW = {"queries": 5, "epochs": 2, "loss": "triplet", "margin": 0.4}


@pytest.fixture(scope="module")
def uninterrupted() -> dict[str, np.ndarray]:
    made = spatial(options(**FEW))
    made.fit()
    return arrays(made)


@pytest.mark.parametrize("left", [20, 40, 70])
def test_killed_spatial_run_ends_as_an_uninterrupted_one(left, uninterrupted):
    """An epoch describes 15 images, learns levels of the ones it uses, and goes through 20."""
    memory, pictures = Memory(), discs()
    pictures.left = left
    with pytest.raises(KeyboardInterrupt):
        spatial(options(**FEW), images=pictures, checkpoint=memory).fit()
    resumed = spatial(options(**FEW), checkpoint=memory)
    resumed.fit()
    for name, values in arrays(resumed).items():
        np.testing.assert_array_equal(values, uninterrupted[name])


def test_levels_follow_the_network():
    made = spatial(options())
    made._encoder.learn_levels(list(range(15)))
    before = made._encoder._masks._levels
    with torch.no_grad():
        made._encoder.trainable.body[-2].weight.mul_(2)
        made._encoder.trainable.body[-2].bias.mul_(2)
    made._encoder.learn_levels(list(range(15)))
    assert made._encoder._masks._levels.scale == pytest.approx(before.scale / 2)


def test_image_that_turns_infinite_ends_spatial_training_as_any_other():
    pictures = discs()
    calls = pictures.__class__.__call__

    class Turning(Pictures):
        """Images of tuples, which are asked for 60 at a time, become NaN."""

        def __call__(self, rows, scale=1.0):
            for image in calls(pictures, rows, scale):
                yield image * torch.nan if len(rows) == 60 else image

    with pytest.raises(WorkFailed, match="batch 1 of epoch 1"):
        spatial(options(), images=Turning()).fit()
