"""Pairs of groups, and hard negatives against a plain loop over a sorted pool."""

import numpy as np
import pytest

from rrtool.core.retrieval.tuples import draw_pairs, hard_negatives


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("n_pairs", [1, 4, 5, 23])
def test_draw_pairs_are_of_one_group_and_take_each_query_in_turn(n_pairs):
    groups = np.array([3, 0, 3, 7, 0, -1, 3, -1], np.int32)  # 7 is alone, and −1 is no group
    pairs = draw_pairs(groups, n_pairs, _rng())
    assert pairs.dtype == np.int32
    assert pairs.shape == (n_pairs, 2)
    assert (groups[pairs[:, 0]] == groups[pairs[:, 1]]).all()
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert set(pairs.ravel()) <= {0, 1, 2, 4, 6}
    times = np.bincount(pairs[:, 0], minlength=8)[[0, 1, 2, 4, 6]]
    assert times.max() - times.min() <= 1


def test_draw_pairs_draw_every_positive_as_often():
    pairs = draw_pairs(np.array([5, 1, 5, 5, 1]), 6000, _rng())
    counts = np.zeros((5, 5), int)
    np.add.at(counts, (pairs[:, 0], pairs[:, 1]), 1)
    assert (counts[[1, 4], [4, 1]] == 1200).all()
    of_three = counts[np.ix_([0, 2, 3], [0, 2, 3])][~np.eye(3, dtype=bool)]
    assert np.abs(of_three - 600).max() < 5 * np.sqrt(1200 / 4)


def test_draw_pairs_of_equal_generators_are_equal():
    groups = _rng(3).integers(0, 9, 60)
    first, second = (draw_pairs(groups, 100, _rng(4)) for _ in range(2))
    assert (first == second).all()
    assert (first != draw_pairs(groups, 100, _rng(5))).any()


@pytest.mark.parametrize("groups", [[], [4], [0, 1, 2], [-1, -1]])
def test_draw_pairs_of_no_group_of_two_are_none(groups):
    assert draw_pairs(np.array(groups, np.int32), 5, _rng()).shape == (0, 2)


def _by_hand(similarities: np.ndarray, group: int, groups: np.ndarray, n: int) -> list[int]:
    """As the framework does: down the sorted pool, passing over groups that are taken."""
    taken, rows = {group}, []
    for row in sorted(range(len(groups)), key=lambda row: (-similarities[row], row)):
        if groups[row] >= 0 and groups[row] not in taken and len(rows) < n:
            taken.add(groups[row])
            rows.append(row)
    return rows + [-1] * (n - len(rows))


@pytest.mark.parametrize("n_groups", [1, 3, 6, 40, 400])
def test_hard_negatives_equal_a_loop_over_the_sorted_pool(n_groups):
    rng = _rng(n_groups)
    # Of whole numbers products are exact, and many are equal.
    queries, pool = (rng.integers(-2, 3, (size, 4)).astype(np.float32) for size in (30, 400))
    query_groups, groups = (rng.integers(-1, n_groups, size) for size in (30, 400))
    found = hard_negatives(queries, query_groups, pool, groups, 5)
    wanted = [
        _by_hand(pool @ query, group, groups, 5)
        for query, group in zip(queries, query_groups, strict=True)
    ]
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, wanted)


def test_hard_negatives_in_blocks_of_queries_are_the_same(monkeypatch):
    rng = _rng()
    arguments = (
        rng.normal(size=(7, 3)).astype(np.float32), rng.integers(0, 4, 7),
        rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 9, 50), 3,
    )  # fmt: skip
    whole = hard_negatives(*arguments)
    monkeypatch.setattr("rrtool.core.retrieval.tuples._BLOCK_BYTES", 2 * 4 * 50)
    np.testing.assert_array_equal(hard_negatives(*arguments), whole)


def test_hard_negatives_leave_out_what_is_no_number():
    pool = np.array([[1, 0], [np.nan, 0], [0.5, 0]], np.float32)
    found = hard_negatives(pool[:1], np.array([0]), pool, np.array([1, 2, 3]), 3)
    assert found.tolist() == [[0, 2, -1]]
    lost = hard_negatives(pool[1:2], np.array([0]), pool, np.array([1, 2, 3]), 2)
    assert lost.tolist() == [[-1, -1]]


def test_hard_negatives_of_no_queries_or_no_pool():
    none, some = np.zeros((0, 2), np.float32), np.ones((3, 2), np.float32)
    no_group, groups = np.zeros(0, int), np.arange(3)
    assert hard_negatives(none, no_group, some, groups, 5).shape == (0, 5)
    assert (hard_negatives(some, groups, none, no_group, 5) == -1).all()
    assert hard_negatives(some, groups, some, groups, 0).shape == (3, 0)
