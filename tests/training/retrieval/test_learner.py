import numpy as np
import pytest
import torch

from rrtool.errors import WorkFailed
from rrtool.training.retrieval.learner import SCORE
from tests.training.retrieval.tiny import (
    GROUPS,
    FixedMasks,
    Memory,
    Pictures,
    arrays,
    learner,
    options,
    trainable,
)

ALL_OPTIONS = [
    {}, {"loss": "triplet", "margin": 0.1}, {"batch_norm": "learnt"}, {"epochs": 4, "decay": 0.5},
]  # fmt: skip


def _plain_descriptor(network, image, omega):
    maps = network(image)[0].flatten(1)
    pooled = maps.pow(omega).mean(dim=1).pow(1 / omega)
    return pooled / pooled.norm()


def test_step_is_adams_on_the_sum_of_the_losses_of_a_batch():
    """One epoch of one batch, against the formulas written out in float64."""
    given = options(epochs=1, batch_size=100, learning_rate=1e-3, weight_decay=1e-2)
    made, pictures = learner(given, network=trainable()), Pictures()
    start = trainable().body.double()
    tuples = []
    made._examples = _Fixed(tuples, made._examples)
    made.fit()
    omega = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    loss = torch.zeros((), dtype=torch.float64)
    for query, positive, *negatives in tuples:
        a, b, *others = (
            _plain_descriptor(start, pictures.images[row].double(), omega)
            for row in (query, positive, *negatives)
        )
        loss = loss + 0.5 * (a - b).square().sum()
        for other in others:
            loss = loss + 0.5 * (0.7 - (a - other).norm()).clamp_min(0).square()
    loss.backward()
    fitted = arrays(made)
    for name, parameter in [*start.named_parameters(), ("pool.p", omega)]:
        is_omega = name == "pool.p"
        gradient = parameter.grad + (0 if is_omega else 1e-2) * parameter.detach()
        rate = 1e-2 if is_omega else 1e-3
        # Adam's first step, whose moments are those of the gradient itself.
        expected = parameter.detach() - rate * gradient / (gradient.abs() + 1e-8)
        certain = gradient.abs() > 1e-5
        np.testing.assert_allclose(
            fitted[name][certain.numpy()], expected[certain].numpy(), rtol=1e-3, atol=1e-5
        )


class _Fixed:
    """Examples that note the tuples that they give."""

    def __init__(self, noted, examples):
        self._noted, self._examples, self.held_out = noted, examples, examples.held_out

    def tuples_of_epoch(self, *args):
        self._noted += self._examples.tuples_of_epoch(*args)
        return self._noted


def test_tuples_have_a_positive_of_the_group_and_the_most_similar_images_of_others():
    made = learner(options())
    examples, encoder = made._examples, made._encoder
    tuples = examples.tuples_of_epoch(encoder, options(), np.random.default_rng(0))
    descriptors, _ = encoder.describe(np.arange(15))
    similarities = descriptors @ descriptors.T
    assert len(tuples) == len({each[0] for each in tuples}) == 15
    for query, positive, *negatives in tuples:
        assert query != positive
        assert GROUPS[query] == GROUPS[positive]
        best = {}
        for row in np.argsort(-similarities[query], kind="stable"):
            if GROUPS[row] != GROUPS[query]:
                best.setdefault(GROUPS[row], int(row))
        assert negatives == list(best.values())[:2]


def test_pool_and_queries_are_as_many_as_asked_for():
    made = learner(options())
    given = options(queries=4, pool_size=6)
    tuples = made._examples.tuples_of_epoch(made._encoder, given, np.random.default_rng(0))
    assert len(tuples) == 4
    assert len({row for each in tuples for row in each[2:]}) <= 6


def test_one_pair_can_be_fitted():
    told = []
    pairs = np.array([[0, 2]], np.int32)
    learner(
        options(epochs=60), pairs=pairs, on_epoch=lambda p, epoch, facts: told.append(facts["loss"])
    ).fit()
    assert told[-1] < 1e-3
    assert told[-1] < told[0] / 50


@pytest.mark.parametrize("own", ALL_OPTIONS, ids=str)
@pytest.mark.parametrize("left", [0, 20, 57, 80, 130])
def test_killed_run_ends_as_an_uninterrupted_one(own, left):
    """After 6 images before it, an epoch takes some 60: kills before, in and between epochs, and
    in the next one."""
    given, network = options(**own), {"norm": "batch_norm" in own}
    whole = learner(given, network=trainable(**network), held_out=True)
    whole.fit()
    memory = Memory()
    for n_images in (left, 30):
        pictures = Pictures()
        pictures.left = n_images
        with pytest.raises(KeyboardInterrupt):
            learner(
                given, network=trainable(**network), held_out=True, images=pictures,
                checkpoint=memory,
            ).fit()  # fmt: skip
    resumed = learner(given, network=trainable(**network), held_out=True, checkpoint=memory)
    resumed.fit()
    assert resumed.best_epoch == whole.best_epoch
    expected = arrays(whole)
    for name, values in arrays(resumed).items():
        np.testing.assert_array_equal(values, expected[name])


