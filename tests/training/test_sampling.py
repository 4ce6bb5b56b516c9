"""Which images are drawn: exact counts, and a chi-square test against η[w]."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest

from rrtool.training.options import TrainingOptions
from rrtool.training.sampling import draw_weighted, passes, two_streams, uniform_over_clusters


@given(n=st.integers(1, 9), size=st.integers(0, 40), seed=st.integers(0, 99))
def test_passes_draws_every_id_equally_often_up_to_one(n, size, seed):
    drawn = passes(np.arange(n) + 5, size, np.random.default_rng(seed))
    assert drawn.shape == (size,)
    counts = np.bincount(drawn - 5, minlength=n) if size else np.zeros(n, int)
    assert len(counts) == n
    assert counts.max() - counts.min() <= 1
    for start in range(0, size - n + 1, n):  # every pass is a permutation
        assert sorted(drawn[start : start + n]) == list(range(5, 5 + n))


def test_passes_without_ids_is_empty():
    assert passes(np.zeros(0, int), 3, np.random.default_rng(0)).shape == (0,)


def _sizes(batch, n_labeled, share):
    return TrainingOptions(semi_batch_size=batch, semi_labeled=n_labeled, semi_epoch_fraction=share)


WEIGHTS = np.array([0.0, 1.0, 2.5, 0.0, 0.5, 6.0, 0.0])
IDS = np.array([10, 11, 12, 13, 14, 15, 16])


class _Spaced:
    """A generator whose draws are spaced evenly over (0, 1)."""

    def random(self, size):
        return (np.arange(size) + 0.5) / size


def test_draw_weighted_of_evenly_spaced_draws_gives_exact_shares():
    drawn = draw_weighted(IDS, WEIGHTS, 1000, _Spaced())
    assert np.bincount(drawn, minlength=17)[10:].tolist() == [0, 100, 250, 0, 50, 600, 0]


def test_draw_weighted_follows_the_normalised_weights():
    """The chi-square p-values of many seeds are uniform, as those of right draws are."""
    positive, p_values = WEIGHTS > 0, []
    for seed in range(200):
        drawn = draw_weighted(IDS, WEIGHTS, 2000, np.random.default_rng(seed))
        counts = np.bincount(drawn, minlength=17)[10:]
        assert not counts[~positive].any()
        p_values.append(chisquare(counts[positive], 200 * WEIGHTS[positive]).pvalue)
    assert kstest(p_values, "uniform").pvalue > 0.01


@given(
    weights=st.lists(st.sampled_from([0.0, 1e-300, 1e-30, 1.0, 1e30]), min_size=1, max_size=6),
    seed=st.integers(0, 999),
)
def test_draw_weighted_never_draws_a_weight_of_zero(weights, seed):
    weights = np.array([*weights, 1.0])
    drawn = draw_weighted(np.arange(len(weights)), weights, 50, np.random.default_rng(seed))
    assert (weights[drawn] > 0).all()


class _AlmostOne:
    """A generator whose every draw is the largest number below 1."""

    def random(self, size):
        return np.full(size, np.nextafter(1, 0))


@pytest.mark.parametrize("weight", [1.0, 3.3e-7, 5e-324])
def test_draw_weighted_of_the_largest_draw_is_the_last_id(weight):
    assert draw_weighted(np.array([4, 7]), np.full(2, weight), 1, _AlmostOne()).tolist() == [7]


@settings(max_examples=50)
@given(
    n_labeled=st.integers(1, 12),
    n_pool=st.integers(0, 60),
    batch=st.integers(2, 9),
    share=st.floats(0.1, 3),
    seed=st.integers(0, 99),
)
def test_two_streams_fills_batches_until_the_epoch_ends(n_labeled, n_pool, batch, share, seed):
    labeled, pool = np.arange(n_labeled), n_labeled + np.arange(n_pool)
    sizes = _sizes(batch, 1, share)
    generator = np.random.default_rng(seed)
    known, drawn = two_streams(labeled, pool, generator.random(n_pool) + 0.1, sizes, generator)
    assert known.shape == (len(drawn), 1)
    assert drawn.shape == (len(drawn), batch - 1)
    assert set(known.ravel()) <= set(labeled)
    assert set(drawn.ravel()) <= set(pool)
    n_drawn = drawn.size
    assert share * n_pool <= n_drawn + 1e-9  # enough, and the last batch was needed
    assert n_drawn == 0 or n_drawn - (batch - 1) < share * n_pool


def test_two_streams_draws_labels_uniformly_and_the_rest_by_weight():
    pool = np.arange(10, 40)
    weights = np.linspace(0, 1, 30)
    sizes = _sizes(14, 4, 100.0)
    known, drawn = two_streams(np.arange(10), pool, weights, sizes, np.random.default_rng(3))
    assert len(known) == len(drawn) == 300
    assert (np.bincount(known.ravel()) == 120).all()  # exactly: 300 × 4 / 10
    counts = np.bincount(drawn.ravel(), minlength=40)[10:]
    assert counts[0] == 0
    assert chisquare(counts[1:], 3000 * weights[1:] / weights.sum()).pvalue > 0.01


def test_two_streams_of_one_seed_are_equal():
    sizes = _sizes(5, 2, 0.5)
    first, second = (
        two_streams(np.arange(3), np.arange(3, 20), np.ones(17), sizes, np.random.default_rng(1))
        for _ in range(2)
    )
    for ids, same in zip(first, second, strict=True):
        np.testing.assert_array_equal(ids, same)


@pytest.mark.parametrize("n_pool", [0, 4])
def test_two_streams_without_weight_has_no_batches(n_pool):
    sizes = _sizes(5, 2, 0.5)
    rest = np.arange(3, 3 + n_pool), np.zeros(n_pool)
    known, drawn = two_streams(np.arange(3), *rest, sizes, np.random.default_rng(0))
    assert known.shape == (0, 2)
    assert drawn.shape == (0, 3)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_two_streams_refuses_weights_that_are_none(weight):
    with pytest.raises(ValueError, match="weights"):
        two_streams(
            np.arange(2), np.array([2]), np.array([weight]), _sizes(3, 1, 1.0),
            np.random.default_rng(0),
        )  # fmt: skip


def test_two_streams_refuses_an_empty_label_set():
    with pytest.raises(ValueError, match="no labelled images"):
        two_streams(
            np.zeros(0, int), np.arange(2), np.ones(2), _sizes(3, 1, 1.0),
            np.random.default_rng(0),
        )  # fmt: skip


def test_uniform_over_clusters_gives_clusters_equal_shares():
    assignments = np.repeat([0, 2, 5], [80, 15, 5])
    drawn = uniform_over_clusters(assignments, np.random.default_rng(0))
    assert drawn.shape == (100,)
    counts = np.bincount(assignments[drawn])[[0, 2, 5]]
    # 34 each, shuffled, and 2 of the 102 cut off.
    assert counts.sum() == 100
    assert counts.min() >= 32
    assert counts.max() <= 34
    of_the_largest = drawn[assignments[drawn] == 0]
    assert len(set(of_the_largest)) == len(of_the_largest)  # it has enough without replacement


def test_uniform_over_clusters_of_nothing_is_empty():
    assert uniform_over_clusters(np.zeros(0, int), np.random.default_rng(0)).shape == (0,)
