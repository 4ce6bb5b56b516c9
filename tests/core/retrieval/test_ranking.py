"""Ranking against a brute-force sort, with ties and unusable rows."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.core.retrieval import ranking
from rrtool.core.retrieval.ranking import rank_by_similarity, reorder_shortlist


def ranked(
    queries: np.ndarray, database: np.ndarray, usable: np.ndarray, top: int
) -> tuple[np.ndarray, np.ndarray]:
    blocks = list(rank_by_similarity(queries, database, usable, top))
    return np.concatenate([b[0] for b in blocks]), np.concatenate([b[1] for b in blocks])


@pytest.mark.parametrize("top", [1, 3, 7, 40, 1000])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
@pytest.mark.parametrize("block_rows", [1, 9, 1000])
def test_rank_by_similarity_equals_a_plain_sort_with_ties(
    top: int, block_bytes: int, block_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "BLOCK_BYTES", block_bytes)
    monkeypatch.setattr(ranking, "ROWS_PER_BLOCK", block_rows)
    generator = np.random.default_rng(top)
    # Small integers: float32 products are exact and ties abound.
    queries = generator.integers(-2, 3, (5, 4)).astype(np.float32)
    database = generator.integers(-2, 3, (60, 4)).astype(np.float32)
    usable = generator.random(60) > 0.2
    ids, similarities = ranked(queries, database, usable, top)
    for row, query in enumerate(queries):
        pairs = sorted((-float(query @ database[i]), i) for i in np.flatnonzero(usable))[:top]
        assert ids[row].tolist() == [i for _, i in pairs]
        assert similarities[row].tolist() == [-s for s, _ in pairs]


def test_products_that_overflow_are_similar_to_nothing() -> None:
    # The products are infinite, of both signs in the sum of the third, which is no number.
    database = np.array([[1, 0], [1e30, 0], [1e30, 1e30], [2, 0]], np.float32)
    query, usable = np.array([[1e30, -1e30]], np.float32), np.ones(4, bool)
    for top in (2, 4):
        with np.errstate(all="ignore"):
            ids, _ = ranked(query, database, usable, top)
        assert ids.tolist() == [[1, 3, 0, 2][:top]]


def test_rank_by_similarity_without_usable_rows_or_queries_is_empty() -> None:
    vectors = np.ones((3, 2), np.float32)
    ids, similarities = ranked(vectors, vectors, np.zeros(3, bool), 5)
    assert ids.shape == similarities.shape == (3, 0)
    assert list(rank_by_similarity(vectors[:0], vectors, np.ones(3, bool), 2)) == []


def test_reorder_shortlist_is_stable_and_keeps_the_rest() -> None:
    ids = np.array([5, 3, 9, 1, 0])
    order = reorder_shortlist(ids, np.array([1.0, 7.0, 1.0]))
    assert ids[order].tolist() == [3, 5, 9, 1, 0]
    assert reorder_shortlist(ids, np.zeros(0)).tolist() == [0, 1, 2, 3, 4]
