"""Arrays without their zeros, and their rounding to float16."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.artifacts.sparse import Sparse, to_half


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000])
@pytest.mark.parametrize("density", [0.0, 0.1, 1.0])
def test_sparse_gives_back_every_bit(size: int, density: float) -> None:
    generator = np.random.default_rng(size)
    flat = generator.standard_normal(size).astype(np.float32)
    flat[generator.random(size) >= density] = 0
    if size:
        flat[0] = -0.0
    sparse = Sparse.of(flat)
    assert sparse.dense().tobytes() == flat.tobytes()
    assert sparse.nbytes == -(-size // 8) + 4 * np.count_nonzero(flat.view(np.int32))


def test_sparse_bits_begin_with_the_highest() -> None:
    sparse = Sparse.of(np.array([5, 0, 0, 0, 0, 0, 0, 0, 0, 7], np.float32))
    assert sparse.bits.tolist() == [0b10000000, 0b01000000]
    assert sparse.values.tolist() == [5, 7]


@pytest.mark.parametrize(
    ("bits", "values", "size"), [([255], 7, 8), ([255], 9, 8), ([255], 8, 9), ([255, 0], 8, 8)]
)
def test_sparse_that_does_not_fit_together_is_refused(
    bits: list[int], values: int, size: int
) -> None:
    with pytest.raises(ValueError, match="bits"):
        Sparse(np.array(bits, np.uint8), np.ones(values, np.float32), size).dense()


@pytest.mark.parametrize("largest", [1e-45, 1e-38, 1e-6, 1.0, 3.0, 65504.0, 65520.0, 1e6, 3.4e38])
def test_half_keeps_its_tolerance_at_every_size(largest: float) -> None:
    values = np.float32(largest) * np.random.default_rng(0).random(10_000, dtype=np.float32) ** 8
    values = np.append(values, np.float32(largest)).astype(np.float32)
    rounded, unit = to_half(values)
    assert rounded.dtype == np.float16
    assert np.log2(unit) == round(np.log2(unit))
    assert np.isfinite(rounded).all()
    back = rounded.astype(np.float64) * np.float64(np.float32(unit))
    exact = values.astype(np.float64)
    allowed = np.maximum(exact * 2.0**-11, exact.max() * 2.0**-39)
    # Below the normal numbers of float32 the unit cannot follow.
    assert (np.abs(back - exact) <= np.maximum(allowed, 2.0**-151)).all()


def test_half_of_nothing_and_of_zeros() -> None:
    for values in (np.zeros(0, np.float32), np.zeros(3, np.float32)):
        rounded, unit = to_half(values)
        assert rounded.tolist() == values.tolist()
        assert 0 < unit < np.inf
