"""Vectors in registers against NumPy."""

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from rrtool.core.lanes import add_product, load, repeat, store


@njit
def _add(first, factor, second, i, column, result):
    total = add_product(load(8, first, i, column), factor, load(8, second, 0, 2))
    store(result, i, column, total)


@njit
def _fill(number, result):
    store(result, 1, 3, repeat(4, number))


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.random((3, 13), dtype=np.float32), generator.random((2, 10), dtype=np.float32)


def test_lanes_are_those_of_their_row_and_columns(rows):
    first, second = rows
    result = np.zeros_like(first)
    _add(first, np.float32(0.3), second, 1, 5, result)
    expected = np.zeros_like(first)
    expected[1, 5:] = first[1, 5:] + np.float32(0.3) * second[0, 2:]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-7)


def test_repeat_is_the_same_number_in_each_lane():
    result = np.zeros((2, 8), np.float32)
    _fill(0.1, result)
    np.testing.assert_array_equal(result, [[0] * 8, [0] * 3 + [np.float32(0.1)] * 4 + [0]])


@pytest.mark.parametrize("wrong", [np.zeros((2, 9)), np.zeros((9, 2), np.float32).T, np.zeros(9)])
def test_lanes_are_of_contiguous_float32_matrices_alone(rows, wrong):
    with pytest.raises(TypingError):
        _add(wrong, np.float32(1), rows[1], 0, 0, rows[0])
