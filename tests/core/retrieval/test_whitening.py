"""Whitening against brute force over pairs, dense generalised eigen-solves, hand-worked cases."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import scipy.linalg

from rrtool.core.retrieval import whitening
from rrtool.core.retrieval.whitening import (
    LearnedWhitening,
    PairCovariance,
    apply_whitening,
    covariance_of_groups,
    covariance_of_pairs,
    fit_mean,
    fit_pca,
    fit_supervised,
    l2_normalize,
    oas_shrinkage,
)


def descriptors_and_labels(seed: int, n: int = 120, k: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Correlated unit descriptors around 12 class means, and their labels."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 12, n)
    noise = generator.normal(size=(n, k)) @ generator.normal(size=(k, k))
    return l2_normalize(generator.normal(size=(12, k))[labels] * 3 + noise + 2), labels


def pairs_of(labels: np.ndarray, *, matching: bool = True) -> np.ndarray:
    """All pairs of rows whose labels are equal (or are not)."""
    pairs = [
        (i, j)
        for i, j in combinations(range(len(labels)), 2)
        if (labels[i] == labels[j] and labels[i] >= 0) == matching
    ]
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)


def brute_force_covariance(descriptors: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Eq. 5.12, pair by pair."""
    unit = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    differences = [np.outer(unit[i] - unit[j], unit[i] - unit[j]) for i, j in pairs]
    return np.mean(differences, axis=0)


def total_covariance(descriptors: np.ndarray) -> np.ndarray:
    return np.cov(descriptors.T, bias=True)


@pytest.mark.parametrize("block_rows", [1, 7, 1 << 13])
def test_covariance_of_groups_equals_brute_force_over_pairs(
    block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whitening, "_BLOCK_ROWS", block_rows)
    descriptors, labels = descriptors_and_labels(1, n=40)
    labels[labels == 3] = -1  # in no group
    labels[0] = 99  # alone in its group
    found = covariance_of_groups(descriptors, labels)
    pairs = pairs_of(labels)
    assert found.n_pairs == len(pairs)
    np.testing.assert_allclose(
        found.matrix, brute_force_covariance(descriptors, pairs), rtol=1e-11, atol=1e-15
    )


