"""build-graph --update: what a build from nothing gives, up to ties, of whatever has changed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Graph, open_artifact
from rrtool.core.diffusion.graph import build_adjacency
from rrtool.core.diffusion.knn import Searcher
from rrtool.errors import ArtifactError, OptionError
from rrtool.stages.diffusion import build_graph as stage
from tests.core.diffusion.test_graph import unit_vectors
from tests.stages.changing_rows import ChangingRows
from tests.stages.damaging import damaged
from tests.stages.diffusion.test_build_graph import build, names_of
from tests.stages.made_features import write_features, write_regions
from tests.tiny import Told, assert_done, assert_fails, digest_of, leftovers

K, TOLERANCE = 4, 2e-6


def require_right(graph: Graph, vectors: np.ndarray, k: int) -> None:
    """Every list by brute force in float64, where which of equals are in it is left open."""
    is_vertex = np.isfinite(vectors).all(axis=1) & vectors.any(axis=1)
    similarities = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    similarities[:, ~is_vertex] = -np.inf
    np.fill_diagonal(similarities, -np.inf)
    assert graph.neighbor_ids.shape == (len(vectors), k)
    np.testing.assert_array_equal(graph.status == 0, is_vertex)
    for row in range(len(vectors)):
        ids, values = graph.neighbor_ids[row], graph.similarities[row]
        if not is_vertex[row]:
            assert (ids == -1).all()
            assert not values.any()
            continue
        best = np.sort(similarities[row])[::-1][:k]
        assert len({*ids.tolist()}) == k
        np.testing.assert_allclose(values, best, atol=TOLERANCE)
        np.testing.assert_allclose(similarities[row, ids], values, atol=TOLERANCE)
    expected = build_adjacency(graph.neighbor_ids, graph.similarities)
    np.testing.assert_array_equal(graph.adjacency().toarray(), expected.toarray())


@pytest.mark.parametrize("seed", range(6))
def test_updated_graph_is_that_of_a_build_from_nothing(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_ROWS_PER_PART", 8)
    rows = ChangingRows(np.random.default_rng(seed), least=2 * K)
    for _ in range(4):
        vectors = rows.write(tmp_path / "f.h5")
        _update(tmp_path)
        with open_artifact(tmp_path / "g.h5", Graph) as graph:
            require_right(graph, vectors, K)
        for _ in range(int(rows.generator.integers(1, 4))):
            rows.change()


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many lists were searched against all rows, part by part."""
    counts, original = [], Searcher.neighbors

    def counted(searcher: Searcher, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts.append(len(rows))
        return original(searcher, rows)

    monkeypatch.setattr(Searcher, "neighbors", counted)
    return counts


def _update(folder: Path, **options: object) -> str:
    told = Told()
    arguments = {"k": K, "device": "cpu", "update": True, **options}
    rrtool.build_graph(folder / "f.h5", folder / "g.h5", progress=told, **arguments)
    return "\n".join(told.lines)


def test_update_searches_new_descriptors_and_lists_that_lost_one(
    tmp_path: Path, searched: list[int]
) -> None:
    names, vectors = names_of(40), unit_vectors(40, 6)
    write_features(tmp_path / "f.h5", names, vectors)
    _update(tmp_path)
    with open_artifact(tmp_path / "g.h5", Graph) as graph:
        lost = np.flatnonzero((graph.neighbor_ids == 7).any(axis=1))
    searched.clear()
    vectors[7] = -vectors[7]
    order = np.r_[39:-1:-1]
    write_features(tmp_path / "f.h5", [f"new-{names[i]}" for i in order], vectors[order])
    told = _update(tmp_path)
    assert "39 of 40 descriptors are kept, 1 are new or changed" in told
    assert f"the lists of {len(lost)} have lost a neighbour" in told
    assert 1 <= sum(searched) <= 1 + len(lost) < 20
    with open_artifact(tmp_path / "g.h5", Graph) as graph:
        require_right(graph, vectors[order], K)
        assert graph.names[0] == "new-039.png"
    assert "is up to date" in _update(tmp_path)


def test_update_of_an_other_order_searches_nothing(tmp_path: Path, searched: list[int]) -> None:
    vectors = unit_vectors(30, 6)
    write_features(tmp_path / "f.h5", names_of(30), vectors)
    _update(tmp_path)
    searched.clear()
    write_features(tmp_path / "f.h5", names_of(30), vectors[::-1])
    assert "30 of 30 descriptors are kept, 0 are new" in _update(tmp_path)
    assert sum(searched) == 0
    with open_artifact(tmp_path / "g.h5", Graph) as graph:
        require_right(graph, vectors[::-1], K)


def test_update_of_regions_keeps_them_whatever_their_image(
    tmp_path: Path, searched: list[int]
) -> None:
    vectors = unit_vectors(24, 6)
    write_regions(tmp_path / "f.h5", vectors, [3] * 8)
    _update(tmp_path)
    searched.clear()
    more = np.concatenate([unit_vectors(2, 6, seed=5), vectors])
    write_regions(tmp_path / "f.h5", more, [2] + [4] * 6)
    assert "24 of 26 descriptors are kept, 2 are new" in _update(tmp_path)
    assert sum(searched) == 2
    with open_artifact(tmp_path / "g.h5", Graph) as graph:
        require_right(graph, more, K)
        assert len(graph.names) == 7


def test_update_follows_a_k_that_follows_the_number_of_images(
    tmp_path: Path, searched: list[int]
) -> None:
    vectors = unit_vectors(240, 8)
    for n, k in ((200, 5), (240, 6), (160, 4)):
        write_features(tmp_path / "f.h5", names_of(n), vectors[:n])
        told = _update(tmp_path, k=None)
        with open_artifact(tmp_path / "g.h5", Graph) as graph:
            require_right(graph, vectors[:n], k)
    assert "160 of 160 descriptors are kept" in told
    assert sum(searched) < 200 + 240 + 160  # of longer lists there is something left


def test_update_of_another_graph_is_refused(tmp_path: Path) -> None:
    vectors = unit_vectors(30, 6)
    write_features(tmp_path / "f.h5", names_of(30), vectors)
    _update(tmp_path)
    before = digest_of(tmp_path / "g.h5")
    write_features(tmp_path / "f.h5", names_of(29), vectors[1:])
    for options, named in (
        ({"k": 5}, "--k"), ({"gamma": 2.0}, "--gamma"), ({"symmetrize": "sum"}, "--symmetrize"),
        ({"k": None}, "--k"),
    ):  # fmt: skip
        with pytest.raises(ArtifactError, match=f"another {named} "):
            _update(tmp_path, **options)
    with pytest.raises(ArtifactError, match=r"other features.*use --update to keep"):
        _update(tmp_path, update=False)
    write_features(tmp_path / "f.h5", names_of(29), vectors[1:], network={"name": "vgg16"})
    with pytest.raises(ArtifactError, match="another --network"):
        _update(tmp_path)
    assert digest_of(tmp_path / "g.h5") == before
    assert leftovers(tmp_path) == []


def test_update_goes_with_exact_lists_alone() -> None:
    for options in ({"method": "hnsw"}, {"overwrite": True}, {"shard": "1/2"}):
        with pytest.raises(OptionError, match="--update"):
            rrtool.build_graph("f.h5", "g.h5", update=True, **options)


def test_graph_of_an_older_version_is_made_anew(tmp_path: Path, searched: list[int]) -> None:
    vectors = unit_vectors(30, 6)
    write_features(tmp_path / "f.h5", names_of(30), vectors)
    _update(tmp_path)
    damaged(tmp_path / "g.h5", tmp_path / "old.h5", {"descriptor_digests": None})
    shutil.move(tmp_path / "old.h5", tmp_path / "g.h5")
    assert "is up to date" in _update(tmp_path)
    searched.clear()
    write_features(tmp_path / "f.h5", names_of(29), vectors[1:])
    assert "nothing is kept, since it was made by an older rrtool" in _update(tmp_path)
    assert sum(searched) == 29
    with open_artifact(tmp_path / "g.h5", Graph) as graph:
        require_right(graph, vectors[1:], K)


def test_damaged_graph_is_not_updated(tmp_path: Path) -> None:
    vectors = unit_vectors(30, 6)
    write_features(tmp_path / "f.h5", names_of(30), vectors)
    _update(tmp_path)
    ids = np.full((30, K), 99, np.int32)
    damaged(tmp_path / "g.h5", tmp_path / "bad.h5", {"neighbor_ids": ids})
    shutil.move(tmp_path / "bad.h5", tmp_path / "g.h5")
    write_features(tmp_path / "f.h5", names_of(29), vectors[1:])
    result = build(tmp_path / "f.h5", tmp_path / "g.h5", "--k", K, "--update")
    assert_fails(result, 4, "damaged graph: neighbor_ids")
    assert_done(build(tmp_path / "f.h5", tmp_path / "g.h5", "--k", K, "--overwrite"))


def test_interrupted_update_goes_on(
    tmp_path: Path, searched: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "_ROWS_PER_PART", 8)
    vectors = unit_vectors(40, 6)
    write_features(tmp_path / "f.h5", names_of(40), vectors)
    _update(tmp_path)
    write_features(tmp_path / "f.h5", names_of(39), vectors[1:])
    original, done = stage.Neighbors.__call__, []

    def interrupted(neighbors: object, rows: range) -> object:
        done.append(rows)
        if len(done) == 3:
            raise KeyboardInterrupt
        return original(neighbors, rows)

    with monkeypatch.context() as patch:
        patch.setattr(stage.Neighbors, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _update(tmp_path)
    with open_artifact(tmp_path / "g.h5", Graph) as graph:
        assert len(graph.names) == 40  # what was there can be used until the new one is
    _update(tmp_path)
    with open_artifact(tmp_path / "g.h5", Graph) as graph:
        require_right(graph, vectors[1:], K)
    assert leftovers(tmp_path) == []
