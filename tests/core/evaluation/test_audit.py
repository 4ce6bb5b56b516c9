"""Every other reading of a protocol on cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.evaluation.audit import audit
from rrtool.core.evaluation.evaluation import QueryGroundTruth, retrieval_scores

# Row 0 is the query's own photo, 5 is junk; 1 and 3 of five positives are found: "+-+" is left.
RANKS = np.array([[0, 5, 1, 2, 3]])
TRUTH = QueryGroundTruth([1, 3, 9, 10, 11], [0, 5])
OWN = "the query's own photo "


def readings(ranks, truths, itself, cutoffs=(1, 5)):
    return {
        (each.reading, each.score): each
        for each in audit(np.asarray(ranks), truths, itself, cutoffs)
    }


@pytest.mark.parametrize(
    ("reading", "expected"),
    [
        ("by the rules", (1 + (1 / 2 + 2 / 3) / 2) / 5),
        # "++-+" of six.
        (OWN + "counts as right", (1 + 1 + (2 / 3 + 3 / 4) / 2) / 6),
        # "-+-+" of five: the own photo in front, or the junk.
        (OWN + "counts as wrong", (1 / 4 + (1 / 3 + 1 / 2) / 2) / 5),
        ("junk counts as wrong", (1 / 4 + (1 / 3 + 1 / 2) / 2) / 5),
        ("area by rectangles: the precisions at the positives", (1 + 2 / 3) / 5),
        ("over the positives that a list of this length can hold", (1 + 7 / 12) / 3),
        ("over the positives that are in the list", (1 + 7 / 12) / 2),
    ],
)
def test_reading_hand_worked(reading, expected):
    found = readings(RANKS, [TRUTH], [[0]])
    rules = found["by the rules", "mAP"].value
    assert found[reading, "mAP"].value == pytest.approx(expected, rel=1e-12)
    assert found[reading, "mAP"].difference == pytest.approx(expected - rules, rel=1e-12)
    assert (OWN + "is taken out", "mAP") not in found  # as it is by the rules


def test_own_photo_that_counts_by_the_rules_may_be_taken_out():
    """As in Oxford5k, whose lists name it."""
    found = readings([[0, 2, 1]], [QueryGroundTruth([0, 1])], [[0]])
    assert found["by the rules", "mAP"].value == pytest.approx((1 + (1 / 2 + 2 / 3) / 2) / 2)
    assert found[OWN + "is taken out", "mAP"].value == pytest.approx(1 / 4)  # "-+"
    assert found[OWN + "counts as wrong", "mAP"].value == pytest.approx((0 + (0 + 1 / 3) / 2) / 1)
    assert (OWN + "counts as right", "mAP") not in found
    assert ("junk counts as wrong", "mAP") not in found


def test_means_and_precisions_hand_worked():
    """Of three queries one has nothing to find, and one is none of the protocol."""
    truths = [
        QueryGroundTruth([4]), QueryGroundTruth([], [3]), QueryGroundTruth([1], is_query=False),
    ]  # fmt: skip
    found = readings([[4, 1, 2], [0, 1, 2], [1, 2, 3]], truths, [[], [], [0]])
    assert found["by the rules", "mAP"].value == 1
    every = found["mean over all queries, also those with nothing to find", "mAP"]
    assert (every.value, every.difference) == (0.5, -0.5)
    always = {score: each for (name, score), each in found.items() if "however few" in name}
    assert (always["mP@1"].value, always["mP@1"].difference) == (1, 0)
    assert (always["mP@5"].value, always["mP@5"].difference) == (1 / 5, 1 / 5 - 1)
    assert not any(name.startswith(OWN) for name, _ in found)  # the photos are not there


def test_audit_begins_with_the_scores_by_the_rules():
    rng = np.random.default_rng(3)
    ranks = np.stack([rng.permutation(30) for _ in range(12)])
    truths = [QueryGroundTruth(np.flatnonzero(rng.random(30) < 0.2)) for _ in range(12)]
    scores = retrieval_scores(ranks, truths, protocol="", setup="")
    found = readings(ranks, truths, [[]] * 12, (1, 5, 10))
    assert found["by the rules", "mAP"].value == scores.mean_average_precision
    for k, precision in scores.precisions.items():
        each = found["over k, however few positives there are", f"mP@{k}"]
        assert each.value - each.difference == pytest.approx(precision)
    # In a complete list nothing is cut.
    for reading in ("that a list of this length can hold", "that are in the list"):
        assert found[f"over the positives {reading}", "mAP"].difference == pytest.approx(0)


def test_audit_of_nothing():
    assert np.isnan(readings(np.zeros((0, 3), int), [], [])["by the rules", "mAP"].value)
    left_out = readings([[1, 0]], [QueryGroundTruth([])], [[]])
    assert np.isnan(left_out["over the positives that are in the list", "mAP"].value)
    assert left_out["mean over all queries, also those with nothing to find", "mAP"].value == 0