@pytest.mark.parametrize("block_rows", [1, 7, 1 << 13])
def test_covariance_of_pairs_equals_brute_force(
    block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(whitening, "_BLOCK_ROWS", block_rows)
    descriptors, _ = descriptors_and_labels(2, n=30)
    pairs = np.array([(0, 1), (1, 2), (0, 2), (7, 9), (9, 20), (28, 29)])
    found = covariance_of_pairs(5 * descriptors, pairs)
    assert found.n_pairs == 6
    np.testing.assert_allclose(
        found.matrix, brute_force_covariance(descriptors, pairs), rtol=1e-11, atol=1e-15
    )


def test_covariance_of_groups_equals_that_of_all_their_pairs() -> None:
    descriptors, labels = descriptors_and_labels(3)
    by_groups = covariance_of_groups(descriptors, labels)
    by_pairs = covariance_of_pairs(descriptors, pairs_of(labels))
    np.testing.assert_allclose(by_groups.matrix, by_pairs.matrix, rtol=1e-11, atol=1e-15)
    assert by_groups.n_pairs == by_pairs.n_pairs
    assert by_groups.n_independent == by_pairs.n_independent


@pytest.mark.parametrize("seed", range(5))
def test_n_independent_is_the_rank_of_the_differences_in_general_position(seed: int) -> None:
    generator = np.random.default_rng(seed)
    descriptors = generator.normal(size=(12, 40))
    pairs = pairs_of(np.zeros(12))[generator.random(66) < 0.12]
    unit = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    rank = np.linalg.matrix_rank(unit[pairs[:, 0]] - unit[pairs[:, 1]])
    assert 0 < rank < 12
    assert covariance_of_pairs(descriptors, pairs).n_independent == rank


@pytest.mark.parametrize("n", [0, 1, 4])
def test_covariance_without_pairs_is_zero(n: int) -> None:
    descriptors = np.eye(4)[:n]
    found = [
        covariance_of_groups(descriptors, np.arange(n)),
        covariance_of_groups(descriptors, np.full(n, -1)),
        covariance_of_pairs(descriptors, np.zeros((0, 2), dtype=np.int64)),
    ]
    for covariance in found:
        assert (covariance.n_pairs, covariance.n_independent) == (0, 0)
        np.testing.assert_array_equal(covariance.matrix, np.zeros((4, 4)))


@pytest.mark.parametrize("seed", range(4))
def test_fit_supervised_makes_c1_the_identity_and_the_covariance_diagonal(seed: int) -> None:
    descriptors, labels = descriptors_and_labels(seed)
    learned = fit_supervised(descriptors, covariance_of_groups(descriptors, labels), 0.0)
    assert learned.shrinkage == 0
    assert learned.projection.shape == (7, 7)
    whitened = (descriptors - descriptors.mean(axis=0)) @ learned.projection.T
    pairs = pairs_of(labels)
    differences = whitened[pairs[:, 0]] - whitened[pairs[:, 1]]
    np.testing.assert_allclose(differences.T @ differences / len(pairs), np.eye(7), atol=1e-10)
    np.testing.assert_allclose(
        whitened.T @ whitened / len(whitened), np.diag(learned.eigenvalues), atol=1e-10
    )
    assert (np.diff(learned.eigenvalues) <= 0).all()
    np.testing.assert_allclose(learned.mean, descriptors.mean(axis=0), rtol=1e-12)


def test_fit_supervised_equals_the_dense_generalised_eigen_solve() -> None:
    descriptors, labels = descriptors_and_labels(5)
    learned = fit_supervised(descriptors, covariance_of_groups(descriptors, labels), 0.0)
    within = brute_force_covariance(descriptors, pairs_of(labels))
    eigenvalues, eigenvectors = scipy.linalg.eigh(total_covariance(descriptors), within)
    np.testing.assert_allclose(learned.eigenvalues, eigenvalues[::-1], rtol=1e-9)
    expected = eigenvectors.T[::-1]
    signs = np.sign((expected * learned.projection).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(learned.projection, signs * expected, rtol=1e-6, atol=1e-8)


def test_fit_supervised_has_the_eigenvectors_of_the_non_matching_pairs_as_the_thesis() -> None:
    descriptors, labels = descriptors_and_labels(6, n=60)
    learned = fit_supervised(descriptors, covariance_of_groups(descriptors, labels), 0.0)
    within = brute_force_covariance(descriptors, pairs_of(labels))
    between = brute_force_covariance(descriptors, pairs_of(labels, matching=False))
    whitener = np.linalg.inv(scipy.linalg.sqrtm(within).real)
    _, eigenvectors = np.linalg.eigh(whitener @ between @ whitener)
    expected = eigenvectors.T[::-1] @ whitener
    signs = np.sign((expected * learned.projection).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(learned.projection, signs * expected, rtol=1e-6, atol=1e-8)


def test_fit_supervised_separates_what_the_raw_descriptors_do_not() -> None:
    generator = np.random.default_rng(7)
    labels = np.repeat(np.arange(50), 2)
    signal, nuisance = generator.normal(size=(50, 3))[labels], 6 * generator.normal(size=(100, 5))
    descriptors = l2_normalize(np.concatenate([signal, nuisance], axis=1))
    learned = fit_supervised(descriptors, covariance_of_groups(descriptors, labels), 0.0)
    whitened = apply_whitening(descriptors, learned.mean, learned.projection[:3])
    assert _share_of_right_neighbors(descriptors, labels) < 0.2
    assert _share_of_right_neighbors(whitened, labels) > 0.3


def _share_of_right_neighbors(descriptors: np.ndarray, labels: np.ndarray) -> float:
    similarities = descriptors @ descriptors.T
    np.fill_diagonal(similarities, -np.inf)
    return float((labels[similarities.argmax(axis=1)] == labels).mean())


@pytest.mark.parametrize("n_pairs", [1, 3, 6])
def test_fit_supervised_with_few_pairs_shrinks_c1(n_pairs: int) -> None:
    descriptors, _ = descriptors_and_labels(8)
    pairs = np.arange(2 * n_pairs).reshape(-1, 2)
    matching = covariance_of_pairs(descriptors, pairs)
    assert matching.n_independent == n_pairs
    learned = fit_supervised(descriptors, matching)
    assert 0 < learned.shrinkage <= 1
    within = brute_force_covariance(descriptors, pairs)
    target = np.trace(within) / 7 * np.eye(7)
    shrunk = (1 - learned.shrinkage) * within + learned.shrinkage * target
    projection = learned.projection
    np.testing.assert_allclose(projection @ shrunk @ projection.T, np.eye(7), atol=1e-9)
    np.testing.assert_allclose(
        projection @ total_covariance(descriptors) @ projection.T,
        np.diag(learned.eigenvalues),
        atol=1e-9 * learned.eigenvalues[0],
    )


def test_fit_supervised_with_one_pair_is_a_rotation_up_to_scale() -> None:
    descriptors, _ = descriptors_and_labels(9)
    learned = fit_supervised(descriptors, covariance_of_pairs(descriptors, np.array([[4, 5]])))
    assert learned.shrinkage == 1
    gram = learned.projection @ learned.projection.T
    np.testing.assert_allclose(gram / gram[0, 0], np.eye(7), atol=1e-9)


def test_fit_supervised_shrinks_a_singular_c1_of_many_pairs() -> None:
    descriptors, labels = descriptors_and_labels(10)
    # Within a group nothing varies along the last axis, over all it does.
    raw = np.concatenate([descriptors, 3.0 + labels[:, None] % 3], axis=1)
    raw[:, :7] /= np.linalg.norm(raw[:, :7], axis=1, keepdims=True)
    matching = covariance_of_groups(raw, labels)
    assert matching.n_independent > 8
    learned = fit_supervised(raw, matching)
    assert 0 < learned.shrinkage < 0.1
    assert np.isfinite(learned.projection).all()
    assert learned.projection.shape == (8, 8)


def test_fit_pca_with_fewer_descriptors_than_dimensions_keeps_those_that_vary() -> None:
    descriptors, _ = descriptors_and_labels(11, n=6, k=20)
    learned = fit_pca(descriptors, 0.0)
    assert learned.projection.shape == (5, 20)
    assert learned.eigenvalues.shape == (5,)
    assert learned.rank == 5
    outside = scipy.linalg.null_space(descriptors - descriptors.mean(axis=0))
    assert outside.shape == (20, 15)
    scale = np.linalg.norm(learned.projection, 2)
    np.testing.assert_allclose(learned.projection @ outside / scale, 0, atol=1e-12)


def test_fit_supervised_with_fewer_descriptors_than_dimensions_keeps_all() -> None:
    descriptors, _ = descriptors_and_labels(11, n=6, k=20)
    labels = np.array([0, 0, 1, 1, 2, 2])
    learned = fit_supervised(descriptors, covariance_of_groups(descriptors, labels))
    assert learned.projection.shape == (20, 20)
    assert learned.rank == 5
    np.testing.assert_allclose(learned.eigenvalues[5:], 0, atol=1e-10)
    assert (learned.eigenvalues >= 0).all()
    # Whatever the order of the rest, inner products are those of the shrunk C_1's inverse.
    within = brute_force_covariance(descriptors, pairs_of(labels))
    weight = learned.shrinkage
    shrunk = (1 - weight) * within + weight * np.trace(within) / 20 * np.eye(20)
    others = descriptors_and_labels(12, n=9, k=20)[0] - learned.mean
    whitened = others @ learned.projection.T
    expected = others @ np.linalg.solve(shrunk, others.T)
    np.testing.assert_allclose(whitened @ whitened.T, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shrinkage", [None, 0.3, 1.0])
def test_fit_pca_gives_the_inner_products_of_the_shrunk_inverse(shrinkage: float | None) -> None:
    descriptors, _ = descriptors_and_labels(11, n=12, k=20)
    learned = fit_pca(descriptors, shrinkage)
    covariance = np.cov(descriptors.T, bias=True)
    weight = oas_shrinkage(covariance, 12) if shrinkage is None else shrinkage
    assert learned.shrinkage == pytest.approx(weight)
    assert 0 < weight <= 1
    shrunk = (1 - weight) * covariance + weight * np.trace(covariance) / 20 * np.eye(20)
    others = descriptors_and_labels(12, n=9, k=20)[0] - descriptors.mean(axis=0)
    whitened = others @ learned.projection.T
    expected = others @ np.linalg.solve(shrunk, others.T)
    np.testing.assert_allclose(whitened @ whitened.T, expected, rtol=1e-9, atol=1e-9)


def test_fit_supervised_of_few_pairs_must_be_shrunk() -> None:
    descriptors, _ = descriptors_and_labels(11, n=6, k=20)
    matching = covariance_of_groups(descriptors, np.array([0, 0, 1, 1, 2, 2]))
    with pytest.raises(ValueError, match="3 independent matching pairs do not determine"):
        fit_supervised(descriptors, matching, 0.0)


def test_fit_supervised_shrinks_less_the_more_pairs_there_are() -> None:
    found = []
    for n in (60, 600, 6000):
        descriptors, labels = descriptors_and_labels(9, n=n)
        found.append(
            fit_supervised(descriptors, covariance_of_groups(descriptors, labels)).shrinkage
        )
    assert found[0] > found[1] > found[2] > 0
    assert found[2] < 0.01


def test_shrinkage_falls_with_independent_pairs_and_not_with_pairs() -> None:
    descriptors, labels = descriptors_and_labels(2)
    everything = pairs_of(labels)
    _, first = np.unique(everything[:, 1], return_index=True)
    chain = everything[first]  # each image but a group's first, with one before it
    few = covariance_of_pairs(descriptors, chain)
    many = covariance_of_pairs(descriptors, everything)
    assert many.n_pairs > 4 * few.n_pairs
    assert many.n_independent == few.n_independent == few.n_pairs
    more = [oas_shrinkage(many.matrix, n) for n in (10**6, 10**7)]
    assert more[0] / more[1] == pytest.approx(10, rel=1e-3)  # in inverse proportion, never 0


def test_fit_mean_only_centres() -> None:
    descriptors, _ = descriptors_and_labels(3)
    learned = fit_mean(5 * descriptors)
    np.testing.assert_array_equal(learned.projection, np.eye(7))
    np.testing.assert_allclose(learned.mean, descriptors.mean(axis=0), rtol=1e-12)
    expected = l2_normalize(descriptors - descriptors.mean(axis=0))
    whitened = apply_whitening(descriptors, learned.mean, learned.projection)
    np.testing.assert_allclose(whitened, expected, atol=1e-6)


def test_fit_pca_leaves_dead_channels_out() -> None:
    descriptors, _ = descriptors_and_labels(12)
    padded = np.insert(descriptors, [0, 3, 7], 0, axis=1)
    learned = fit_pca(padded, 0.0)
    expected = np.insert(fit_pca(descriptors, 0.0).projection, [0, 3, 7], 0, axis=1)
    np.testing.assert_allclose(learned.projection, expected, rtol=1e-7, atol=1e-10)


def _fit(method: str, descriptors: np.ndarray, labels: np.ndarray) -> LearnedWhitening:
    if method == "pca":
        return fit_pca(descriptors)
    return fit_supervised(descriptors, covariance_of_groups(descriptors, labels))


@pytest.mark.parametrize("copies", [2, 3, 7])
def test_fit_supervised_of_copies_or_no_pairs_is_an_error(copies: int) -> None:
    descriptors = np.repeat(descriptors_and_labels(13, n=4)[0], copies, axis=0)
    for labels in (np.repeat(np.arange(4), copies), np.arange(4 * copies)):
        with pytest.raises(ValueError, match="do not differ"):
            fit_supervised(descriptors, covariance_of_groups(descriptors, labels))


def test_fit_supervised_of_nothing_that_varies_is_an_error() -> None:
    for n in (0, 1):
        none = PairCovariance(np.zeros((3, 3)), 0, 0)
        with pytest.raises(ValueError, match="do not differ"):
            fit_supervised(np.eye(3)[:n], none)


def test_fit_pca_whitens_and_equals_the_singular_values_of_the_centred_set() -> None:
    descriptors, _ = descriptors_and_labels(14)
    learned = fit_pca(3 * descriptors, 0.0)
    centred = descriptors - descriptors.mean(axis=0)
    whitened = centred @ learned.projection.T
    np.testing.assert_allclose(whitened.T @ whitened / len(whitened), np.eye(7), atol=1e-10)
    _, singular_values, directions = np.linalg.svd(centred)
    np.testing.assert_allclose(learned.eigenvalues, singular_values**2 / 120, rtol=1e-9)
    unit = l2_normalize(learned.projection)
    np.testing.assert_allclose(np.abs((unit * directions).sum(axis=1)), 1, rtol=1e-9)


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_fit_pca_of_nothing_that_varies_is_empty(rows: int) -> None:
    descriptors = np.repeat(descriptors_and_labels(15, n=1)[0], rows, axis=0)
    learned = fit_pca(descriptors)
    assert learned.projection.shape == (0, 7)
    assert learned.eigenvalues.shape == (0,)
    assert learned.mean.shape == (7,)


@pytest.mark.parametrize("method", ["supervised", "pca"])
@pytest.mark.parametrize("block_rows", [1, 7])
def test_fit_is_the_same_in_any_order_scale_and_block(
    method: str, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptors, labels = descriptors_and_labels(16)
    expected = _fit(method, descriptors, labels)
    generator = np.random.default_rng(17)
    order = generator.permutation(len(labels))
    scales = generator.uniform(0.1, 9, (len(labels), 1))
    monkeypatch.setattr(whitening, "_BLOCK_ROWS", block_rows)
    found = _fit(method, (scales * descriptors)[order], labels[order])
    np.testing.assert_allclose(found.projection, expected.projection, rtol=1e-7, atol=1e-9)
    largest = np.abs(found.projection).argmax(axis=1)
    assert (found.projection[np.arange(7), largest] > 0).all()


def test_oas_shrinkage_hand_worked() -> None:
    # p = 2, tr S = 4, tr S² = 10, n = 20: (0 · 10 + 16) / ((21 − 1)(10 − 8)) = 0.4
    assert oas_shrinkage(np.diag([3.0, 1.0]), 20) == pytest.approx(0.4)
    # n = 5: 16 / (5 · 2) > 1
    assert oas_shrinkage(np.diag([3.0, 1.0]), 5) == 1
    assert oas_shrinkage(np.eye(3), 50) == 1
    assert oas_shrinkage(np.eye(1), 1) == 1


def test_oas_shrinkage_lowers_the_error_of_the_estimate() -> None:
    generator = np.random.default_rng(18)
    scales = np.linspace(0.5, 2, 30)
    gains = []
    for _ in range(20):
        samples = generator.normal(size=(20, 30)) * scales
        estimate = samples.T @ samples / 20
        weight = oas_shrinkage(estimate, 20)
        shrunk = (1 - weight) * estimate + weight * np.trace(estimate) / 30 * np.eye(30)
        errors = [np.linalg.norm(matrix - np.diag(scales**2)) for matrix in (estimate, shrunk)]
        gains.append(errors[1] / errors[0])
    assert max(gains) < 0.6


def test_apply_whitening_hand_worked_and_zero_stays_zero() -> None:
    descriptors = np.array([[0.6, 0.8], [0, 0], [1, 0]], dtype=np.float32)
    mean = np.array([0.6, 0], dtype=np.float32)
    projection = np.array([[0, 2], [3, 0], [5, 0]], dtype=np.float32)
    found = apply_whitening(descriptors, mean, projection)
    assert found.dtype == np.float32
    slope = np.hypot(3, 5)
    np.testing.assert_allclose(
        found, [[1, 0, 0], [0, 0, 0], [0, 3 / slope, 5 / slope]], rtol=1e-6, atol=1e-7
    )
    assert apply_whitening(descriptors[:0], mean, projection).shape == (0, 3)
