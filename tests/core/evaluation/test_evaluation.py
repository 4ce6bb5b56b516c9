"""Scores of many queries against the plain walk of `test_average_precision`."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from rrtool.core.evaluation.evaluation import (
    QueryGroundTruth,
    mean_of_known,
    retrieval_scores,
    right_among_first,
)
from tests.core.evaluation.test_average_precision import walk


def score(ranks, ground_truth, **options):
    return retrieval_scores(
        np.asarray(ranks), ground_truth, protocol="groups", setup="all", **options
    )


def random_case(rng, n_queries, n_ids):
    """Rankings of part of the ids, -1 scattered among them; some queries without a positive."""
    ranks = np.stack([rng.permutation(n_ids) for _ in range(n_queries)])
    ranks[rng.random(ranks.shape) < 0.2] = -1
    truths = []
    for _ in range(n_queries):
        kinds = rng.choice(3, size=n_ids + 3, p=rng.dirichlet([1, 1, 3]))
        if rng.random() < 0.1:
            kinds[kinds == 0] = 2
        truths.append(QueryGroundTruth(np.flatnonzero(kinds == 0), np.flatnonzero(kinds == 1)))
    return ranks[:, : rng.integers(1, n_ids + 1)], truths


def as_letters(row, truth):
    positives, junk = set(truth.positives.tolist()), set(truth.junk.tolist())
    return ["+" if i in positives else "j" if i in junk else "-" for i in row.tolist() if i >= 0]


def test_retrieval_scores_equal_the_walk_on_random_rankings():
    rng = np.random.default_rng(2)
    n_walked = 0
    for _ in range(60):
        ranks, truths = random_case(rng, n_queries=40, n_ids=int(rng.integers(1, 50)))
        result = score(ranks, truths)
        kept = [i for i, truth in enumerate(truths) if len(truth.positives)]
        walked = [
            walk(as_letters(ranks[i], truths[i]), len(truths[i].positives), (1, 5, 10))
            for i in kept
        ]
        n_walked += len(kept)
        aps = [ap for ap, _ in walked]
        np.testing.assert_allclose(result.average_precisions[kept], aps, rtol=0, atol=1e-12)
        assert result.mean_average_precision == pytest.approx(np.mean(aps), rel=0, abs=1e-12)
        means = np.mean([precisions for _, precisions in walked], axis=0)
        np.testing.assert_allclose(list(result.precisions.values()), means, rtol=0, atol=1e-12)
        assert (result.n_queries, result.n_left_out) == (40, 40 - len(kept))
        assert np.isnan(np.delete(result.average_precisions, kept)).all()
    assert n_walked > 1500


def test_retrieval_scores_hand_worked():
    # Query 0: 7 is junk, so 3 - 1 is "+-+" -> AP 19/24, P@1 = 1, P@5 = P@10 = 2/3 (last at 3).
    # Query 1: its positive 9 is not ranked -> 0. Query 2 has no positive -> left out.
    result = score(
        [[7, 3, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3]],
        [
            QueryGroundTruth([1, 3], [7]),
            QueryGroundTruth([9], n_missing_positives=2),
            QueryGroundTruth([], [0], n_missing_positives=1),
        ],
    )
    np.testing.assert_allclose(result.average_precisions, [19 / 24, 0, np.nan], rtol=1e-15)
    assert result.mean_average_precision == pytest.approx(19 / 48)
    assert result.precisions == pytest.approx({1: 1 / 2, 5: 1 / 3, 10: 1 / 3})
    np.testing.assert_allclose(result.query_precisions[5], [2 / 3, 0, np.nan])
    assert (result.n_queries, result.n_left_out, result.n_missing_positives) == (3, 1, 3)
    assert (result.protocol, result.setup) == ("groups", "all")


def test_padding_takes_no_rank():
    padded = score([[-1, 4, -1, 2, -1, -1]], [QueryGroundTruth([2])])
    plain = score([[4, 2]], [QueryGroundTruth([2])])
    assert padded.mean_average_precision == plain.mean_average_precision == 1 / 4


def test_a_query_does_not_see_the_ground_truth_of_another():
    ranks = [[0, 1, 2], [0, 1, 2]]
    first, second = QueryGroundTruth([0], [1]), QueryGroundTruth([2])
    both = score(ranks, [first, second]).average_precisions
    alone = score(ranks[1:], [second]).average_precisions
    assert both[1] == alone[0] == pytest.approx(1 / 6)  # + at 3: (0/2 + 1/3)/2


def test_all_queries_left_out_gives_nan_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = score([[0, 1], [1, 0]], [QueryGroundTruth([]), QueryGroundTruth([])])
    assert np.isnan(result.mean_average_precision)
    assert np.isnan(list(result.precisions.values())).all()
    assert result.n_left_out == 2


@pytest.mark.parametrize("shape", [(0, 5), (0, 0)])
def test_no_query_gives_empty_scores(shape):
    result = score(np.empty(shape, dtype=np.int64), [])
    assert result.average_precisions.shape == (0,)
    assert np.isnan(result.mean_average_precision)
    assert (result.n_queries, result.n_left_out) == (0, 0)


def test_empty_lists_score_zero():
    result = score(np.empty((1, 0), dtype=np.int64), [QueryGroundTruth([3], [1])])
    assert result.mean_average_precision == 0
    assert score([[-1, -1]], [QueryGroundTruth([0])]).mean_average_precision == 0


def test_an_id_ranked_twice_is_refused():
    truths = [QueryGroundTruth([0]), QueryGroundTruth([0])]
    with pytest.raises(ValueError, match="query 1 ranks database id 3 more than once"):
        score([[3, 1, -1, -1], [3, 1, 3, -1]], truths)


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ([[0, -2]], "below -1"),
        ([[0.0, 1.0]], "integer ids"),
        ([0, 1], "shape"),
        ([[0], [1]], "shape"),
    ],
)
def test_invalid_ranks_are_refused(ranks, message):
    with pytest.raises(ValueError, match=message):
        score(ranks, [QueryGroundTruth([0])])


@pytest.mark.parametrize(
    ("positives", "junk", "message"),
    [
        ([1, 1], [], "positives must be strictly increasing"),
        ([2], [3, 0], "junk must be strictly increasing"),
        ([-1, 2], [], "positives"),
        ([[1]], [], "positives"),
        ([1, 4], [4], "id 4 is both positive and junk"),
    ],
)
def test_invalid_ground_truth_is_refused(positives, junk, message):
    with pytest.raises(ValueError, match=message):
        QueryGroundTruth(np.array(positives), np.array(junk))


def test_retrieval_scores_leaves_its_arguments_alone():
    ranks = np.array([[2, -1, 0]])
    truth = QueryGroundTruth([0], [2])
    score(ranks, [truth])
    np.testing.assert_array_equal(ranks, [[2, -1, 0]])
    np.testing.assert_array_equal(truth.positives, [0])
    np.testing.assert_array_equal(truth.junk, [2])


def test_cutoffs_are_those_asked_for():
    result = score([[1, 0, 2]], [QueryGroundTruth([0])], cutoffs=(2,))
    assert result.precisions == {2: 0.5}


# Query 0 ranks junk, right, wrong; query 1 has no positive; query 2 is none of the protocol.
SHARED = (
    [[7, 3, 0], [0, 1, 2], [4, 3, 0]],
    [QueryGroundTruth([1, 3], [7]), QueryGroundTruth([]), QueryGroundTruth([3], is_query=False)],
)
SCORES = np.array([[0.9, 0.5, 0.4], [0.7, 0.5, 0.1], [0.99, 0.98, 0.97]])


def test_scores_on_request_hand_worked():
    result = score(*SHARED, cutoffs=(1, 2), scores=SCORES)
    # By falling score: wrong .7; right and wrong .5 (1 of 3 right); wrong .4; wrong .1.
    assert result.micro_average_precision == pytest.approx((1 / 3) / 2)
    assert {k: mean_of_known(v) for k, v in result.query_recalls.items()} == {1: 0.5, 2: 0.5}
    assert {k: mean_of_known(v) for k, v in result.query_truncated.items()} == {1: 1.0, 2: 0.5}
    assert score(*SHARED).micro_average_precision is None


def test_an_image_that_is_no_query_counts_nowhere():
    result = score(*SHARED)
    assert (result.n_queries, result.n_left_out) == (2, 1)
    assert np.isnan(result.average_precisions).tolist() == [False, True, True]
    assert right_among_first(np.array(SHARED[0]), SHARED[1], 1).tolist()[:2] == [1, 0]
    assert np.isnan(right_among_first(np.array(SHARED[0]), SHARED[1], 1)[2])


def test_a_list_keeps_its_order_in_the_list_of_all():
    """As after rerank, where the shortlist is ranked by a score of its own."""
    truths = [QueryGroundTruth([0]), QueryGroundTruth([1])]
    ranks, scores = [[1, 0], [1, 0]], np.array([[-0.5, 0.9], [0.3, 0.2]])
    # .3 right, .2 wrong, then −.5 wrong and right together.
    assert score(ranks, truths, scores=scores).micro_average_precision == (1 / 1 + 2 / 4) / 2


def test_micro_average_precision_is_that_of_all_pairs_at_random():
    from rrtool.core.evaluation.average_precision import micro_average_precision

    rng = np.random.default_rng(9)
    for _ in range(20):
        ranks, truths = random_case(rng, n_queries=8, n_ids=12)
        scores = -np.sort(-rng.integers(0, 9, ranks.shape) / 8.0, axis=1)
        pairs = [
            (scores[q, place], i in truth.positives)
            for q, truth in enumerate(truths)
            for place, i in enumerate(ranks[q].tolist())
            if i >= 0 and i not in truth.junk
        ]
        values, right = (np.array(part) for part in zip(*pairs, strict=True))
        expected = micro_average_precision(values, right, sum(len(t.positives) for t in truths))
        found = score(ranks, truths, scores=scores).micro_average_precision
        assert found == pytest.approx(expected, rel=0, abs=1e-12)
