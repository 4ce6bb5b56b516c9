"""The rows of the parts that a stage writes."""

from __future__ import annotations

import pytest

from rrtool.stages.amount import parts_of


@pytest.mark.parametrize(
    ("n_rows", "n_parts", "largest"),
    [
        (0, 0, 0), (1, 1, 1), (32, 1, 32), (33, 2, 32), (32_000, 1000, 32),
        (32_001, 970, 33), (999_999, 1000, 1000), (1_000_000, 1000, 1000), (5_000_001, 1000, 5001),
    ],
)  # fmt: skip
def test_parts_grow_with_the_collection(n_rows: int, n_parts: int, largest: int) -> None:
    parts = parts_of(n_rows)
    assert len(parts) == n_parts
    assert [row for part in parts for row in part] == list(range(n_rows))
    assert all(len(part) == largest for part in parts[:-1])
    assert max(map(len, parts), default=0) == largest


def test_parts_of_a_given_size() -> None:
    assert parts_of(1_000_000, 8192)[1] == range(8192, 16_384)
