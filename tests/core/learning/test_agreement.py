"""Agreement of pseudo-labels by hand, and ranks against SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from rrtool.core.learning.agreement import (
    acquisition_ranks,
    measure_agreement,
    rank_correlation,
    weighted_accuracy,
)


def test_weighted_accuracy_hand_worked() -> None:
    assert weighted_accuracy([1, 2, 3], [1, 0, 3], [1, 1, 2]) == pytest.approx(0.75)
    assert weighted_accuracy([1, 2], [1, 0], [0, 1]) == 0
    assert np.isnan(weighted_accuracy([1], [1], [0]))
    assert np.isnan(weighted_accuracy([], [], []))
    with pytest.raises(ValueError):
        weighted_accuracy([1], [1], [-1])


def test_measure_agreement_hand_worked() -> None:
    own, reference, truth = [0, 1, 2, 0], [0, 1, 1, 1], [0, 0, 2, 1]
    found = measure_agreement(
        (np.array(own), np.array(reference)),
        (np.array([1, 0.5, 0.2, 0]), np.array([1, 0.5, 0.4, 0.2])),
        np.array(truth),
    )  # mean weights 1, .5, .3, .1: they agree on the first two
    assert found["n_images"] == 4
    assert found["share"] == 0.5
    assert found["weighted"] == pytest.approx(1.5 / 1.9)
    assert found["accuracy"] == pytest.approx(1.3 / 1.9)
    assert found["accuracy_reference"] == pytest.approx(1.1 / 1.9)
    assert found["accuracy_agree"] == pytest.approx(1 / 1.5)
    assert found["accuracy_disagree"] == pytest.approx(0.3 / 0.4)
    assert found["accuracy_disagree_reference"] == pytest.approx(0.1 / 0.4)
    assert found["weight_agree"] == pytest.approx(0.75)
    assert found["weight_disagree"] == pytest.approx(0.2)


@pytest.mark.parametrize("n", [0, 3])
def test_measure_agreement_of_equal_or_no_images(n: int) -> None:
    labels, weights = np.arange(n), np.ones(n)
    found = measure_agreement((labels, labels), (weights, weights), labels)
    assert found["n_images"] == n
    assert np.isnan(found["weight_disagree"])
    assert np.isnan(found["accuracy_disagree"])
    if n:
        assert (
            found["share"],
            found["weighted"],
            found["accuracy_agree"],
            found["weight_agree"],
        ) == (1,) * 4
    else:
        assert np.isnan(list(found.values())[1:]).all()


@settings(max_examples=80, deadline=None)
@given(n=st.integers(2, 40), levels=st.integers(2, 50), seed=st.integers(0, 1000))
def test_rank_correlation_equals_scipy(n: int, levels: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, (2, n))
    found = rank_correlation(*map(acquisition_ranks, scores))
    if any(len(set(side)) == 1 for side in scores.tolist()):
        assert np.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(*scores).statistic, abs=1e-12)


def test_acquisition_ranks_hand_worked() -> None:
    np.testing.assert_array_equal(acquisition_ranks(np.array([0.1, 5, 5, -1])), [3, 1.5, 1.5, 4])
    assert acquisition_ranks(np.array([])).shape == (0,)
    assert np.isnan(rank_correlation(np.array([1.0]), np.array([1.0])))
