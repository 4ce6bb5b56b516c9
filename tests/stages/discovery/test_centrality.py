"""centrality through the stage and the command line, on graphs that the tests write."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import rrtool as library
from rrtool.artifacts import InputRecord, Provenance, create, open_artifact
from rrtool.artifacts.kinds import Centrality, Graph
from rrtool.stages.discovery import centrality as stage
from tests.core.discovery.test_centrality import (
    GRAPHS,
    MEASURES,
    PATHS,
    SPECTRAL,
    costs_of,
    lists_of,
    oracle,
)
from tests.stages.damaging import edited
from tests.stages.made_features import write_features
from tests.tiny import assert_done, assert_fails, leftovers, rrtool

NETWORK = {"name": "squeezenet1_1", "weights_digest": "none"}


def write_graph(
    path: Path,
    cosines: np.ndarray,
    failed: Sequence[int] = (),
    made_from: str = "of features",
    **replaced: np.ndarray,
) -> Path:
    """A graph artifact of the edges of ``cosines``; rows of ``failed`` have none."""
    similarities = cosines.copy()
    similarities[list(failed)] = 0
    similarities[:, list(failed)] = 0
    adjacency = csr_array(similarities**3)
    adjacency.sort_indices()
    ids, values = lists_of(similarities)
    status = np.zeros(len(similarities), np.uint8)
    status[list(failed)] = 1
    values = {
        "names": [f"{i:03d}.png" for i in range(len(similarities))],
        "status": status,
        "offsets": np.arange(len(similarities) + 1),
        "neighbor_ids": ids,
        "similarities": values.astype(np.float32),
        "indices": adjacency.indices.astype(np.int32),
        "weights": adjacency.data.astype(np.float32),
        "indptr": adjacency.indptr.astype(np.int64),
        "ordering": np.arange(len(similarities), dtype=np.int32),
        **replaced,
    }
    options = {"k": ids.shape[1], "gamma": 3.0, "symmetrize": "mutual"}
    features = InputRecord("features", "f.h5", "features", "", made_from)
    provenance = Provenance("graph", options, [features], NETWORK)
    with create(path, provenance, overwrite=True) as target:
        return target.publish(Graph.columns(**values), extra={"statistics": {}, "description": {}})


def centrality(graph: object, output: Path, measure: str, *options: object):
    return rrtool("centrality", graph, "-o", output, "--measure", measure, *options)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 vertices in two parts, five of them isolated, and two failed rows."""
    folder = tmp_path_factory.mktemp("centrality")
    return write_graph(folder / "g.h5", GRAPHS["isolated"], failed=(0, 7))


@pytest.mark.parametrize("measure", MEASURES)
def test_centrality_equals_the_oracle_over_good_vertices(graph, tmp_path, measure):
    result = centrality(graph, tmp_path / "c.h5", measure)
    assert_done(result)
    good = np.setdiff1d(np.arange(30), (0, 7))
    expected = oracle(measure, GRAPHS["isolated"][np.ix_(good, good)])
    with (
        open_artifact(tmp_path / "c.h5", Centrality) as found,
        open_artifact(graph, Graph) as source,
    ):
        values = found.centrality
        assert values.dtype == np.float32
        assert (values[[0, 7]] == 0).all()
        np.testing.assert_allclose(values[good], expected / expected.mean(), rtol=1e-5, atol=1e-6)
        assert values[good].mean() == pytest.approx(1, rel=1e-6)
        np.testing.assert_array_equal(found.status, source.status)
        assert found.names == source.names
        assert found.network == NETWORK
        assert [record.digest for record in found.inputs] == [source.digest, "of features"]
        assert found.extra["vertices"] == "of features"
        assert found.options["measure"] == found.extra["measure"] == measure
        n_isolated = int((GRAPHS["isolated"][np.ix_(good, good)].sum(axis=1) == 0).sum())
        assert found.extra["n_isolated"] == n_isolated >= 5
        assert found.extra["n_failed"] == 2
        assert found.extra["converged"] is True
        assert found.extra["samples"] is found.extra["seed"] is None
        assert (found.extra["n_iterations"] > 0) == (measure in SPECTRAL and measure != "degree")
    assert f"{n_isolated} of 28 vertices are isolated" in result.stderr
    assert result.stdout == f"{tmp_path / 'c.h5'}\n"


