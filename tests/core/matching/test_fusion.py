"""The fused score against hand-worked cases, and its degenerate inputs."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rrtool.core.matching.fusion import AGREEMENT_WEIGHT, fuse, strength_agreement
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import Matches


def features(strengths: list[float], offsets: list[int]) -> LocalFeatures:
    n = len(strengths)
    return LocalFeatures(
        np.zeros((n, 2), np.float32),
        np.tile(np.array([1, 0, 1], np.float32), (n, 1)),
        np.array(strengths, np.float32),
        np.zeros(n, np.int32),
        np.array(offsets, np.int64),
        n_scales=1,
    )


def matches(counts: list[int], inliers: list[tuple[int, int]]) -> Matches:
    c = len(counts)
    return Matches(
        np.array(counts, np.int32),
        np.zeros((c, 2), np.int8),
        np.zeros((c, 2, 3)),
        np.array(counts, np.int32),
        np.concatenate([[0], np.cumsum(counts)]),
        np.array(inliers, np.int32).reshape(-1, 2),
    )


def test_strength_agreement_hand_worked() -> None:
    query = features([9, 4, 1, 2], [0, 1, 4])  # image 1 has strengths 4, 1, 2
    database = features([8, 2, 1, 0], [0, 2, 3, 4])  # images: (8, 2), (1), (0)
    found = matches([2, 0, 1], [(0, 0), (1, 1), (2, 0)])
    agreement = strength_agreement(found, query, 1, database, np.array([0, 2, 1]))
    # Image 0: min/max of (4, 8) and (1, 2); image 2: nothing; image 1: (2, 1).
    np.testing.assert_allclose(agreement, [1.0, 0.0, 0.5])


def test_strength_agreement_of_zero_strengths_is_zero() -> None:
    query, database = features([0.0], [0, 1]), features([0.0], [0, 1])
    agreement = strength_agreement(matches([1], [(0, 0)]), query, 0, database, np.array([0]))
    assert agreement.tolist() == [0.0]


def test_fuse_hand_worked() -> None:
    similarities = np.array([0.9, 0.5, 0.1])
    agreements = np.array([0.0, 3.0, 6.0])
    # Deviations: 0.4·√(2/3) and 3·√(2/3), so the terms are ±√1.5 and 0.
    root = np.sqrt(1.5)
    expected = [root - AGREEMENT_WEIGHT * root, 0.0, -root + AGREEMENT_WEIGHT * root]
    np.testing.assert_allclose(fuse(similarities, agreements, np.zeros(3, bool)), expected)


def test_fuse_leaves_copies_out_of_the_standardisation() -> None:
    similarities, agreements = np.array([0.9, 0.5, 0.1]), np.array([0.0, 3.0, 6.0])
    alone = fuse(similarities, agreements, np.zeros(3, bool))
    for is_first_copy, similarity in ((True, 0.95), (False, 0.9995)):
        copied = fuse(
            np.append(similarity, similarities),
            np.append(400.0, agreements),
            np.array([is_first_copy, False, False, False]),
        )
        np.testing.assert_allclose(copied[1:], alone)
        assert copied[0] > copied[1:].max()


def test_fuse_of_constant_terms_leaves_the_other_in_charge() -> None:
    agreements = np.array([1.0, 5.0, 3.0])
    order = np.argsort(-fuse(np.full(3, 0.3), agreements, np.zeros(3, bool)))
    assert order.tolist() == [1, 2, 0]
    assert fuse(np.full(3, 0.3), np.full(3, 2.0), np.zeros(3, bool)).tolist() == [0, 0, 0]


def test_fuse_empty_single_and_only_copies() -> None:
    assert fuse(np.zeros(0), np.zeros(0), np.zeros(0, bool)).shape == (0,)
    assert fuse(np.array([0.4]), np.array([2.0]), np.zeros(1, bool)).tolist() == [0.0]
    assert np.isfinite(fuse(np.array([1.0, 1.0]), np.array([9.0, 8.0]), np.ones(2, bool))).all()


@given(
    st.lists(st.tuples(st.floats(-1, 0.99), st.floats(0, 500)), min_size=2, max_size=30),
    st.floats(0.1, 10),
)
def test_fuse_ignores_units_and_never_rewards_less(
    rows: list[tuple[float, float]], unit: float
) -> None:
    similarities, agreements = (np.array(column) for column in zip(*rows, strict=True))
    none = np.zeros(len(rows), bool)
    scores = fuse(similarities, agreements, none)
    assert np.isfinite(scores).all()
    for i in range(len(rows)):
        for j in range(len(rows)):
            if similarities[i] >= similarities[j] and agreements[i] >= agreements[j]:
                assert scores[i] >= scores[j] - 1e-9
    if agreements.std() > 1e-3:
        np.testing.assert_allclose(fuse(similarities, agreements * unit, none), scores, atol=1e-6)
