"""InvertedLists against faiss's own index of the same centres, and against every product."""

import numba
import numpy as np
import pytest

from rrtool.core.diffusion.approximate import inverted_lists
from rrtool.core.diffusion.approximate.inverted_lists import InvertedLists
from rrtool.core.retrieval.whitening import l2_normalize

faiss = pytest.importorskip("faiss")
TOLERANCE = 1e-6


def _vectors(n, d=19, n_clusters=37):
    rng = np.random.default_rng(n)
    centres = rng.standard_normal((n_clusters, d))
    vectors = centres[rng.integers(0, n_clusters, n)] + 0.3 * rng.standard_normal((n, d))
    return l2_normalize(vectors).astype(np.float32)


def _by_faiss(vectors, lists, n_probe):
    """The same centres in an index of faiss's."""
    n_lists, d = lists.centres.shape
    quantizer = faiss.IndexFlatIP(d)
    quantizer.add(lists.centres)
    index = faiss.IndexIVFFlat(quantizer, d, n_lists, faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
    index.add(vectors)
    index.nprobe = n_probe
    return index


def _sorted(similarities, ids):
    order = np.lexsort((ids, -similarities), axis=1)
    return np.take_along_axis(similarities, order, 1), np.take_along_axis(ids, order, 1)


@pytest.mark.parametrize("n_probe", [1, 3, 10_000])
@pytest.mark.parametrize("most", [1, 500, 1 << 24])
def test_lists_find_what_faiss_finds_in_the_same(n_probe, most, monkeypatch):
    monkeypatch.setattr(inverted_lists, "_MOST_PRODUCTS", most)
    vectors, queries = _vectors(1200), _vectors(131)
    lists = InvertedLists(vectors, 0, n_probe)
    n_lists = len(lists.centres)
    expected = _sorted(*_by_faiss(vectors, lists, min(n_probe, n_lists)).search(queries, 9))
    found = lists.search(queries, 9)
    np.testing.assert_array_equal(found[1], expected[1])
    is_found = found[1] >= 0
    np.testing.assert_allclose(found[0][is_found], expected[0][is_found], atol=TOLERANCE)
    assert np.isneginf(found[0][~is_found]).all()
    assert n_lists == 1200 // 39


@pytest.mark.parametrize("k", [1, 2, 41])
@pytest.mark.parametrize("n", [1, 2, 3, 40, 80])
def test_all_lists_find_the_largest_of_all_products(n, k):
    vectors, queries = _vectors(n), _vectors(7)
    similarities, ids = InvertedLists(vectors, 0, 10_000).search(queries, k)
    products = queries.astype(np.float64) @ vectors.T
    expected = -np.sort(-products, axis=1)[:, :k]
    n_found = min(k, n)
    assert ((ids >= 0).sum(axis=1) == n_found).all()
    found = -np.sort(-similarities, axis=1)
    np.testing.assert_allclose(found[:, :n_found], expected, atol=TOLERANCE)
    assert np.isneginf(found[:, n_found:]).all()
    own = np.take_along_axis(products, np.maximum(ids, 0), axis=1)
    np.testing.assert_allclose(own[ids >= 0], similarities[ids >= 0], atol=TOLERANCE)


def test_equal_vectors_and_zero_ones_are_each_found():
    vectors = np.repeat(_vectors(3), 30, axis=0)
    vectors[:5] = 0
    similarities, ids = InvertedLists(vectors, 0, 10_000).search(vectors[[0, 89]], 90)
    assert [sorted(row) for row in ids.tolist()] == [list(range(90))] * 2
    np.testing.assert_array_equal(ids, _sorted(similarities, ids)[1])
    assert not similarities[0].any()
    assert (similarities[1] > 1 - TOLERANCE).sum() == 30


def test_number_of_threads_changes_no_bit():
    vectors, queries = _vectors(900), _vectors(200)
    lists, n_threads, found = InvertedLists(vectors, 0, 5), numba.get_num_threads(), []
    try:
        for threads in {1, n_threads}:
            numba.set_num_threads(threads)
            found.append(lists.search(queries, 12))
    finally:
        numba.set_num_threads(n_threads)
    for similarities, ids in found[1:]:
        np.testing.assert_array_equal(similarities, found[0][0])
        np.testing.assert_array_equal(ids, found[0][1])