def test_centrality_options_of_the_measure_only_are_stored(graph, tmp_path):
    for measure, expected in (
        ("degree", {}),
        ("eigenvector", {"tol": 1e-8, "max_iter": 1000}),
        ("pagerank", {"alpha": 0.85, "tol": 1e-8, "max_iter": 1000}),
        ("katz", {"alpha": 0.99, "tol": 1e-6, "max_iter": 100}),
        ("closeness", {"samples": None}),
    ):
        assert_done(centrality(graph, tmp_path / f"{measure}.h5", measure, "--seed", 5))
        with open_artifact(tmp_path / f"{measure}.h5", Centrality) as found:
            assert found.options == {"measure": measure, **expected}
            assert found.extra["parameters"] == expected


def test_centrality_up_to_date_and_other_options(graph, tmp_path):
    output = tmp_path / "c.h5"
    assert_done(centrality(graph, output, "katz"))
    before = output.read_bytes()
    result = centrality(graph, output, "katz", "--alpha", 0.99, "--seed", 3)
    assert_done(result)
    assert "up to date" in result.stderr
    assert output.read_bytes() == before
    result = centrality(graph, output, "katz", "--alpha", 0.9)
    assert_fails(result, 4, "another --alpha", "expected 0.9", "found 0.99")
    assert_done(centrality(graph, output, "katz", "--alpha", 0.9, "--overwrite"))
    assert output.read_bytes() != before


def test_centrality_of_equal_graphs_of_other_features_is_made_anew(tmp_path):
    """It names the features that it is of: those of another digest would refuse the old one."""
    output = tmp_path / "c.h5"
    for made_from in ("first", "second"):
        write_graph(tmp_path / "g.h5", GRAPHS["isolated"], made_from=made_from)
        library.centrality(tmp_path / "g.h5", output, measure="degree", overwrite=True)
        with open_artifact(output, Centrality) as found:
            assert found.extra["vertices"] == made_from


def test_centrality_reads_its_graph_from_a_pipe_and_prints_json(graph, tmp_path):
    result = rrtool(
        "centrality", "-", "-o", tmp_path / "c.h5", "--measure", "degree", "--json",
        stdin=f"{graph}\n".encode(),
    )  # fmt: skip
    assert_done(result)
    facts = json.loads(result.stdout)
    assert facts["kind"] == "centrality"
    assert facts["measure"] == "degree"


@pytest.mark.parametrize("measure", PATHS)
def test_centrality_samples_and_seed_are_stored(graph, tmp_path, measure):
    result = centrality(graph, tmp_path / "s.h5", measure, "--samples", 3, "--seed", 4)
    assert_done(result)
    assert f"{measure} is estimated from 3 of 28 vertices" in result.stderr
    assert_done(centrality(graph, tmp_path / "all.h5", measure, "--samples", 28))
    assert_done(centrality(graph, tmp_path / "exact.h5", measure))
    with (
        open_artifact(tmp_path / "s.h5", Centrality) as sampled,
        open_artifact(tmp_path / "all.h5", Centrality) as every,
    ):
        assert (sampled.extra["samples"], sampled.extra["seed"]) == (3, 4)
        assert sampled.options["seed"] == 4
        assert every.extra["samples"] is None
        with open_artifact(tmp_path / "exact.h5", Centrality) as exact:
            np.testing.assert_array_equal(every.centrality, exact.centrality)
        assert (sampled.centrality != every.centrality).any()


@pytest.mark.parametrize("measure", PATHS)
def test_centrality_of_many_vertices_needs_samples(graph, tmp_path, measure, monkeypatch):
    monkeypatch.setattr(stage, "MAX_EXACT", 20)
    result = centrality(graph, tmp_path / "c.h5", measure)
    assert_fails(result, 2, "too many vertices", "at most 20", "found 28", "--samples")
    assert leftovers(tmp_path) == []
    assert_done(centrality(graph, tmp_path / "c.h5", measure, "--samples", 28))


