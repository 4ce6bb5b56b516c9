"""One photo, or two: a trivially right result or a message about photos, never about --k."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.artifacts.kinds import open_any
from tests.core.diffusion.test_graph import unit_vectors
from tests.stages.made_features import write_features
from tests.tiny import CPU, NETWORK, assert_done, assert_fails, make_pictures, rrtool


def _features(folder, n, failed=0):
    """Of ``n`` good photos, and before them of some that failed."""
    names = [f"{i}.png" for i in range(failed + n)]
    vectors = np.abs(unit_vectors(failed + n, 8))
    write_features(folder / "f.h5", names, vectors, failed=tuple(range(failed)))
    return vectors[failed:]


@pytest.mark.parametrize("options", [(), ("--k", "5"), ("--method", "ivf"), ("--method", "hnsw")])
@pytest.mark.parametrize(("n", "failed"), [(1, 0), (1, 4), (2, 0), (2, 3)])
def test_graph_of_one_or_two_photos_has_all_edges_there_can_be(
    tmp_path, monkeypatch, n, failed, options
):
    monkeypatch.chdir(tmp_path)
    vectors = _features(tmp_path, n, failed)
    result = rrtool("build-graph", "f.h5", "-o", "g.h5", "--device", "cpu", *options)
    assert_done(result)
    assert ("only one photo, or region, has a descriptor" in result.stderr) == (n == 1)
    with open_any("g.h5") as graph:
        weights, rows = graph.weights, np.repeat(np.arange(failed + n), np.diff(graph.indptr))
        assert rows.tolist() == [failed, failed + 1][: 2 * (n - 1)]
        expected = [float(vectors[0] @ vectors[-1]) ** 3] * len(rows)
        np.testing.assert_allclose(weights, expected, rtol=1e-5)


def test_default_k_is_no_more_than_there_are_good_photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _features(tmp_path, 3, failed=5)
    assert_done(rrtool("build-graph", "f.h5", "-o", "g.h5", "--device", "cpu"))
    with open_any("g.h5") as graph:
        assert [sorted(row) for row in graph.neighbor_ids[5:].tolist()] == [[6, 7], [5, 7], [5, 6]]


@pytest.mark.parametrize("n", [1, 2])
def test_ranking_of_one_or_two_photos_has_them_all(tmp_path, monkeypatch, n):
    monkeypatch.chdir(tmp_path)
    _features(tmp_path, n)
    assert_done(rrtool("build-graph", "f.h5", "-o", "g.h5", "--device", "cpu"))
    where = ("--queries", "f.h5", "--database", "f.h5", "--graph", "g.h5", "--device", "cpu")
    expanded = ("--expand", "5", "--augment", "3", "--top", "9")
    prepare = ("diffuse", *where[2:], "--prepare", "-o", "solved.h5")
    for call in (
        ("search", "f.h5", "f.h5", "-o", "search.h5"),
        ("search", "f.h5", "f.h5", "-o", "expanded.h5", *expanded),
        ("diffuse", *where, "-o", "diffuse.h5"),
        ("diffuse", *where, "-o", "truncated.h5", "--truncate", "5"),
        ("diffuse", *where, "-o", "transductive.h5", "--transductive"),
    ):
        assert_done(rrtool(*call))
        with open_any(call[call.index("-o") + 1]) as ranking:
            for i in range(n):
                names = [hit.name for hit in ranking.hits(f"{i}.png")]
                assert names == sorted(ranking.database_names, key=lambda name: name != names[0])
                assert names[0] == f"{i}.png" or "expanded" in call[4]
    assert_done(rrtool(*prepare))


@pytest.mark.parametrize("measure", ["degree", "eigenvector", "pagerank", "katz", "closeness"])
def test_centrality_of_one_or_two_photos_is_equal(tmp_path, monkeypatch, measure):
    monkeypatch.chdir(tmp_path)
    for n in (1, 2):
        _features(tmp_path, n)
        arguments = ("--device", "cpu", "--overwrite")
        assert_done(rrtool("build-graph", "f.h5", "-o", "g.h5", *arguments))
        assert_done(rrtool("centrality", "g.h5", "--measure", measure, "-o", "c.h5", *arguments))
        with open_any("c.h5") as found:
            assert len(found.centrality) == n
            assert np.isfinite(found.centrality).all()
            np.testing.assert_allclose(found.centrality, found.centrality[0])


def test_whitening_of_one_photo_is_an_error_about_descriptors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _features(tmp_path, 1)
    fit = ("whiten", "fit", "f.h5", "-o", "w.h5")
    text = "too few different descriptors to learn a whitening from"
    for method in ("pca", "center"):
        assert_fails(rrtool(*fit, "--method", method), 4, text)
    assert_fails(rrtool(*fit, "--groups", "prefix:(.)"), 2, "no two images with a descriptor match")


def test_objects_and_verification_of_one_photo(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_pictures(tmp_path / "images", 1)
    network, graph = (*NETWORK, *CPU), ("--graph", "g.h5", "--centrality", "c.h5")
    inputs = ("--features", "os.h5", "--regions", "r.h5", "--centrality", "c.h5")
    for call in (
        ("extract", "images", "-o", "f.h5", *network),
        ("search", "f.h5", "f.h5", "-o", "s.h5"),
        ("detect-local", "images", "-o", "l.h5", *network),
        ("rerank", "s.h5", "--query-local", "l.h5", "--database-local", "l.h5", "-o", "v.h5"),
        ("saliency", "fs", "images", "-o", "r.h5", *network),
        ("build-graph", "r.h5", "-o", "g.h5"),
        ("centrality", "g.h5", "--measure", "katz", "-o", "c.h5"),
        ("saliency", "os", "images", "-o", "sal.h5", *inputs, *network),
        ("discover", "r.h5", *graph, "-o", "o.h5"),
    ):
        assert_done(rrtool(*call))
    with open_any("o.h5") as objects:
        assert objects.extra["n_objects"] == 0
    with open_any("v.h5") as ranking:
        assert [hit.name for hit in ranking.hits("000.png")] == ["000.png"]
