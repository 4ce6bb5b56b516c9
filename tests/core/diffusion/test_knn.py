"""k nearest neighbours against brute force in float64, with faiss and with torch."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from rrtool.core.diffusion import knn
from rrtool.core.diffusion.knn import KnnOptions, Searcher, recall
from tests.device import TORCH_DEVICE

TOLERANCE = 1e-5
BACKENDS = ("faiss", "torch", "torch, blocks")


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every backend of the exact search; the last merges blocks of very few rows."""
    if request.param == "faiss":
        pytest.importorskip("faiss")
    else:
        monkeypatch.setitem(sys.modules, "faiss", None)
        search = knn._search_torch
        monkeypatch.setattr(knn, "_search_torch", lambda q, v, k, _: search(q, v, k, TORCH_DEVICE))
    if request.param == "torch, blocks":
        monkeypatch.setattr(knn, "_BLOCK_BYTES", 1)
    return request.param


def random_vectors(n: int = 37, d: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def clustered_vectors(n: int, n_clusters: int, d: int = 32, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centers = generator.normal(size=(n_clusters, d))
    vectors = centers[np.arange(n) % n_clusters] + 0.3 * generator.normal(size=(n, d))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def degenerate_vectors() -> dict[str, np.ndarray]:
    duplicates = random_vectors(20)
    duplicates[3:15] = duplicates[3]
    zeros = random_vectors(12)
    zeros[[0, 5, 11]] = 0
    lengths = random_vectors(25) * np.linspace(0.1, 5, 25, dtype=np.float32)[:, None]
    return {
        "random": random_vectors(),
        "duplicates": duplicates,
        "all equal": np.repeat(random_vectors(1), 15, axis=0),
        "some zero": zeros,
        "all zero": np.zeros((6, 4), np.float32),
        "other lengths": lengths,
        "orthogonal": np.eye(9, dtype=np.float32),
        "opposite": np.concatenate([np.eye(5), -np.eye(5)]).astype(np.float32),
        "two": random_vectors(2),
    }


VECTORS = degenerate_vectors()


def assert_nearest(
    queries: np.ndarray, vectors: np.ndarray, ids: np.ndarray, similarities: np.ndarray, k: int
) -> None:
    """Each list holds k different rows, of the right values, that no row left out exceeds."""
    exact = queries.astype(np.float64) @ vectors.T.astype(np.float64)
    assert ids.shape == similarities.shape == (len(queries), k)
    assert (ids.dtype, similarities.dtype) == (np.int32, np.float32)
    for row, own, values in zip(exact, ids, similarities, strict=True):
        assert len(set(own.tolist())) == k
        np.testing.assert_allclose(values, row[own], atol=TOLERANCE)
        np.testing.assert_allclose(values, np.sort(row)[::-1][:k], atol=TOLERANCE)
        assert (np.diff(values) <= 0).all()
        tied = np.diff(values) == 0
        assert (np.diff(own)[tied] > 0).all()


@pytest.mark.parametrize("name", VECTORS)
def test_neighbors_equal_brute_force_for_every_k(backend, name):
    vectors = VECTORS[name]
    n = len(vectors)
    exact = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(exact, -np.inf)
    for k in range(1, n):
        ids, similarities = Searcher(vectors, KnnOptions(k)).neighbors(np.arange(n))
        assert ids.shape == similarities.shape == (n, k)
        assert (ids != np.arange(n)[:, None]).all()
        assert (ids >= 0).all()
        assert all(len(set(row.tolist())) == k for row in ids)
        expected = -np.sort(-exact, axis=1)[:, :k]
        np.testing.assert_allclose(similarities, expected, atol=TOLERANCE)
        np.testing.assert_allclose(
            np.take_along_axis(exact, ids.astype(int), 1), expected, atol=TOLERANCE
        )


@pytest.mark.parametrize("k", [1, 2, 7, 36, 37])
def test_search_of_other_queries_equals_brute_force(backend, k):
    vectors, queries = VECTORS["random"], random_vectors(11, seed=5)
    ids, similarities = Searcher(vectors, KnnOptions()).search(queries, k)
    assert_nearest(queries, vectors, ids, similarities, k)


def test_search_orders_equal_similarities_by_id(backend):
    vectors = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)[[7, 0, 4, 8, 1, 5, 9, 2, 6, 10]]
    ids, similarities = Searcher(vectors, KnnOptions()).search(vectors, len(vectors))
    assert_nearest(vectors, vectors, ids, similarities, len(vectors))


def test_search_of_no_queries_or_no_neighbors_is_empty(backend):
    searcher = Searcher(VECTORS["random"], KnnOptions(4))
    for queries, k in ((np.zeros((0, 8), np.float32), 3), (VECTORS["random"], 0)):
        for values in searcher.search(queries, k):
            assert values.shape == (len(queries), k)
    for values in searcher.neighbors(np.arange(0)):
        assert values.shape == (0, 4)


def test_neighbors_of_some_rows_equal_those_of_all(backend):
    searcher = Searcher(VECTORS["duplicates"], KnnOptions(5))
    rows = np.array([14, 0, 3, 19])
    every = searcher.neighbors(np.arange(20))[1]
    np.testing.assert_allclose(searcher.neighbors(rows)[1], every[rows], atol=1e-6)


def test_neighbors_pad_lists_that_cannot_be_filled(backend):
    vectors = random_vectors(4)
    ids, similarities = Searcher(vectors, KnnOptions(6)).neighbors(np.arange(4))
    assert (ids[:, 3:] == -1).all()
    assert (similarities[:, 3:] == 0).all()
    assert (np.sort(ids[:, :3]) == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]).all()