def test_centrality_that_does_not_converge_says_so(graph, tmp_path):
    for measure in ("katz", "pagerank", "eigenvector"):
        result = centrality(graph, tmp_path / f"{measure}.h5", measure, "--max-iter", 2)
        assert_done(result)
        assert f"{measure} has not converged: residual" in result.stderr
        assert "--max-iter" in result.stderr
        with open_artifact(tmp_path / f"{measure}.h5", Centrality) as found:
            assert found.extra["converged"] is False
            assert found.extra["n_iterations"] == 2
            assert found.extra["residual"] > 1e-6
            assert np.isfinite(found.centrality).all()


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("n", [1, 3])
def test_centrality_without_edges(tmp_path, measure, n):
    graph = write_graph(tmp_path / "g.h5", np.zeros((n, n), np.float32))
    result = centrality(graph, tmp_path / "c.h5", measure)
    assert_done(result)
    is_positive = measure in ("pagerank", "katz")
    with open_artifact(tmp_path / "c.h5", Centrality) as found:
        np.testing.assert_allclose(found.centrality, np.full(n, float(is_positive)))
    assert (f"{measure} is 0 for all {n} vertices" in result.stderr) is not is_positive


def test_centrality_eigenvector_outside_the_leading_component_is_said(tmp_path):
    graph = write_graph(tmp_path / "g.h5", GRAPHS["disconnected"])
    result = centrality(graph, tmp_path / "c.h5", "eigenvector")
    assert "outside the leading component" in result.stderr
    with open_artifact(tmp_path / "c.h5", Centrality) as found:
        assert found.extra["n_zero"] == np.count_nonzero(found.centrality == 0) > 0


def test_centrality_duplicates_are_at_the_floor_of_the_cost(tmp_path):
    similarities = np.ones((3, 3), np.float32) - np.eye(3, dtype=np.float32)
    graph = write_graph(tmp_path / "g.h5", similarities)
    for measure in ("closeness", "katz", "degree", "eigenvector", "pagerank"):
        assert_done(centrality(graph, tmp_path / f"{measure}.h5", measure))
        with open_artifact(tmp_path / f"{measure}.h5", Centrality) as found:
            np.testing.assert_allclose(found.centrality, np.ones(3), rtol=1e-6)
    assert (costs_of(similarities).data > 0).all()


@pytest.mark.parametrize("shape", [(0, 0), (2, 2)])
def test_centrality_of_no_good_row_is_an_artifact_error(tmp_path, shape):
    graph = write_graph(tmp_path / "g.h5", np.zeros(shape, np.float32), failed=range(shape[0]))
    for measure in MEASURES:
        assert_fails(centrality(graph, tmp_path / "c.h5", measure), 4, "no row is usable", "g.h5")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("symmetrize", ["mutual", "sum"])
def test_centrality_of_what_build_graph_writes(tmp_path, symmetrize):
    generator = np.random.default_rng(8)
    vectors = generator.normal(size=(40, 6)).astype(np.float32)
    vectors[5] = vectors[6] = vectors[7]
    vectors[9] = 0
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    write_features(tmp_path / "f.h5", [f"{i}.png" for i in range(40)], vectors, failed=[3])
    library.build_graph(
        tmp_path / "f.h5", tmp_path / "g.h5", k=5, symmetrize=symmetrize, device="cpu"
    )
    good = np.setdiff1d(np.arange(40), (3, 9))
    with open_artifact(tmp_path / "g.h5", Graph) as graph:
        weights = graph.adjacency().toarray()[np.ix_(good, good)]
    cosines = np.where(weights > 0, vectors[good] @ vectors[good].T, 0)
    for measure in MEASURES:
        assert_done(centrality(tmp_path / "g.h5", tmp_path / f"{measure}.h5", measure))
        with open_artifact(tmp_path / f"{measure}.h5", Centrality) as found:
            values = found.centrality
        assert (values[[3, 9]] == 0).all()
        if measure in PATHS:
            expected = PATHS[measure](costs_of(cosines))
        else:
            expected = SPECTRAL[measure](csr_array(weights)).values
        # Cosines of float32 vectors depend on the order of summation in their last digit.
        np.testing.assert_allclose(
            values[good], expected / expected.mean(), rtol=1e-3, atol=1e-4, err_msg=measure
        )


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("fame",), ("unknown --measure", "katz", "found fame")),
        (("katz", "--alpha", 1), ("bad --alpha", "found 1.0")),
        (("katz", "--alpha", 0), ("bad --alpha",)),
        (("pagerank", "--alpha", "nan"), ("bad --alpha", "found nan")),
        (("degree", "--alpha", 0.5), ("degree takes no --alpha", "pagerank or katz")),
        (("katz", "--samples", 9), ("katz takes no --samples", "betweenness or closeness")),
        (("closeness", "--samples", 1), ("bad --samples", "at least 2")),
        (("betweenness", "--max-iter", 9), ("betweenness takes no --max-iter",)),
        (("katz", "--max-iter", 0), ("bad --max-iter",)),
        (("katz", "--tol", -1), ("bad --tol",)),
        (("closeness", "--tol", 0.1), ("closeness takes no --tol",)),
        (("closeness", "--samples", 9, "--seed", -1), ("bad --seed",)),
        (("katz", "--device", "tpu"), ("unknown --device", "found tpu")),
        (("degree", "--device", "tpu"), ("unknown --device", "found tpu")),
    ],
)
def test_centrality_bad_options_are_usage_errors(graph, tmp_path, options, texts):
    assert_fails(centrality(graph, tmp_path / "c.h5", *options), 2, *texts)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("measure", PATHS)
