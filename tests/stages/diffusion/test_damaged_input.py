"""diffuse on artifacts that cannot be, in ways that only their values show: exit code 4."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts.kinds import Graph, OfflineDiffusion, open_any
from tests.stages.damaging import damaged, edited
from tests.stages.made_features import write_features
from tests.tiny import assert_fails
from tests.tiny import rrtool as run

N, K = 12, 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    vectors = np.random.default_rng(0).random((N, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    features = write_features(folder / "f.h5", [f"{i}.png" for i in range(N)], vectors)
    graph = rrtool.build_graph(features, folder / "g.h5", k=K, device="cpu")
    rrtool.diffuse(folder / "p.h5", graph=graph, database=features, prepare=True)
    return folder


def diffuse(made: Path, output: Path, graph: Path, *options: object) -> object:
    return run("diffuse", "--graph", graph, "--queries", made / "f.h5", "--database",
               made / "f.h5", "-o", output, "--device", "cpu", *options)  # fmt: skip


@pytest.mark.parametrize("name", ["n_edges", "diffusion_spread"])
def test_diffuse_refuses_a_graph_without_a_statistic(made: Path, tmp_path: Path, name: str) -> None:
    with open_any(made / "g.h5") as graph:
        statistics = {**graph.extra["statistics"], name: "many"}
    graph = damaged(made / "g.h5", tmp_path / "g.h5", extra={"statistics": statistics})
    assert_fails(diffuse(made, tmp_path / "r.h5", graph), 4, "g.h5", "damaged graph", name)


def test_diffuse_refuses_an_ordering_with_a_vertex_twice(made: Path, tmp_path: Path) -> None:
    ordering = np.arange(N, dtype=np.int32)
    ordering[3] = 4
    graph = damaged(made / "g.h5", tmp_path / "g.h5", {"ordering": ordering})
    assert_fails(diffuse(made, tmp_path / "r.h5", graph), 4, "damaged graph", "every vertex once")


def test_diffuse_refuses_a_graph_of_fewer_vertices(made: Path, tmp_path: Path) -> None:
    with open_any(made / "g.h5") as graph:
        assert isinstance(graph, Graph)
        first = {
            "status": graph.status[:-1],
            "descriptor_digests": graph.descriptor_digests[:-1],
            "neighbor_ids": np.minimum(graph.neighbor_ids[:-1], N - 2),
            "similarities": graph.similarities[:-1],
            "indptr": np.zeros(N, np.int64),
            "indices": graph.indices[:0],
            "weights": graph.weights[:0],
            "ordering": np.arange(N - 1, dtype=np.int32),
            "offsets": np.minimum(graph.offsets, N - 1),
        }
    graph = damaged(made / "g.h5", tmp_path / "g.h5", first)
    result = diffuse(made, tmp_path / "r.h5", graph)
    assert_fails(result, 4, "damaged graph", f"{N - 1} vertices of {N} descriptors")


def test_diffuse_refuses_solutions_of_no_vertex(made: Path, tmp_path: Path) -> None:
    with open_any(made / "p.h5") as prepared:
        assert isinstance(prepared, OfflineDiffusion)
        columns = prepared.columns_.copy()
    columns[5] = -1
    prepared = damaged(made / "p.h5", tmp_path / "p.h5", {"columns": columns})
    result = diffuse(made, tmp_path / "r.h5", made / "g.h5", "--offline", prepared)
    assert_fails(result, 4, "p.h5", "damaged offline-diffusion")


def test_diffuse_refuses_seeds_that_verify_more_than_they_have(made: Path, tmp_path: Path) -> None:
    ranking = rrtool.search(made / "f.h5", made / "f.h5", tmp_path / "s.h5", top=3)
    seeds = damaged(ranking, tmp_path / "v.h5")
    with edited(seeds) as file:
        file["n_inliers"] = np.ones((N, 5), np.int32)
    result = diffuse(made, tmp_path / "r.h5", made / "g.h5", "--seeds", seeds)
    assert_fails(result, 4, "v.h5", "damaged ranking", "at most 3", "found 5")


def test_diffuse_transductive_refuses_an_unknown_symmetrization(made: Path, tmp_path: Path) -> None:
    graph = damaged(made / "g.h5", tmp_path / "g.h5", options={"symmetrize": "max"})
    result = diffuse(made, tmp_path / "r.h5", graph, "--transductive")
    assert_fails(result, 4, "g.h5", "damaged graph", "max")
