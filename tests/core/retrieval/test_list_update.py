"""Lists of the most similar rows, updated: what sorting everything gives, or told to be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.retrieval.list_update import update_lists


def _best(scores: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of one query by sorting everything; −inf is nothing."""
    ids = np.lexsort((np.arange(len(scores)), -scores))[:n].astype(np.int32)
    values = scores[ids]
    ids[values == -np.inf] = -1
    pad = (0, n - len(ids))
    return np.pad(ids, pad, constant_values=-1), np.pad(values, pad, constant_values=-np.inf)


@pytest.mark.parametrize("seed", range(60))
def test_updated_lists_are_right_wherever_they_say_so(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n_old, n_new, length, n_before = generator.integers(0, 12, 4)
    length, n_before = length + 1, n_before + 1
    # Few different values, so that many tie.
    scores = generator.integers(0, 6, n_old + n_new).astype(np.float32)
    is_gone = generator.random(n_old) < 0.2
    before = _best(scores[:n_old], n_before)
    bound = -np.inf if n_old <= n_before else before[1][-1]
    ids = np.array([-1 if i < 0 or is_gone[i] else i for i in before[0]], np.int32)
    now = np.where(np.append(is_gone, np.zeros(n_new, bool)), -np.inf, scores).astype(np.float32)
    new = _best(scores[n_old:], min(length, n_new))
    kept = ids[None], before[1][None].astype(np.float32)
    candidates = np.where(new[0] < 0, -1, new[0] + n_old)[None], new[1][None]
    found, values, is_right = update_lists(kept, np.array([bound]), candidates, length)
    expected = _best(now, length)
    assert found.shape == values.shape == (1, length)
    if is_right[0]:
        np.testing.assert_array_equal(values[0], expected[1])
        np.testing.assert_array_equal(np.append(now, -np.inf)[found], values)
        assert len({*found[found >= 0]}) == (found >= 0).sum()
    elif n_old <= n_before:
        raise AssertionError("a list of all rows is always right")
    if not is_gone.any() and length <= n_before:
        assert is_right[0]


def test_updated_lists_without_what_was_lost_are_wrong() -> None:
    kept = np.array([[3, -1], [4, 5]]), np.array([[0.9, 0.8], [0.9, 0.8]])
    none = np.zeros((2, 0), np.int32), np.zeros((2, 0))
    assert update_lists(kept, np.array([0.8, 0.8]), none, 2)[2].tolist() == [False, True]
    new = np.array([[7], [7]]), np.array([[0.85], [0.1]])
    ids, _, is_right = update_lists(kept, np.array([0.8, 0.8]), new, 2)
    assert is_right.all()
    assert ids.tolist() == [[3, 7], [4, 5]]


def test_updated_lists_of_unknown_ones_are_wrong() -> None:
    none = np.zeros((1, 0), np.int32), np.zeros((1, 0))
    assert not update_lists(none, np.array([np.inf]), none, 1)[2].any()
    assert update_lists(none, np.array([-np.inf]), none, 1)[2].all()
