"""Query expansion and database augmentation: hand-worked, by brute force, and when degenerate."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from rrtool.core.retrieval import ranking
from rrtool.core.retrieval.query_expansion import augment_database, expand_queries
from rrtool.core.retrieval.whitening import l2_normalize


def unit_vectors(seed: int, n: int, d: int = 5) -> np.ndarray:
    return l2_normalize(np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))


def all_usable(database: np.ndarray) -> np.ndarray:
    return np.ones(len(database), dtype=bool)


def other_images(queries: np.ndarray, database: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ids that say that no query is in the database."""
    return np.arange(len(queries)), len(queries) + np.arange(len(database))


def brute_force(
    queries: np.ndarray,
    database: np.ndarray,
    candidates: list[list[int]],
    n_neighbors: int,
    alpha: float,
) -> np.ndarray:
    """One query after the other, in double precision, by a plain sort."""
    rows = []
    for query, allowed in zip(queries.astype(float), candidates, strict=True):
        similarity = {i: float(query @ database[i].astype(float)) for i in allowed}
        nearest = sorted(allowed, key=lambda i: (-similarity[i], i))[:n_neighbors]
        weights = [max(similarity[i], 0.0) ** alpha for i in nearest]
        total = query + sum(
            weight * database[i].astype(float) for weight, i in zip(weights, nearest, strict=True)
        )
        rows.append(total / np.linalg.norm(total))
    return np.array(rows)


def test_expand_queries_hand_worked() -> None:
    query = np.array([[1, 0]], dtype=np.float32)
    database = np.array([[0, 1], [0.8, 0.6], [-1, 0], [0.6, -0.8]], dtype=np.float32)
    images = other_images(query, database)
    plain = expand_queries(query, database, all_usable(database), 2, 0, images)
    np.testing.assert_allclose(plain, [np.array([2.4, -0.2]) / np.hypot(2.4, 0.2)], rtol=1e-6)
    # 1 + .8 · .8 + .6 · .6 = 2, .8 · .6 − .6 · .8 = 0
    weighted = expand_queries(query, database, all_usable(database), 2, 1, images)
    np.testing.assert_allclose(weighted, [[1, 0]], atol=1e-6)
    # All four, the opposite one too: (1.4, 0.8) unweighted; not at all where weighted.
    plain = expand_queries(query, database, all_usable(database), 4, 0, images)
    np.testing.assert_allclose(plain, [np.array([1.4, 0.8]) / np.hypot(1.4, 0.8)], rtol=1e-6)
    weighted = expand_queries(query, database, all_usable(database), 4, 1, images)
    np.testing.assert_allclose(weighted, [[1, 0]], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("n_neighbors", [1, 4, 100])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_expand_queries_equals_brute_force(
    alpha: float, n_neighbors: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "BLOCK_BYTES", block_bytes)
    queries, database = unit_vectors(1, 9), unit_vectors(2, 30)
    usable = np.random.default_rng(3).random(30) > 0.2
    # Queries 0 and 1 have two and one copies in the database, the others none.
    query_images, database_images = np.arange(9), np.arange(100, 130)
    database[[4, 17, 8]] = queries[[0, 0, 1]]
    database_images[[4, 17, 8]] = 0, 0, 1
    usable[[4, 17, 8]] = True
    images = (query_images, database_images)
    done: list[int] = []
    found = expand_queries(queries, database, usable, n_neighbors, alpha, images, done.append)
    candidates = [
        [i for i in np.flatnonzero(usable) if database_images[i] != image] for image in query_images
    ]
    expected = brute_force(queries, database, candidates, n_neighbors, alpha)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32
    assert sum(done) == 9


@pytest.mark.parametrize("alpha", [0.0, 2.0])
@pytest.mark.parametrize("n_neighbors", [1, 3, 100])
def test_augment_database_equals_brute_force(alpha: float, n_neighbors: int) -> None:
    database = unit_vectors(4, 25)
    database[7] = database[3]  # a copy is a neighbour like any other
    usable = np.random.default_rng(5).random(25) > 0.2
    usable[[3, 7]] = True
    found = augment_database(database, usable, n_neighbors, alpha)
    rows = np.flatnonzero(usable)
    candidates = [[i for i in rows if i != row] for row in rows]
    expected = brute_force(database[rows], database, candidates, n_neighbors, alpha)
    np.testing.assert_allclose(found[rows], expected, rtol=1e-4, atol=1e-5)
    assert not found[~usable].any()


def test_augment_database_of_one_image_and_of_copies_changes_nothing() -> None:
    one = unit_vectors(6, 1)
    for database in (one, np.repeat(one, 4, axis=0)):
        found = augment_database(database, all_usable(database), 3, 0)
        np.testing.assert_allclose(found, database, rtol=1e-6)


def test_zero_descriptors_stay_zero_and_take_no_part() -> None:
    database = unit_vectors(7, 6)
    database[[0, 3]] = 0
    kept = [1, 2, 4, 5]
    found = augment_database(database, all_usable(database), 3, 0)
    assert not found[[0, 3]].any()
    # Their similarity of 0 would put them before the negative ones.
    expected = augment_database(database[kept], np.ones(4, dtype=bool), 3, 0)
    np.testing.assert_allclose(found[kept], expected, rtol=1e-5, atol=1e-6)
    queries = np.zeros((1, 5), dtype=np.float32)
    images = other_images(queries, database)
    assert not expand_queries(queries, database, all_usable(database), 3, 0, images).any()


def test_expand_queries_with_nothing_to_average_keeps_the_queries() -> None:
    queries, database = unit_vectors(8, 3), unit_vectors(9, 4)
    images = other_images(queries, database)
    for usable, n_neighbors in ((all_usable(database), 0), (np.zeros(4, dtype=bool), 5)):
        found = expand_queries(queries, database, usable, n_neighbors, 0, images)
        np.testing.assert_allclose(found, queries, rtol=1e-6)
    # The database holds the query's own image alone.
    own = (np.zeros(3, dtype=np.int64), np.zeros(4, dtype=np.int64))
    found = expand_queries(queries, database, all_usable(database), 2, 0, own)
    np.testing.assert_allclose(found, queries, rtol=1e-6)
    empty = expand_queries(queries[:0], database, all_usable(database), 2, 0, (own[0][:0], own[1]))
    assert empty.shape == (0, 5)


def test_augment_database_needs_no_square_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 1 << 20)
    database = unit_vectors(10, 4000)  # 64 MB of similarities in single precision
    tracemalloc.start()
    try:
        augment_database(database, all_usable(database), 3, 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20
