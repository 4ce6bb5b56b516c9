"""Vectors in registers against NumPy."""

import numpy as np
import pytest
from numba import njit
from numba.core.errors import TypingError

from rrtool.core.lanes import load, store, subtract_product


@njit
def _subtract(first, factor, second, i, column, result):
    store(
        result,
        i,
        column,
        subtract_product(load(8, first, i, column), factor, load(8, second, 0, 2)),
    )


@pytest.fixture
def rows() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    return generator.random((3, 13), dtype=np.float32), generator.random((2, 10), dtype=np.float32)


def test_lanes_are_those_of_their_row_and_columns(rows):
    first, second = rows
    result = np.zeros_like(first)
    _subtract(first, np.float32(0.3), second, 1, 5, result)
    expected = np.zeros_like(first)
    expected[1, 5:] = first[1, 5:] - np.float32(0.3) * second[0, 2:]
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("wrong", [np.zeros((2, 9)), np.zeros((9, 2), np.float32).T, np.zeros(9)])
def test_lanes_are_of_contiguous_float32_matrices_alone(rows, wrong):
    with pytest.raises(TypingError):
        _subtract(wrong, np.float32(1), rows[1], 0, 0, rows[0])
