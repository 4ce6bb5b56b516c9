"""The expected gain against curves whose law is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress

from rrtool.core.learning.learning_curve import expected_gain


def test_expected_gain_of_an_exact_power_law_is_exact():
    n = np.array([10, 20, 40, 80])
    found = expected_gain(n.tolist(), (1 - 2 * n**-0.5).tolist(), 160, 10_000)
    assert found is not None
    exact = 2 * 80**-0.5 - 2 * 160**-0.5
    assert found.expected == pytest.approx(exact)
    assert found.low == pytest.approx(exact)
    assert found.high == pytest.approx(exact)


def test_expected_gain_is_the_regression_in_logarithms():
    n, accuracy = [16, 40, 80, 160], [0.6, 0.8, 0.83, 0.93]
    found = expected_gain(n, accuracy, 200, 1000)
    line = linregress(np.log(n), np.log(1 - np.array(accuracy)))
    error = np.exp(line.intercept + line.slope * np.log([160, 200]))
    assert found is not None
    assert found.expected == pytest.approx(error[0] - error[1])
    assert found.low < found.expected < found.high


def test_expected_gain_is_in_its_interval_as_often_as_it_says():
    generator, n = np.random.default_rng(0), np.array([10, 20, 40, 80, 160])
    hits = 0
    for _ in range(400):
        errors = np.exp(0.5 - 0.7 * np.log(n) + 0.2 * generator.normal(size=5))
        found = expected_gain(n[:4].tolist(), (1 - errors[:4]).tolist(), 160, 10_000)
        assert found is not None
        x = np.log(n[:4])
        slope, start = np.polyfit(x, np.log(errors[:4]), 1)
        now = np.exp(start + slope * x[-1])
        hits += found.low <= now - errors[4] <= found.high
    assert 0.74 < hits / 400 < 0.86


@pytest.mark.parametrize(("n", "accuracy"), [([], []), ([5, 9], [0.5, 0.6]), ([5, 5, 9], [1] * 3)])
def test_expected_gain_needs_three_points(n, accuracy):
    assert expected_gain(n, accuracy, 20, 100) is None


def test_expected_gain_of_a_perfect_or_a_falling_curve_is_nothing_below_zero():
    perfect = expected_gain([5, 10, 20], [1, 1, 1], 40, 100)
    assert perfect is not None
    assert perfect.expected == pytest.approx(0)
    falling = expected_gain([5, 10, 20], [0.9, 0.8, 0.7], 40, 100)
    assert falling is not None
    assert falling.expected == pytest.approx(0)
