"""build-graph through the stage and the command line, on descriptors that the tests write."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Graph, open_any
from rrtool.core.diffusion import knn
from rrtool.core.diffusion.graph import SYMMETRIZATIONS
from rrtool.core.diffusion.knn import METHODS, KnnOptions, Searcher
from rrtool.stages.diffusion import build_graph as stage
from rrtool.stages.diffusion import options
from tests.core.diffusion.test_graph import assert_well_formed, unit_vectors
from tests.stages.damaging import edited
from tests.stages.made_features import NETWORK, write_features
from tests.tiny import assert_done, assert_fails, digest_of, leftovers, rrtool

N, K = 60, 6
FAILED, ZERO, NOT_FINITE = (4, 59), (7,), (11,)
GOOD = np.setdiff1d(np.arange(N), (*FAILED, *ZERO, *NOT_FINITE))


def names_of(n: int) -> list[str]:
    return [f"{i:03d}.png" for i in range(n)]


def descriptors_with_bad_rows() -> np.ndarray:
    vectors = unit_vectors(N, 8)
    vectors[20:24] = vectors[20] + 0.05 * unit_vectors(4, 8, seed=1)
    vectors[list(ZERO)] = 0
    vectors[NOT_FINITE[0], 3] = np.nan
    return vectors


def build(features: object, output: Path, *options: object):
    return rrtool("build-graph", features, "-o", output, "--device", "cpu", *options)


def dense_graph(vectors: np.ndarray, k: int, gamma: float = 3, symmetrize: str = "mutual"):
    """Equations 2.1–2.2 on all pairs; no ties at the end of a list."""
    similarities = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    np.fill_diagonal(similarities, -np.inf)
    directed = np.zeros(similarities.shape)
    for row, weights in zip(similarities, directed, strict=True):
        nearest = np.argsort(-row)[:k]
        weights[nearest] = np.maximum(row[nearest], 0) ** gamma
    return np.minimum(directed, directed.T) if symmetrize == "mutual" else directed + directed.T


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("build-graph")
    return write_features(folder / "f.h5", names_of(N), descriptors_with_bad_rows(), failed=FAILED)


def write_vectors(path: Path, vectors: np.ndarray, **options: object) -> Path:
    return write_features(path, names_of(len(vectors)), vectors, **options)


# What is in the graph


@pytest.mark.parametrize("symmetrize", ["mutual", "sum"])
@pytest.mark.parametrize("gamma", [1, 3])
def test_build_graph_equals_the_dense_definition_over_good_rows(
    features, tmp_path, symmetrize, gamma
):
    options = ("--k", K, "--gamma", gamma, "--symmetrize", symmetrize)
    result = build(features, tmp_path / "g.h5", *options)
    assert_done(result)
    assert result.stdout == f"{tmp_path / 'g.h5'}\n"
    expected = np.zeros((N, N))
    vectors = descriptors_with_bad_rows()[GOOD]
    expected[np.ix_(GOOD, GOOD)] = dense_graph(vectors, K, gamma, symmetrize)
    with open_artifact(tmp_path / "g.h5", Graph) as graph, open_any(features) as source:
        adjacency = graph.adjacency()
        assert_well_formed(adjacency)
        np.testing.assert_allclose(adjacency.toarray(), expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_array_equal(adjacency.toarray() > 0, expected > 0)
        np.testing.assert_array_equal(graph.status, ~np.isin(np.arange(N), GOOD))
        assert graph.names == source.names
        assert sorted(graph.ordering) == list(range(N))
        assert [record.digest for record in graph.inputs] == [source.digest]
        assert graph.network == NETWORK
        assert graph.options["k"] == K
        assert graph.extra["recall"] == 1
        statistics = graph.extra["statistics"]
        assert statistics["n_edges"] == np.count_nonzero(expected) // 2
        assert statistics["n_isolated"] == (expected.sum(axis=1) == 0).sum() >= 4
        types = {name: graph.layout(name)[0] for name in ("indptr", "indices", "weights")}
        assert types == {"indptr": np.int64, "indices": np.int32, "weights": np.float32}


def test_build_graph_lists_good_rows_only_and_none_lists_itself(features, tmp_path):
    assert_done(build(features, tmp_path / "g.h5", "--k", K))
    with open_any(tmp_path / "g.h5") as graph:
        ids, similarities = graph.neighbor_ids, graph.similarities
    bad = np.setdiff1d(np.arange(N), GOOD)
    assert ids.shape == similarities.shape == (N, K)
    assert (ids[bad] == -1).all()
    assert not similarities[bad].any()
    assert np.isin(ids[GOOD], GOOD).all()
    assert (ids != np.arange(N)[:, None]).all()
    vectors = descriptors_with_bad_rows()[GOOD]
    expected = Searcher(vectors, KnnOptions(K)).neighbors(np.arange(len(GOOD)))
    np.testing.assert_allclose(similarities[GOOD], expected[1], atol=1e-6)
    for row in (20, 21, 22, 23):
        assert set(ids[row]) >= {20, 21, 22, 23} - {row}


def test_build_graph_of_any_parts_is_the_same(features, tmp_path, monkeypatch):
    assert_done(build(features, tmp_path / "a.h5", "--k", K))
    monkeypatch.setattr(stage, "_ROWS_PER_PART", 7)
    assert_done(build(features, tmp_path / "b.h5", "--k", K))
    with open_any(tmp_path / "a.h5") as one, open_any(tmp_path / "b.h5") as other:
        np.testing.assert_array_equal(one.neighbor_ids, other.neighbor_ids)
        np.testing.assert_allclose(one.weights, other.weights, rtol=1e-5)


def test_build_graph_without_faiss_is_the_same(features, tmp_path, monkeypatch):
    assert_done(build(features, tmp_path / "a.h5", "--k", K))
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert_done(build(features, tmp_path / "b.h5", "--k", K))
    with open_any(tmp_path / "a.h5") as one, open_any(tmp_path / "b.h5") as other:
        np.testing.assert_allclose(
            one.adjacency().toarray(), other.adjacency().toarray(), rtol=1e-5
        )
    for method in ("ivf", "hnsw"):
        result = build(features, tmp_path / "c.h5", "--k", K, "--method", method)
        assert_fails(result, 1, f"--method {method} needs faiss", "pip install faiss-cpu")
    assert not (tmp_path / "c.h5").exists()


@pytest.mark.parametrize("k", [1, len(GOOD) - 1])
def test_build_graph_at_the_ends_of_k(features, tmp_path, k):
    assert_done(build(features, tmp_path / "g.h5", "--k", k))
    with open_any(tmp_path / "g.h5") as graph:
        assert (graph.neighbor_ids[GOOD] >= 0).all()
        adjacency = graph.adjacency().toarray()
    vectors = descriptors_with_bad_rows()[GOOD]
    if k > 1:
        expected = dense_graph(vectors, k)
        np.testing.assert_allclose(adjacency[np.ix_(GOOD, GOOD)], expected, rtol=1e-4, atol=1e-6)


# Approximate methods


@pytest.mark.parametrize("method", ["ivf", "hnsw"])
def test_build_graph_measures_the_recall_of_approximate_methods(tmp_path, method):
    pytest.importorskip("faiss")
    features = write_vectors(tmp_path / "f.h5", unit_vectors(300, 6))
    result = build(features, tmp_path / "g.h5", "--k", K, "--method", method, "--seed", 2)
    assert_done(result)
    with open_any(tmp_path / "g.h5") as graph:
        assert graph.options["seed"] == 2
        assert graph.extra["recall"] > 0.9
        recall = graph.extra["recall"]
    assert f"recall of --method {method}: {recall:.4f}" in result.stderr


def test_build_graph_is_approximate_by_default_where_there_are_many(tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(stage, "_EXACT_LIMIT", 299)
    for n, method in ((299, "exact"), (300, "ivf")):
        features = write_vectors(tmp_path / f"f{n}.h5", unit_vectors(n, 6))
        for name, more in {"g": (), "u": ("--update",), "s": ("--shard", "1/1")}.items():
            assert_done(build(features, tmp_path / f"{name}{n}.h5", "--k", K, *more))
            with open_any(tmp_path / f"{name}{n}.h5") as graph:
                assert graph.options["method"] == ("exact" if more else method)
                assert ("seed" in graph.options) == (graph.options["method"] == "ivf")
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert_done(build(features, tmp_path / "g.h5", "--k", K))
    with open_any(tmp_path / "g.h5") as graph:
        assert graph.options["method"] == "exact"


def test_build_graph_by_inverted_lists_searches_enough_of_them(tmp_path):
    """At random hardly anything is near: the lists searched at first find too few."""
    pytest.importorskip("faiss")
    vectors = unit_vectors(4000, 30)
    features = write_vectors(tmp_path / "f.h5", vectors)
    assert_done(build(features, tmp_path / "g.h5", "--k", K, "--method", "ivf"))
    with open_any(tmp_path / "g.h5") as graph:
        found = np.einsum("nd,nkd->nk", vectors, vectors[graph.neighbor_ids])
        assert graph.extra["recall"] > 0.98
    products = vectors @ vectors.T
    np.fill_diagonal(products, -1)
    least = -np.partition(-products, K - 1, axis=1)[:, K - 1 : K]
    assert (found >= least - 1e-6).mean() > 0.98


def test_build_graph_recall_counts_no_missing_neighbor_as_found(tmp_path, monkeypatch):
    """Of so many neighbours that the last are unlike, the few lists probed hold not half."""
    pytest.importorskip("faiss")
    monkeypatch.setattr(knn, "RECALL", 0)
    vectors, k = unit_vectors(700, 16), 600
    features = write_vectors(tmp_path / "f.h5", vectors)
    assert_done(build(features, tmp_path / "g.h5", "--k", k, "--method", "ivf"))
    with open_any(tmp_path / "g.h5") as graph:
        n_found = (graph.neighbor_ids >= 0).sum()
        assert n_found < 0.9 * k * 700
        assert graph.extra["recall"] <= n_found / (k * 700) + 0.02


# Degenerate collections


def test_build_graph_of_equal_rows_works(tmp_path):
    vectors = np.repeat(unit_vectors(1, 8), 20, axis=0)
    result = build(write_vectors(tmp_path / "f.h5", vectors), tmp_path / "g.h5", "--k", 5)
    assert_done(result)
    with open_any(tmp_path / "g.h5") as graph:
        adjacency = graph.adjacency()
        np.testing.assert_allclose(adjacency.data, np.ones(adjacency.nnz), rtol=1e-5)
        n_isolated = int((np.diff(adjacency.indptr) == 0).sum())
        assert n_isolated == graph.extra["statistics"]["n_isolated"]
        assert f"{n_isolated} isolated" in result.stderr


def test_build_graph_without_edges_works_and_says_so(tmp_path):
    features = write_vectors(tmp_path / "f.h5", np.eye(9, dtype=np.float32))
    result = build(features, tmp_path / "g.h5", "--k", 3)
    assert_done(result)
    assert "the graph has no edges" in result.stderr
    with open_any(tmp_path / "g.h5") as graph:
        assert graph.adjacency().nnz == 0
        assert graph.extra["statistics"]["n_isolated"] == 9
        assert sorted(graph.ordering) == list(range(9))


# Running again


def test_build_graph_again_is_up_to_date_and_other_options_are_an_error(features, tmp_path):
    output = tmp_path / "g.h5"
    assert_done(build(features, output, "--k", K))
    before = output.read_bytes()
    result = build(features, output, "--k", K, "--seed", 9)
    assert_done(result)
    assert "is up to date" in result.stderr
    assert output.read_bytes() == before
    for name, value, found in (("k", 5, K), ("gamma", 2.0, 3.0), ("symmetrize", "sum", "mutual")):
        result = build(features, output, "--k", K, f"--{name}", value)
        assert_fails(result, 4, f"another --{name}", f"expected {value}", f"found {found}")
    assert output.read_bytes() == before
    assert_done(build(features, output, "--k", 5, "--overwrite"))
    with open_any(output) as graph:
        assert graph.options["k"] == 5
    assert leftovers(tmp_path) == []


def test_build_graph_interrupted_continues(features, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "_ROWS_PER_PART", 10)
    assert_done(build(features, tmp_path / "whole.h5", "--k", K))
    original, done = stage.Neighbors.__call__, []

    def interrupted(neighbors, rows):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(rows)
        return original(neighbors, rows)

    monkeypatch.setattr(stage.Neighbors, "__call__", interrupted)
    assert build(features, tmp_path / "g.h5", "--k", K).exit_code == 130
    assert not (tmp_path / "g.h5").exists()
    continued = []
    monkeypatch.setattr(
        stage.Neighbors,
        "__call__",
        lambda neighbors, rows: continued.append(rows) or original(neighbors, rows),
    )
    assert_done(build(features, tmp_path / "g.h5", "--k", K))
    assert [rows.start for rows in done] == [0, 10, 20]
    assert [rows.start for rows in continued] == [30, 40, 50]
    assert digest_of(tmp_path / "g.h5") == digest_of(tmp_path / "whole.h5")
    assert leftovers(tmp_path) == []


def test_build_graph_reads_its_features_from_a_pipe_and_prints_json(features, tmp_path):
    result = rrtool(
        "build-graph", "-", "-o", tmp_path / "g.h5", "--k", K, "--json", "--device", "cpu",
        stdin=f"{features}\n".encode(),
    )  # fmt: skip
    assert_done(result)
    facts = json.loads(result.stdout)
    assert facts["kind"] == "graph"
    assert facts["statistics"]["n_vertices"] == N


# Bad input


def test_build_graph_offers_what_the_core_has():
    assert set(options.METHODS) == {"auto", *METHODS}
    assert options.SYMMETRIZATIONS == SYMMETRIZATIONS


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("--k", 0), ("bad --k", "at least 1", "found 0")),
        (("--k", -2), ("bad --k", "found -2")),
        (("--k", len(GOOD)), ("bad --k", f"at most {len(GOOD) - 1}", f"found {len(GOOD)}")),
        (("--k", 10**9), ("bad --k", f"at most {len(GOOD) - 1}")),
        (("--method", "lsh"), ("unknown --method", "auto, exact, ivf, hnsw", "found lsh")),
        (("--symmetrize", "max"), ("unknown --symmetrize", "mutual, sum", "found max")),
        (("--gamma", 0), ("bad --gamma", "found 0")),
        (("--gamma", "nan"), ("bad --gamma", "found nan")),
        (("--gamma", 101), ("bad --gamma",)),
        (("--seed", -1, "--k", 4, "--method", "hnsw"), ("bad --seed", "found -1")),
        (("--device", "tpu"), ("unknown --device", "found tpu")),
        (("--device", "tpu", "--method", "ivf"), ("unknown --device", "found tpu")),
    ],
)
def test_build_graph_bad_options_are_usage_errors(features, tmp_path, options, texts):
    assert_fails(build(features, tmp_path / "g.h5", *options), 2, *texts)
    assert not (tmp_path / "g.h5").exists()


def test_build_graph_of_no_good_row_is_an_artifact_error(tmp_path):
    features = write_vectors(tmp_path / "f.h5", unit_vectors(3, 8), failed=(0, 1, 2))
    assert_fails(build(features, tmp_path / "g.h5", "--k", 1), 4, "f.h5", "no row is usable")


def test_build_graph_of_zero_rows_only_is_an_artifact_error(tmp_path):
    features = write_vectors(tmp_path / "f.h5", np.zeros((4, 8), np.float32))
    result = build(features, tmp_path / "g.h5", "--k", 1)
    assert_fails(result, 4, "f.h5", "no row is usable", "found zeros only")


def test_build_graph_of_other_files(features, tmp_path):
    assert_done(build(features, tmp_path / "g.h5", "--k", K))
    result = build(tmp_path / "g.h5", tmp_path / "h.h5", "--k", K)
    assert_fails(result, 4, "another kind", "expected features or regions", "found graph")
    assert_fails(build(tmp_path / "none.h5", tmp_path / "h.h5"), 2, "No such file")
    (tmp_path / "cut.h5").write_bytes(features.read_bytes()[:3000])
    assert_fails(build(tmp_path / "cut.h5", tmp_path / "h.h5"), 4, "cut.h5", "damaged, cut short")
    (tmp_path / "text.h5").write_text("words")
    assert_fails(build(tmp_path / "text.h5", tmp_path / "h.h5"), 4, "text.h5", "not an HDF5 file")


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("weights", np.nan, "negative or not finite"),
        ("weights", -1.0, "negative or not finite"),
        ("weights", 9.0, "not symmetric"),
        ("indices", N, "damaged graph"),
        ("indices", -5, "damaged graph"),
    ],
)
def test_adjacency_of_a_damaged_graph_is_an_artifact_error(features, tmp_path, name, values, text):
    assert_done(build(features, tmp_path / "g.h5", "--k", K))
    with edited(tmp_path / "g.h5") as file:
        file[name][3] = values
    result = rrtool("centrality", tmp_path / "g.h5", "-o", tmp_path / "c.h5", "--measure", "degree")
    assert_fails(result, 4, "g.h5", "damaged graph", text)