def test_search_leaves_its_arguments_alone(backend):
    vectors = np.asfortranarray(VECTORS["random"].astype(np.float64))
    before = vectors.copy()
    ids, similarities = Searcher(vectors, KnnOptions(3)).search(vectors, 5)
    np.testing.assert_array_equal(vectors, before)
    assert_nearest(vectors, vectors, ids, similarities, 5)


def test_search_torch_merges_blocks_of_any_size(monkeypatch):
    vectors = random_vectors(50)
    for n_bytes in (1, 4 * 50 * 7, 4 * 50 * 49, 4 * 50 * 50, 1 << 20):
        monkeypatch.setattr(knn, "_BLOCK_BYTES", n_bytes)
        for k in (1, 6, 8, 49, 50):
            similarities, ids = knn._search_torch(vectors, vectors, k, TORCH_DEVICE)
            assert_nearest(vectors, vectors, *knn._in_order(ids.astype(np.int32), similarities), k)


@pytest.mark.parametrize("method", ["ivf", "hnsw"])
def test_approximate_methods_find_most_of_clustered_vectors(method):
    pytest.importorskip("faiss")
    vectors = clustered_vectors(2000, 100)
    rows = np.arange(0, 2000, 7)
    exact = Searcher(vectors, KnnOptions(15)).neighbors(rows)
    ids, similarities = Searcher(vectors, KnnOptions(15, method)).neighbors(rows)
    assert recall(similarities, exact[1]) > 0.97
    assert (ids != rows[:, None]).all()
    assert all(len(set(row)) == len(row) for row in ids.tolist() if -1 not in row)
    found = np.einsum("qd,qkd->qk", vectors[rows], vectors[ids])
    np.testing.assert_allclose(np.where(ids < 0, 0, found), similarities, atol=TOLERANCE)


@pytest.mark.parametrize("method", ["ivf", "hnsw"])
def test_approximate_methods_of_very_few_rows(method):
    pytest.importorskip("faiss")
    vectors = random_vectors(5)
    ids, similarities = Searcher(vectors, KnnOptions(4, method)).neighbors(np.arange(5))
    expected = Searcher(vectors, KnnOptions(4)).neighbors(np.arange(5))
    np.testing.assert_array_equal(ids, expected[0])
    np.testing.assert_allclose(similarities, expected[1], atol=TOLERANCE)


def test_ivf_of_all_lists_is_exact_and_of_fewer_finds_fewer():
    pytest.importorskip("faiss")
    vectors = clustered_vectors(1500, 300)
    exact = Searcher(vectors, KnnOptions(9)).search(vectors[:99], 9)
    every = Searcher(vectors, KnnOptions(9, "ivf", n_probe=10_000)).search(vectors[:99], 9)
    one = Searcher(vectors, KnnOptions(9, "ivf", n_probe=1)).search(vectors[:99], 9)
    np.testing.assert_array_equal(every[0], exact[0])
    assert recall(one[1], exact[1]) < 1


@pytest.mark.parametrize("n", [1, 2, 38, 39, 80])
def test_ivf_of_few_vectors_says_nothing(n, capfd):
    pytest.importorskip("faiss")
    vectors = random_vectors(n)
    Searcher(vectors, KnnOptions(min(2, n), "ivf")).search(vectors, min(2, n))
    assert capfd.readouterr().err == ""


def test_ivf_of_one_seed_repeats():
    pytest.importorskip("faiss")
    vectors = clustered_vectors(1500, 300)
    first, second = (
        Searcher(vectors, KnnOptions(9, "ivf", seed=3)).neighbors(np.arange(99)) for _ in range(2)
    )
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_without_faiss_the_exact_search_works_and_approximate_ones_raise(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    vectors = VECTORS["random"]
    assert_nearest(vectors, vectors, *Searcher(vectors, KnnOptions()).search(vectors, 9), 9)
    for method in ("ivf", "hnsw"):
        with pytest.raises(ImportError):
            Searcher(vectors, KnnOptions(3, method))


@pytest.mark.parametrize(
    ("found", "exact", "expected"),
    [
        ([[0.9, 0.5]], [[0.9, 0.5]], 1),
        ([[0.9, 0.4]], [[0.9, 0.5]], 0.5),
        ([[0.9, 0.5, 0.5]], [[0.9, 0.5, 0.5]], 1),
        ([[0.5, 0.4]], [[0.9, 0.5]], 0.5),
        ([[0.9, 0.8], [0.3, 0.2]], [[0.9, 0.8], [0.9, 0.8]], 0.5),
        ([[0.9, -np.inf]], [[0.9, -0.5]], 0.5),
        ([[-0.2, -0.6]], [[-0.2, -0.5]], 0.5),
        (np.zeros((0, 3)), np.zeros((0, 3)), 1),
    ],
)
def test_recall_of_hand_worked_lists(found, exact, expected):
    assert recall(np.array(found), np.array(exact)) == expected