def test_centrality_without_networkit(graph, tmp_path, measure, monkeypatch):
    monkeypatch.setitem(sys.modules, "networkit", None)
    result = centrality(graph, tmp_path / "c.h5", measure)
    assert_fails(result, 1, "networkit", "not installed", "pip install")
    assert leftovers(tmp_path) == []


DAMAGED = {
    "indices": (np.full(2, 99, np.int32), "damaged graph"),
    "indptr": (np.array([0, 2, 1, 2], np.int64), "damaged graph"),
    "weights": (np.array([1, np.nan], np.float32), "not finite"),
    "similarities": (
        np.zeros((2, 3), np.float32),
        "expected float32 (3, 3), found float32 (2, 3)",
    ),
    "neighbor_ids": (np.full((3, 3), -1, np.int32), "in neither end's neighbor list"),
    "status": (np.zeros(2, np.uint8), "damaged graph"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_centrality_damaged_graph_is_an_artifact_error(tmp_path, name):
    similarities = np.zeros((3, 3), np.float32)
    similarities[0, 1] = similarities[1, 0] = 0.5
    values, text = DAMAGED[name]
    graph = write_graph(tmp_path / "g.h5", similarities, **{name: values})
    assert_fails(centrality(graph, tmp_path / "c.h5", "closeness"), 4, "g.h5", text)


def test_centrality_asymmetric_and_negative_weights_are_artifact_errors(tmp_path):
    similarities = np.zeros((3, 3), np.float32)
    similarities[0, 1] = similarities[1, 0] = 0.5
    for values, text in (([1, 2], "not symmetric"), ([-1, -1], "negative")):
        graph = write_graph(tmp_path / "g.h5", similarities, weights=np.array(values, np.float32))
        assert_fails(centrality(graph, tmp_path / "c.h5", "degree"), 4, "g.h5", text)


def test_centrality_other_artifacts_and_files(graph, tmp_path):
    assert_done(centrality(graph, tmp_path / "c.h5", "degree"))
    result = centrality(tmp_path / "c.h5", tmp_path / "d.h5", "degree")
    assert_fails(result, 4, "another kind", "expected graph", "found centrality")
    assert_fails(centrality(tmp_path / "none.h5", tmp_path / "d.h5", "degree"), 2, "No such file")
    shutil.copy(graph, tmp_path / "g.h5")
    with edited(tmp_path / "g.h5") as file:
        del file["weights"]
    result = centrality(tmp_path / "g.h5", tmp_path / "d.h5", "degree")
    assert_fails(result, 4, "there is no weights")


def test_centrality_on_the_cpu_imports_no_torch(graph, tmp_path):
    program = """
import sys
from rrtool.progress import Silent
from rrtool.stages.discovery.centrality import run
from rrtool.stages.discovery.options import CentralityOptions
graph, output = sys.argv[1:]
for measure in ("degree", "pagerank", "katz", "closeness"):
    path = f"{output}-{measure}.h5"
    run(CentralityOptions(graph=graph, output=path, measure=measure, device="cpu"), Silent())
    assert "torch" not in sys.modules, measure
    assert ("networkit" in sys.modules) == (measure == "closeness"), measure
"""
    command = [sys.executable, "-c", program, str(graph), str(tmp_path / "c")]
    subprocess.run(command, check=True, timeout=120)
