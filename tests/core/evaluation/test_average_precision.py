"""Average precision against a plain walk along the list, hand-worked cases and properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rrtool.core.evaluation.average_precision import (
    average_precision,
    micro_average_precision,
    precision_at,
    ranks_without_junk,
    recall_at,
    truncated_average_precision,
)

# One entry of a ranked list: positive, junk, or neither.
LISTS = st.lists(st.sampled_from("+j-"), max_size=40)


def walk(entries, n_positives, cutoffs=()):
    """The protocol told as the original C++ program does: image by image, junk skipped.

    Returns the AP and the precisions; nothing here knows of ranks or of arrays.
    """
    area, old_recall, old_precision, n_seen, n_hits = 0.0, 0.0, 1.0, 0, 0
    clean = []
    for entry in entries:
        if entry == "j":
            continue
        clean.append(entry)
        n_seen += 1
        if entry == "+":
            n_hits += 1
        recall, precision = n_hits / n_positives, n_hits / n_seen
        area += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    precisions = []
    for k in cutoffs:
        if clean.count("+") == n_positives:
            while clean[-1] != "+":
                clean.pop()
        depth = min(k, len(clean)) if clean.count("+") == n_positives else k
        precisions.append(clean[:depth].count("+") / depth)
    return area, precisions


def revisited_code(ranks, n_positives, cutoffs):
    """Literally the loop of the revisited benchmarks' `compute_ap` and its precisions."""
    ap, recall_step = 0.0, 1.0 / n_positives
    for j in range(len(ranks)):
        rank = ranks[j]
        precision_0 = 1.0 if rank == 0 else float(j) / rank
        precision_1 = float(j + 1) / (rank + 1)
        ap += (precision_0 + precision_1) * recall_step / 2.0
    pos = np.asarray(ranks) + 1
    kqs = [min(max(pos), k) for k in cutoffs]
    return ap, [(pos <= kq).sum() / kq for kq in kqs]


def scores(entries, n_positives, cutoffs=(1, 5, 10)):
    entries = np.array(list(entries), dtype="U1")
    found = ranks_without_junk(entries == "+", entries == "j")
    return average_precision(found, n_positives), precision_at(found, n_positives, cutoffs)


def test_average_precision_equals_the_walk_on_random_lists():
    rng = np.random.default_rng(0)
    for _ in range(4000):
        entries = rng.choice(list("+j-"), size=rng.integers(0, 60), p=rng.dirichlet([1, 1, 1]))
        n_positives = int((entries == "+").sum() + rng.choice([0, 0, 1, 5]))
        if n_positives == 0:
            continue
        ap, precisions = scores(entries, n_positives)
        wanted_ap, wanted_precisions = walk(entries, n_positives, (1, 5, 10))
        assert ap == pytest.approx(wanted_ap, rel=0, abs=1e-12)
        np.testing.assert_allclose(precisions, wanted_precisions, rtol=0, atol=1e-12)


def test_complete_rankings_equal_the_revisited_code():
    rng = np.random.default_rng(1)
    for _ in range(1000):
        n_ranked = int(rng.integers(1, 80))
        ranks = np.sort(rng.choice(n_ranked, rng.integers(1, n_ranked + 1), replace=False))
        wanted_ap, wanted_precisions = revisited_code(ranks, len(ranks), (1, 5, 10))
        assert average_precision(ranks, len(ranks)) == pytest.approx(wanted_ap, rel=0, abs=1e-12)
        np.testing.assert_allclose(
            precision_at(ranks, len(ranks), (1, 5, 10)), wanted_precisions, rtol=0, atol=1e-12
        )


@pytest.mark.parametrize(
    ("entries", "n_positives", "wanted"),
    [
        # + at 1: (1 + 1)/2 · 1/2; + at 3: (1/2 + 2/3)/2 · 1/2 -> 1/2 + 7/24
        ("+-+", 2, 19 / 24),
        # + at 2: (0/1 + 1/2)/2 · 1
        ("-+", 1, 1 / 4),
        # as "+-+": junk takes no rank, wherever it lies
        ("j+j-jj+j", 2, 19 / 24),
        # one of two positives is never ranked: only the first half of the area
        ("+-", 2, 1 / 2),
        ("---", 3, 0.0),
        ("", 3, 0.0),
    ],
)
def test_average_precision_hand_worked(entries, n_positives, wanted):
    assert scores(entries, n_positives)[0] == pytest.approx(wanted, rel=0, abs=1e-15)


