"""Verified lists of neighbours against plain loops, and the pairs drawn for what chance gives."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from rrtool.core.diffusion.verified_lists import Pairs, chance_of, verified_lists

# 0 and 1 list each other; 1 lists 2; 3 lists 0; 4 lists nobody.
LISTS = np.array([[1, -1], [0, 2], [-1, -1], [0, -1], [-1, -1]], dtype=np.int32)


def random_lists(n: int, k: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    lists = [generator.choice(np.delete(np.arange(n), i), k, replace=False) for i in range(n)]
    return np.array(lists, dtype=np.int32)


def plain_pairs(lists: np.ndarray) -> list[list[int]]:
    found = {tuple(sorted((i, int(j)))) for i, row in enumerate(lists) for j in row if j >= 0}
    return [list(pair) for pair in sorted(found)]


@pytest.mark.parametrize("lists", [LISTS, random_lists(40, 6), LISTS[2:3], LISTS[:0]])
def test_pairs_are_there_once_whoever_lists_them(lists: np.ndarray) -> None:
    assert Pairs.of_lists(lists).ends.tolist() == plain_pairs(lists)


def test_spread_gives_both_lists_of_a_pair_its_value() -> None:
    lists = random_lists(30, 5)
    pairs = Pairs.of_lists(lists)
    values = np.arange(1, len(pairs) + 1, dtype=np.int32)
    known = dict(zip(map(tuple, pairs.ends.tolist()), values.tolist(), strict=True))
    found = pairs.spread(values, lists)
    assert found.dtype == np.int32
    for i, row in enumerate(lists.tolist()):
        assert found[i].tolist() == [known[min(i, j), max(i, j)] for j in row]
    assert pairs.spread(values, np.full((30, 2), -1, np.int32)).tolist() == [[0, 0]] * 30
    nothing = Pairs.of_lists(LISTS[2:3])
    assert nothing.spread(np.zeros(0, np.int32), LISTS[2:3]).tolist() == [[0, 0]]


@pytest.mark.parametrize(("n", "n_pairs"), [(12, 1000), (12, 20), (400, 1000), (2, 5), (1, 5)])
def test_others_are_pairs_of_vertices_that_do_not_list_each_other(n: int, n_pairs: int) -> None:
    k = min(4, n - 1)
    lists = np.concatenate([random_lists(n, k), np.full((3, k), -1, np.int32)])  # 3 no vertices
    pairs = Pairs.of_lists(lists)
    found = [tuple(pair) for pair in pairs.others(np.arange(n), n_pairs, 0).ends.tolist()]
    possible = set(combinations(range(n), 2)) - set(map(tuple, pairs.ends.tolist()))
    assert set(found) <= possible
    assert len(set(found)) == len(found) == min(n_pairs, len(possible))
    again = pairs.others(np.arange(n), n_pairs, 0)
    assert again.ends.tolist() == list(map(list, found))


def test_others_of_no_vertices_are_none() -> None:
    assert len(Pairs.of_lists(LISTS).others(np.zeros(0, np.int64), 10, 0)) == 0


def test_chance_is_told_from_what_matches() -> None:
    """Of 1000 neighbours 600 are like 2000 that were drawn, and 400 have more inliers."""
    generator = np.random.default_rng(0)
    drawn = generator.poisson(5, 2000)
    is_true = np.arange(1000) < 400
    listed = np.where(is_true, generator.poisson(20, 1000), generator.poisson(5, 1000))
    found = chance_of(listed, drawn)
    assert found.share == pytest.approx(0.6, abs=0.05)
    kept = listed > found.level
    assert 0.02 < 1 - is_true[kept].mean() < 0.08  # a twentieth is chance
    assert is_true[listed > found.level - 1].mean() < is_true[kept].mean()
    assert chance_of(listed, drawn, most=0.3).level < found.level


def test_chance_by_hand() -> None:
    """Of the drawn 2 of 4 are at the median or below, of the listed 1 and one more of 4 and one.

    The share is (2/5) / (1/2) = 4/5. Above 2 there are 1 and one more of 4 drawn and one, and 3 of
    4 listed: 4/5 · 2/5 ≤ most · 3/4 from 0.43 on; above 5 no drawn, 4/5 · 1/5 ≤ most · 3/4.
    """
    drawn, listed = np.array([0, 1, 2, 5]), np.array([1, 6, 7, 9])
    found = chance_of(listed, drawn, most=0.25)
    assert found.share == pytest.approx(0.8)
    assert found.level == 5
    assert chance_of(listed, drawn, most=0.45).level == 2
    assert chance_of(listed, drawn, most=0.2).level == 9  # none has more


@pytest.mark.parametrize("drawn", [[], [3], [2, 4, 3]])
def test_few_pairs_prove_nothing(drawn: list[int]) -> None:
    listed = np.array([30, 40, 50])
    found = chance_of(listed, np.array(drawn, dtype=np.int64))
    assert not (listed > found.level).any()
    assert chance_of(np.zeros(0, np.int64), np.array(drawn, dtype=np.int64)).level == 0


def test_all_equal_is_chance() -> None:
    found = chance_of(np.full(50, 7), np.full(1000, 7))
    assert found.share == 1
    assert found.level == 7


def test_verified_lists_keep_what_has_more_inliers_in_its_order() -> None:
    lists = random_lists(50, 7)
    generator = np.random.default_rng(1)
    lists[generator.random(lists.shape) < 0.1] = -1
    similarities = np.sort(generator.random(lists.shape).astype(np.float32))[:, ::-1]
    counts = generator.integers(0, 12, lists.shape, dtype=np.int32)
    ids, values, inliers = verified_lists(lists, similarities, counts, 5)
    assert (ids.dtype, values.dtype, inliers.dtype) == (np.int32, np.float32, np.int32)
    for row in range(50):
        kept = [a for a in range(7) if lists[row, a] >= 0 and counts[row, a] > 5]
        rest = 7 - len(kept)
        assert ids[row].tolist() == [*lists[row, kept], *[-1] * rest]
        assert values[row].tolist() == [*similarities[row, kept], *[0] * rest]
        assert inliers[row].tolist() == [*counts[row, kept], *[0] * rest]


def test_gathered_values_are_the_largest_of_both_lists():
    lists = np.array([[1, 2], [0, -1], [-1, -1], [0, 1]], np.int32)
    values = np.array([[5, 3], [4, 9], [9, 9], [2, 7]], np.int32)
    pairs = Pairs.of_lists(lists)
    assert pairs.ends.tolist() == [[0, 1], [0, 2], [0, 3], [1, 3]]
    assert pairs.gathered(values, lists).tolist() == [5, 3, 2, 7]
    back = pairs.spread(pairs.gathered(values, lists), lists)
    assert back.tolist() == [[5, 3], [5, 0], [0, 0], [2, 7]]
    none = np.full((2, 1), -1, np.int32)
    assert Pairs.of_lists(none).gathered(none, none).shape == (0,)