def test_finished_run_that_is_resumed_does_nothing_more():
    memory, given = Memory(), options()
    learner(given, checkpoint=memory).fit()
    pictures = Pictures()
    pictures.left = 0
    again = learner(given, images=pictures, checkpoint=memory)
    again.fit()
    assert again.best_epoch == 3


def test_seeds_differ_and_equal_seeds_are_equal():
    def fitted(seed):
        made = learner(options(seed=seed))
        made.fit()
        return arrays(made)["0.weight"]

    np.testing.assert_array_equal(fitted(1), fitted(1))
    assert (fitted(1) != fitted(2)).any()


def test_best_network_on_what_is_held_out_is_kept():
    told, states = {}, {}
    memory = Memory()
    made = learner(
        options(epochs=6, learning_rate=0.1), held_out=True, checkpoint=memory,
        on_epoch=lambda p, epoch, facts: told.update({epoch: facts[SCORE]}),
    )  # fmt: skip
    save = memory.save
    memory.save = lambda state: (states.update({int(state["epoch"]): state}), save(state))
    made.fit()
    scores = [told[epoch] for epoch in range(1, 7)]
    assert made.best_epoch == 6 - int(np.argmax(scores[::-1]))  # the last of equals
    kept = states[made.best_epoch]["parameters/0.weight"]
    np.testing.assert_array_equal(arrays(made)["0.weight"], kept)
    assert 0 in told


def test_learning_brings_images_of_a_group_together():
    made = learner(options(epochs=15))
    before = made._encoder.describe(np.arange(15))[0]
    made.fit()
    after = made._encoder.describe(np.arange(15))[0]
    same = (GROUPS[:, None] == GROUPS) & ~np.eye(15, dtype=bool)

    def gap(found):
        similarities = found @ found.T
        return similarities[same].mean() - similarities[GROUPS[:, None] != GROUPS].mean()

    assert gap(after) > gap(before) + 0.1


def test_rate_falls_by_the_decay_and_the_exponent_learns_without_weight_decay():
    rates = []
    made = learner(
        options(decay=0.1, weight_decay=0.5),
        on_epoch=lambda p, epoch, facts: rates.append(facts["learning_rate"]),
    )
    made.fit()
    np.testing.assert_allclose(rates, 1e-2 * np.exp([0, -0.1, -0.2]))
    layers, exponent = made._optimizer.param_groups
    assert exponent["lr"] == pytest.approx(10 * layers["lr"])
    assert (layers["weight_decay"], exponent["weight_decay"]) == (0.5, 0.0)


def test_statistics_of_normalisations_stay_unless_they_are_to_be_learnt():
    def moved(kind):
        network = trainable(norm=True)
        learner(options(batch_norm=kind, epochs=1), network=network).fit()
        fresh = trainable(norm=True).tensors()
        return {name for name, each in network.tensors().items() if not each.equal(fresh[name])}

    assert not any("running" in name for name in moved("frozen"))
    assert "1.weight" in moved("frozen")
    assert {"1.running_mean", "1.running_var"} < moved("learnt")


@pytest.mark.parametrize("exponent", [None, torch.full((8,), 2.0)], ids=["mac", "by channel"])
def test_pooling_may_be_mac_or_have_an_exponent_a_channel(exponent):
    made = learner(options(epochs=1), exponent=exponent)
    made.fit()
    assert ("pool.p" in arrays(made)) == (exponent is not None)
    if exponent is not None:
        assert len(np.unique(arrays(made)["pool.p"])) > 3


def test_masks_that_hold_everything_change_nothing():
    def everything(maps, pairs):
        return [tuple(torch.ones_like(maps[each]).bool() for each in pair) for pair in pairs]

    whole, masked = learner(options()), learner(options(), masks=FixedMasks(everything))
    whole.fit()
    masked.fit()
    for name, values in arrays(whole).items():
        np.testing.assert_allclose(arrays(masked)[name], values, rtol=1e-4, atol=1e-6)


def test_masks_are_asked_of_the_pairs_of_a_query_and_take_part():
    asked = []

    def left_half(maps, pairs):
        asked.append((len(maps), list(pairs), {each.requires_grad for each in maps}))
        masks = [torch.arange(each.shape[2]) < 2 for each in maps]
        return [tuple(masks[i].expand(maps[i].shape).clone() for i in pair) for pair in pairs]

    whole, masked = learner(options()), learner(options(), masks=FixedMasks(left_half))
    whole.fit()
    masked.fit()
    assert asked[0] == (4, [(0, 1), (0, 2), (0, 3)], {False})
    assert (arrays(whole)["0.weight"] != arrays(masked)["0.weight"]).any()