@pytest.mark.parametrize(
    ("entries", "n_positives", "wanted"),
    [
        # last positive at 3: precisions at 1, min(5, 3), min(10, 3)
        ("+-+--------", 2, [1, 2 / 3, 2 / 3]),
        # last positive at 1
        ("+----------", 1, [1, 1, 1]),
        # last positive at 7: at 1, 5, 7
        ("-+----+----", 2, [0, 1 / 5, 2 / 7]),
        # a positive is missing, so its rank is beyond the end: at 1, 5, 10
        ("+-+--------", 3, [1, 2 / 5, 2 / 10]),
        ("jj+", 2, [1, 1 / 5, 1 / 10]),
        ("", 1, [0, 0, 0]),
    ],
)
def test_precision_at_hand_worked(entries, n_positives, wanted):
    np.testing.assert_allclose(scores(entries, n_positives)[1], wanted, rtol=0, atol=1e-15)


def test_no_positive_is_nan():
    ap, precisions = scores("--j-", 0)
    assert np.isnan(ap)
    assert precisions.shape == (3,)
    assert np.isnan(precisions).all()


def test_ranks_without_junk_takes_an_entry_that_is_both_for_junk():
    is_positive = np.array([True, False, True, True])
    is_junk = np.array([True, False, False, False])
    np.testing.assert_array_equal(ranks_without_junk(is_positive, is_junk), [1, 2])


@pytest.mark.parametrize("ranks", [[-1, 2], [2, 2], [3, 1]])
def test_invalid_ranks_are_refused(ranks):
    with pytest.raises(ValueError, match="strictly increasing"):
        average_precision(np.array(ranks), 5)
    with pytest.raises(ValueError, match="strictly increasing"):
        precision_at(np.array(ranks), 5, (1,))


def test_more_ranks_than_positives_are_refused():
    with pytest.raises(ValueError, match="2 positives are ranked, but there are 1"):
        average_precision(np.array([0, 1]), 1)


def test_a_cutoff_below_one_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        precision_at(np.array([0]), 1, (1, 0))


@settings(deadline=None)
@given(LISTS, st.integers(0, 5))
def test_scores_lie_between_zero_and_one(entries, n_unranked):
    n_positives = entries.count("+") + n_unranked
    if n_positives:
        ap, precisions = scores(entries, n_positives)
        assert 0 <= ap <= 1 + 1e-12
        assert ((precisions >= 0) & (precisions <= 1)).all()


@settings(deadline=None)
@given(st.integers(1, 30), st.integers(0, 30), st.integers(0, 5))
def test_a_perfect_ranking_scores_one(n_positives, n_others, n_junk):
    ap, precisions = scores("j" * n_junk + "+" * n_positives + "-" * n_others, n_positives)
    assert ap == pytest.approx(1, rel=0, abs=1e-12)
    np.testing.assert_array_equal(precisions, 1)


@settings(deadline=None)
@given(LISTS.filter(lambda entries: "+" in entries), st.data())
def test_moving_a_positive_up_never_lowers_average_precision(entries, data):
    where = data.draw(st.sampled_from([i for i, entry in enumerate(entries) if entry == "+"]))
    target = data.draw(st.integers(0, where))
    moved = entries[:where] + entries[where + 1 :]
    moved.insert(target, "+")
    n_positives = entries.count("+")
    assert scores(moved, n_positives)[0] >= scores(entries, n_positives)[0] - 1e-12


@settings(deadline=None)
@given(LISTS.filter(lambda entries: "+" in entries), st.data())
def test_inserting_junk_changes_nothing(entries, data):
    with_junk = list(entries)
    for at in data.draw(st.lists(st.integers(0, len(entries)), max_size=5)):
        with_junk.insert(at, "j")
    n_positives = entries.count("+")
    ap, precisions = scores(entries, n_positives)
    ap_with, precisions_with = scores(with_junk, n_positives)
    assert ap_with == ap
    np.testing.assert_array_equal(precisions_with, precisions)


@settings(deadline=None)
@given(st.lists(st.sampled_from("+-"), min_size=10, max_size=40), st.integers(10, 40))
def test_cutting_the_list_beyond_k_does_not_change_the_precision(entries, length):
    n_positives = entries.count("+")
    if n_positives:
        np.testing.assert_array_equal(
            scores(entries[:length], n_positives)[1], scores(entries, n_positives)[1]
        )


# --- scores of the first k entries, and of all pairs ----------------------------------------------


def counted_at(entries, n_positives, k):
    """AP@k and recall@k by looking at one entry after the other."""
    area, n_hits = 0.0, 0
    clean = [entry for entry in entries if entry != "j"]
    for place, entry in enumerate(clean[:k], start=1):
        if entry == "+":
            n_hits += 1
            area += n_hits / place
    return area / min(k, n_positives), n_hits / n_positives


def test_scores_of_the_first_entries_equal_counting():
    rng = np.random.default_rng(5)
    for _ in range(500):
        entries = rng.choice(list("+j-"), size=rng.integers(0, 30), p=rng.dirichlet([1, 1, 1]))
        n = int((entries == "+").sum() + rng.choice([0, 1, 5]))
        found = ranks_without_junk(entries == "+", entries == "j")
        cutoffs = [1, 2, 7, 100]
        if n == 0:
            assert np.isnan(truncated_average_precision(found, n, cutoffs)).all()
            assert np.isnan(recall_at(found, n, cutoffs)).all()
            continue
        expected = [counted_at(entries, n, k) for k in cutoffs]
        aps, recalls = zip(*expected, strict=True)
        np.testing.assert_allclose(truncated_average_precision(found, n, cutoffs), aps, atol=1e-12)
        np.testing.assert_allclose(recall_at(found, n, cutoffs), recalls, atol=1e-12)


def test_scores_of_the_first_entries_hand_worked():
    # "+-+" of 3 positives: AP@1 = 1/1, AP@2 = 1/2, AP@5 = (1 + 2/3)/3.
    found = np.array([0, 2])
    np.testing.assert_allclose(
        truncated_average_precision(found, 3, (1, 2, 5)), [1, 1 / 2, 5 / 9], rtol=1e-15
    )
    np.testing.assert_allclose(recall_at(found, 3, (1, 2, 5)), [1 / 3, 1 / 3, 2 / 3], rtol=1e-15)
    for function in (truncated_average_precision, recall_at):
        with pytest.raises(ValueError, match="at least 1"):
            function(found, 3, (0,))


def test_micro_average_precision_equals_a_walk_over_thresholds():
    rng = np.random.default_rng(6)
    for _ in range(300):
        n = int(rng.integers(1, 40))
        scores = rng.integers(-3, 4, n) / 2 if rng.random() < 0.5 else rng.standard_normal(n)
        right = rng.random(n) < rng.random()
        n_positives = int(right.sum()) + int(rng.integers(0, 4))
        if n_positives == 0:
            continue
        area, old_recall = 0.0, 0.0
        for threshold in sorted(set(scores.tolist()), reverse=True):
            kept = [bool(r) for r, s in zip(right, scores, strict=True) if s >= threshold]
            recall = sum(kept) / n_positives
            area += (recall - old_recall) * sum(kept) / len(kept)
            old_recall = recall
        found = micro_average_precision(scores, right, n_positives)
        assert found == pytest.approx(area, rel=0, abs=1e-12)
        order = rng.permutation(n)
        assert micro_average_precision(scores[order], right[order], n_positives) == pytest.approx(
            found, rel=0, abs=1e-12
        )


def test_micro_average_precision_hand_worked():
    # By falling score: right; wrong; right and wrong together (2 of 4); one positive is missing.
    scores, right = np.array([0.9, 0.8, 0.5, 0.5]), np.array([True, False, True, False])
    assert micro_average_precision(scores, right, 3) == pytest.approx((1 + 2 / 4) / 3)
    assert micro_average_precision(np.zeros(0), np.zeros(0, bool), 3) == 0
    assert np.isnan(micro_average_precision(scores, ~right & right, 0))
    with pytest.raises(ValueError, match="not a number"):
        micro_average_precision(np.array([np.nan]), np.array([True]), 1)
    with pytest.raises(ValueError, match="2 positives are ranked, but there are 1"):
        micro_average_precision(scores, right, 1)