def test_images_that_cannot_be_used_are_passed_over():
    told = []
    made = learner(
        options(epochs=1), images=Pictures(broken=(0, 4)),
        on_epoch=lambda p, epoch, facts: told.append(facts["n_tuples"]),
    )  # fmt: skip
    made.fit()
    # Queries 0 and 4 are gone, and so is each tuple whose positive is one of the two.
    assert 9 <= told[0] <= 13


def test_no_image_that_can_be_used_is_an_error():
    with pytest.raises(WorkFailed, match="not one tuple"):
        learner(options(), images=Pictures(broken=tuple(range(15)))).fit()
    with pytest.raises(WorkFailed, match="not one tuple"):  # no negatives are left
        learner(options(), images=Pictures(broken=tuple(range(3, 15)))).fit()


def test_held_out_images_that_cannot_be_used_are_an_error():
    with pytest.raises(WorkFailed, match="held out"):
        learner(options(), held_out=True, images=Pictures(broken=tuple(range(9, 15)))).fit()


def test_fewer_images_than_a_batch_make_one_small_batch():
    pairs, told = np.array([[0, 1]], np.int32), []
    learner(
        options(batch_size=64, epochs=1), pairs=pairs,
        on_epoch=lambda p, epoch, facts: told.append(facts),
    ).fit()  # fmt: skip
    assert told[0]["n_tuples"] == 1


class _Turning(Pictures):
    """Images that become NaN from the ``n``-th on, of those that are learnt from."""

    def __init__(self, n):
        super().__init__()
        self.n = n

    def __call__(self, rows, scale=1.0):
        learning = not isinstance(rows, np.ndarray)  # rows of tuples are a list
        for image in super().__call__(rows, scale):
            self.n -= learning
            yield image if self.n >= 0 or not learning else image * torch.nan


def test_loss_that_is_not_finite_ends_training_and_says_which_batch():
    memory = Memory()
    # 15 tuples of 4 images an epoch, 4 tuples a batch: the third batch of the second epoch.
    with pytest.raises(WorkFailed) as caught:
        learner(options(), images=_Turning(60 + 33), checkpoint=memory).fit()
    assert "batch 3 of epoch 2" in str(caught.value)
    assert "--epochs 1" in str(caught.value)
    assert int(memory.state["epoch"]) == 1
    assert all(np.isfinite(each).all() for each in memory.state.values() if each.ndim)


def test_network_that_tells_no_images_apart_any_more_ends_training():
    memory = Memory()
    made = learner(options(), checkpoint=memory)
    last = made._encoder.trainable.body[-2].bias

    def dying(epoch, n_done):
        if (epoch, n_done) == (2, 15):
            last.data.fill_(-100)  # no activation is left

    made._on_batch = dying
    with pytest.raises(WorkFailed, match=r"diverged in epoch 2: all photos.*--epochs 1 you get"):
        made.fit()
    assert int(memory.state["epoch"]) == 1


def test_tuples_are_told_as_they_are_done():
    told = []
    made = learner(options(epochs=2), on_batch=lambda *done: told.append(done))
    assert made._examples.n_pairs_of_epoch(2000) == 15
    assert made._examples.n_pairs_of_epoch(7) == 7
    made.fit()
    assert told == [(epoch, n) for epoch in (1, 2) for n in (4, 8, 12, 15)]


def test_gradient_that_is_not_finite_makes_no_step():
    made = learner(options(), exponent=None)
    made._loss = lambda images: (made.trained_sum() * 0).sqrt()  # slope of a root at zero
    first = next(iter(made._encoder.trainable.trained.values()))
    made.trained_sum = lambda: first.square().sum()
    before = arrays(made)
    with pytest.raises(WorkFailed, match="batch 1 of epoch 1"):
        made.fit()
    for name, values in arrays(made).items():
        np.testing.assert_array_equal(values, before[name])


def test_pairs_that_are_given_are_used():
    pairs = np.array([[0, 1], [3, 5], [9, 10]], np.int32)
    made = learner(options(), pairs=pairs)
    tuples = made._examples.tuples_of_epoch(made._encoder, options(), np.random.default_rng(0))
    assert sorted(each[:2] for each in tuples) == pairs.tolist()
    few = made._examples.pairs_of_epoch(2, np.random.default_rng(0))
    assert len(few) == made._examples.n_pairs_of_epoch(2) == 2
    assert made._examples.n_pairs_of_epoch(9) == 3
