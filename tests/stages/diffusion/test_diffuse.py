"""build-graph, then diffuse, through the command line, on clusters that the tests write."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rrtool.artifacts import Provenance, create, open_artifact
from rrtool.artifacts.kinds import OfflineDiffusion, Ranking, open_any
from rrtool.stages.diffusion import diffuse as stage
from rrtool.stages.diffusion.ranker import Verified
from tests.core.diffusion.test_diffusion import dense_diffusion, plain_rank_reached
from tests.stages.damaging import edited
from tests.stages.diffusion.test_build_graph import dense_graph
from tests.stages.made_features import NETWORK, write_features
from tests.tiny import assert_done, assert_fails, digest_of, leftovers, rrtool

N_CLUSTERS, SIZE, D = 6, 10, 12
N = N_CLUSTERS * SIZE
K, KQ = 5, 4
FAILED, ZERO, NOT_FINITE = 5, 17, 30
CLUSTERS = np.arange(N) % N_CLUSTERS
EMPTY_QUERIES = (6, 7)  # one failed in extract, one is not finite
ZERO_QUERY = 8
CONVERGED = ("--tol", 1e-9, "--max-iter", 300)
DATABASE_NAMES = [f"db/{i:03d}.png" for i in range(N)]
QUERY_NAMES = [f"q/{i}.png" for i in range(9)]


def vectors_around_axes(clusters: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(len(clusters), D))
    vectors = np.eye(D)[clusters] + 0.12 * noise
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def database_vectors() -> np.ndarray:
    vectors = vectors_around_axes(CLUSTERS, 0)
    vectors[ZERO] = 0
    vectors[NOT_FINITE, 2] = np.nan
    return vectors


def query_vectors() -> np.ndarray:
    """One for each cluster, and three that have nothing to say."""
    vectors = vectors_around_axes(np.arange(9) % N_CLUSTERS, 1)
    vectors[7, 0] = np.inf
    vectors[ZERO_QUERY] = 0
    return vectors


VERTICES = np.setdiff1d(np.arange(N), (FAILED, ZERO, NOT_FINITE))
RANKED = np.setdiff1d(np.arange(N), (FAILED, NOT_FINITE))


def clean(vectors: np.ndarray, keep: np.ndarray | range) -> np.ndarray:
    cleaned = np.zeros_like(vectors)
    cleaned[list(keep)] = vectors[list(keep)]
    return cleaned


DATABASE = clean(database_vectors(), VERTICES)
QUERIES = clean(query_vectors(), range(6))
SIMILARITIES = QUERIES.astype(float) @ DATABASE.T.astype(float)


def nearest_seeds(n_seeds: int, gamma: float = 3) -> np.ndarray:
    """``g`` of each query, ``(n, q)``."""
    g = np.zeros((N, len(QUERIES)))
    for column, row in zip(g.T, SIMILARITIES, strict=True):
        for i in sorted(VERTICES, key=lambda i: -row[i])[:n_seeds]:
            column[i] = max(row[i], 0) ** gamma
    return g


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of a database and of queries, and the graph of the database."""
    folder = tmp_path_factory.mktemp("diffuse")
    write_features(folder / "d.h5", DATABASE_NAMES, database_vectors(), failed=[FAILED])
    write_features(folder / "q.h5", QUERY_NAMES, query_vectors(), failed=[6])
    result = rrtool(
        "build-graph", folder / "d.h5", "-o", folder / "g.h5", "--k", K, "--device", "cpu"
    )
    assert_done(result)
    return folder


def diffuse(folder: Path, output: Path, *options: object, **replaced: object):
    files = {"graph": folder / "g.h5", "queries": folder / "q.h5", "database": folder / "d.h5"}
    named = [part for name, path in (files | replaced).items() for part in (f"--{name}", path)]
    return rrtool("diffuse", "-o", output, *named, "--device", "cpu", *options)


def graph_of(folder: Path):
    with open_any(folder / "g.h5") as graph:
        return graph.adjacency()


def assert_ranked_by(
    found: Ranking, scores: np.ndarray, initial: np.ndarray, top: int = len(RANKED)
) -> None:
    """Rankings of the first six queries, up to the solver's tolerance.

    Args:
        scores, initial: ``(6, n)``.
    """
    ids, values = found.ids, found.scores
    assert ids.shape == values.shape == (9, top)
    allowed = np.where(np.isin(np.arange(N), RANKED), initial, -np.inf)
    for query in range(6):
        expected = plain_rank_reached(scores[query].tolist(), allowed[query].tolist(), top)
        scale = np.abs(scores[query]).max()
        np.testing.assert_allclose(values[query], scores[query][ids[query]], atol=1e-5 * scale)
        np.testing.assert_allclose(values[query], scores[query][expected], atol=1e-5 * scale)
        assert len(set(ids[query].tolist())) == top
        rest = ids[query][values[query] == 0].tolist()
        assert rest == expected[top - len(rest) :]
        np.testing.assert_allclose(
            found.similarities[query], SIMILARITIES[query][ids[query]], atol=1e-6
        )


# Rankings


def test_diffuse_ranks_the_whole_cluster_first_and_the_rest_as_it_was(folder, tmp_path):
    result = diffuse(folder, tmp_path / "r.h5", "--kq", KQ)
    assert_done(result)
    assert result.stdout == f"{tmp_path / 'r.h5'}\n"
    with open_artifact(tmp_path / "r.h5", Ranking) as found:
        ids = found.ids
        assert found.database_names == DATABASE_NAMES
        assert found.query_names == QUERY_NAMES
        assert found.network == NETWORK
        assert found.extra["description"]["mode"] == "inductive"
        assert found.extra["description"]["method"] == "global + D"
        assert [(record.role, record.digest) for record in found.inputs] == [
            (role, digest_of(folder / f"{role[0]}.h5")) for role in ("graph", "queries", "database")
        ]
    for query in range(6):
        members = np.intersect1d(np.flatnonzero(query == CLUSTERS), VERTICES)
        assert sorted(ids[query, : len(members)]) == members.tolist()
        rest = np.setdiff1d(RANKED, members)
        expected = rest[np.argsort(-SIMILARITIES[query][rest], kind="stable")]
        np.testing.assert_array_equal(ids[query, len(members) :], expected)


@pytest.mark.parametrize("kq", [1, KQ, None, len(RANKED)])
def test_diffuse_scores_equal_a_dense_solve(folder, tmp_path, kq):
    options = () if kq is None else ("--kq", kq)
    assert_done(diffuse(folder, tmp_path / "r.h5", *options, *CONVERGED, "--alpha", 0.9))
    scores = dense_diffusion(graph_of(folder), nearest_seeds(kq or K // 2), 0.9)
    with open_any(tmp_path / "r.h5") as found:
        assert_ranked_by(found, scores.T[:6], SIMILARITIES[:6])
        assert (found.residuals <= 1e-9).all()
        assert found.extra["convergence"]["n_not_converged"] == 0


def test_diffuse_keeps_bad_rows_out_and_leaves_bad_queries_empty(folder, tmp_path):
    assert_done(diffuse(folder, tmp_path / "r.h5", "--kq", KQ))
    with open_any(tmp_path / "r.h5") as found:
        ids, scores = found.ids, found.scores
    assert not np.isin(ids, (FAILED, NOT_FINITE)).any()
    np.testing.assert_array_equal(np.sort(ids[:6], axis=1), np.tile(RANKED, (6, 1)))
    assert (scores[:6][ids[:6] == ZERO] == 0).all()
    assert (ids[list(EMPTY_QUERIES)] == -1).all()
    assert (scores[list(EMPTY_QUERIES)] == -np.inf).all()
    np.testing.assert_array_equal(ids[ZERO_QUERY], RANKED)
    assert not scores[ZERO_QUERY].any()


@pytest.mark.parametrize("top", [1, 9, 11, 1000])
def test_diffuse_top_is_the_head_of_the_whole_ranking(folder, tmp_path, top):
    assert_done(diffuse(folder, tmp_path / "r.h5", "--kq", KQ))
    assert_done(diffuse(folder, tmp_path / "t.h5", "--kq", KQ, "--top", top))
    with open_any(tmp_path / "r.h5") as whole, open_any(tmp_path / "t.h5") as head:
        for name in ("ids", "scores", "similarities"):
            np.testing.assert_array_equal(head.read_named(name), whole.read_named(name)[:, :top])
        assert head.extra["description"]["top"] == top


def test_diffuse_on_a_graph_without_edges_keeps_the_order(folder, tmp_path):
    write_features(tmp_path / "d.h5", [f"{i}.png" for i in range(D)], np.eye(D))
    result = rrtool("build-graph", tmp_path / "d.h5", "-o", tmp_path / "g.h5", "--k", 3)
    assert_done(result)
    files = {"graph": tmp_path / "g.h5", "database": tmp_path / "d.h5"}
    result = diffuse(folder, tmp_path / "r.h5", "--kq", 3, **files)
    assert_done(result)
    assert "has no edges: the order stays as it is" in result.stderr
    with open_any(tmp_path / "r.h5") as found:
        np.testing.assert_array_equal(
            found.ids[:6], np.argsort(-QUERIES[:6], axis=1, kind="stable")
        )


# Variants


def test_diffuse_truncate_to_everything_equals_the_whole(folder, tmp_path):
    for name, options in (("a.h5", ()), ("b.h5", ("--truncate", N)), ("c.h5", ("--truncate", 999))):
        assert_done(diffuse(folder, tmp_path / name, "--kq", KQ, *CONVERGED, *options))
    scores = dense_diffusion(graph_of(folder), nearest_seeds(KQ), 0.99).T[:6]
    for name in ("a.h5", "b.h5", "c.h5"):
        with open_any(tmp_path / name) as found:
            assert_ranked_by(found, scores, SIMILARITIES[:6])


@pytest.mark.parametrize("size", [1, KQ, 7, 25])
def test_diffuse_truncate_equals_a_dense_solve_on_the_submatrix(folder, tmp_path, size):
    options = ("--kq", KQ, "--truncate", size, *CONVERGED)
    assert_done(diffuse(folder, tmp_path / "r.h5", *options))
    weights = graph_of(folder).toarray().astype(float)
    degrees = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        normalized = np.nan_to_num(weights / np.sqrt(np.outer(degrees, degrees)))
    g, scores = nearest_seeds(KQ), np.zeros((6, N))
    for query in range(6):
        inside = VERTICES[np.argsort(-SIMILARITIES[query][VERTICES])[:size]]
        system = np.eye(size) - 0.99 * normalized[np.ix_(inside, inside)]
        scores[query, inside] = np.linalg.solve(system, 0.01 * g[inside, query])
    with open_any(tmp_path / "r.h5") as found:
        assert_ranked_by(found, scores, SIMILARITIES[:6])


def test_diffuse_transductive_says_so_and_equals_a_dense_solve_with_the_queries(folder, tmp_path):
    assert_done(diffuse(folder, tmp_path / "r.h5", "--transductive", *CONVERGED))
    rows = np.concatenate([DATABASE, QUERIES])
    kept = np.flatnonzero(rows.any(axis=1))
    weights = np.zeros((len(rows),) * 2)
    weights[np.ix_(kept, kept)] = dense_graph(rows[kept], K)
    degrees = weights.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        normalized = np.nan_to_num(weights / np.sqrt(np.outer(degrees, degrees)))
    g = np.eye(len(rows))[:, N:]
    scores = np.linalg.solve(np.eye(len(rows)) - 0.99 * normalized, 0.01 * g)[:N]
    with open_any(tmp_path / "r.h5") as found:
        assert_ranked_by(found, scores.T[:6], SIMILARITIES[:6])
        assert (found.ids[list(EMPTY_QUERIES)] == -1).all()
    result = rrtool("inspect", tmp_path / "r.h5", "--json")
    assert json.loads(result.stdout)["facts"]["description"]["mode"] == "transductive"
    labels = [*zip(DATABASE_NAMES, CLUSTERS, strict=True), *zip(QUERY_NAMES, range(9), strict=True)]
    lines = ["name,label", *(f"{name},{label}" for name, label in labels)]
    (tmp_path / "truth.csv").write_text("\n".join(lines))
    result = rrtool("evaluate", tmp_path / "r.h5", "--ground-truth", tmp_path / "truth.csv")
    assert "transductive" in result.stdout


def test_diffuse_offline_combines_the_solutions_of_all_vertices(folder, tmp_path):
    files = ("--graph", folder / "g.h5", "--database", folder / "d.h5")
    prepared = tmp_path / "p.h5"
    assert_done(rrtool("diffuse", "--prepare", *files, "-o", prepared, *CONVERGED))
    with open_artifact(prepared, OfflineDiffusion) as offline:
        assert offline.options == {"alpha": 0.99, "max_iter": 300, "tol": 1e-9, "truncate": 1000}
        solutions = offline.solutions().toarray()
    expected = dense_diffusion(graph_of(folder), np.eye(N), 0.99).T
    np.testing.assert_allclose(solutions[VERTICES], expected[VERTICES], atol=1e-6)
    result = diffuse(folder, tmp_path / "r.h5", "--kq", KQ, "--offline", prepared)
    assert_done(result)
    scores = dense_diffusion(graph_of(folder), nearest_seeds(KQ), 0.99).T[:6]
    with open_artifact(tmp_path / "r.h5", Ranking) as found:
        assert_ranked_by(found, scores, SIMILARITIES[:6])
    result = diffuse(folder, tmp_path / "x.h5", "--offline", prepared, "--alpha", 0.9)
    assert_fails(result, 4, "p.h5", "another --alpha", "expected 0.9", "found 0.99")
    result = diffuse(folder, tmp_path / "x.h5", "--offline", prepared, "--truncate", 9)
    assert_fails(result, 2, "--offline solves nothing")


# Seeds of a verified ranking

N_VERIFIED = 8


def write_verified(path: Path, **replaced: object) -> Path:
    """As rerank writes it: the first of each ranking verified, in an order of the test's own."""
    generator = np.random.default_rng(3)
    ids = np.array([generator.permutation(RANKED) for _ in QUERY_NAMES], np.int32)
    ids[list(EMPTY_QUERIES)] = -1
    similarities = np.take_along_axis(SIMILARITIES, np.maximum(ids, 0).astype(int), axis=1)
    n_inliers = generator.integers(0, 30, (len(ids), N_VERIFIED)).astype(np.int32)
    columns = {"ids": ids, "similarities": similarities.astype(np.float32),
               "scores": similarities.astype(np.float32), "n_inliers": n_inliers,
               "query_names": QUERY_NAMES, "database_names": DATABASE_NAMES,
               "query_boxes": np.zeros((len(ids), 4), np.float32)} | replaced  # fmt: skip
    description = {"method": "global + DSM", "mode": "inductive", "top": None}
    with create(path, Provenance("ranking", {}, [], NETWORK), overwrite=True) as target:
        return target.publish(Ranking.columns(**columns), extra={"description": description})


def verified_seeds(path: Path, n_verified: int, n_seeds: int, by: str = "ranking") -> np.ndarray:
    """Inliers times similarity of the best, divided by the maximum."""
    g = np.zeros((N, len(QUERY_NAMES)))
    with open_any(path) as ranking:
        columns = (ranking.read_named(name) for name in ("ids", "similarities", "n_inliers"))
        for column, ids, similarities, n_inliers in zip(g.T, *columns, strict=True):
            entries = list(zip(n_inliers, similarities, ids, strict=False))
            if by == "inliers":
                entries.sort(key=lambda entry: -entry[0])
            pairs = [
                (inliers * max(similarity, 0), i) for inliers, similarity, i in entries[:n_verified]
            ]
            pairs = sorted((pair for pair in pairs if pair[1] >= 0), reverse=True)[:n_seeds]
            for score, i in pairs:
                column[i] = score / max(pairs[0][0], 1e-300)
    return g


@pytest.mark.parametrize(
    ("n_verified", "kq", "by"),
    [
        (None, None, "ranking"),
        (4, None, "ranking"),
        (5, 2, "inliers"),
        (50, 1, "ranking"),
        (3, 9, "inliers"),
    ],
)
def test_diffuse_from_verified_seeds_equals_a_dense_solve(folder, tmp_path, n_verified, kq, by):
    seeds = write_verified(tmp_path / "v.h5")
    options = () if n_verified is None else ("--verified", n_verified, "--verified-by", by)
    options += () if kq is None else ("--kq", kq)
    assert_done(diffuse(folder, tmp_path / "r.h5", *CONVERGED, *options, seeds=seeds))
    g = verified_seeds(seeds, n_verified or 10, kq or 5, by)
    scores = dense_diffusion(graph_of(folder), g, 0.99).T[:6]
    initial = np.full((6, N), -np.inf)
    with open_any(seeds) as ranking:
        for row, ids in zip(initial, ranking.ids, strict=False):
            row[ids] = -np.arange(len(ids))
    with open_any(tmp_path / "r.h5") as found:
        assert_ranked_by(found, scores, initial)
        assert found.extra["description"]["method"] == "global + DSM + D"
        assert (found.ids[list(EMPTY_QUERIES)] == -1).all()


def test_verified_seeds_are_the_best_by_inliers_whatever_ordered_the_ranking(tmp_path):
    # Five verified entries, ranked by another score. Of the three of most inliers (12, 11, 13; of
    # equal ones the one ranked first) the two of the largest inliers × similarity are the seeds.
    ids = np.array([[10, 11, 12, 13, 14, 15]], np.int32)
    columns = {
        "ids": ids, "scores": np.zeros(ids.shape, np.float32),
        "similarities": np.array([[0.9, 0.8, 0.5, 0.2, 1, 1]], np.float32),
        "n_inliers": np.array([[2, 10, 40, 10, 10]], np.int32),
        "query_names": QUERY_NAMES[:1], "query_boxes": np.zeros((1, 4), np.float32),
    }  # fmt: skip
    path = write_verified(tmp_path / "v.h5", **columns)
    with open_any(path) as ranking:
        found = Verified.of(ranking, 3, "inliers")
        assert found.best.tolist() == [[12, 11, 13]]
        seeds = found.seeds(slice(0, 1), 2)
        np.testing.assert_array_equal(seeds.ids, [[12, 11]])
        np.testing.assert_allclose(seeds.weights, [[1, 8 / 20]], rtol=1e-6)
        assert Verified.of(ranking, 3, "ranking").best.tolist() == [[10, 11, 12]]


def test_diffuse_from_verified_seeds_without_inliers_keeps_the_order(folder, tmp_path):
    n_inliers = np.zeros((len(QUERY_NAMES), N_VERIFIED), np.int32)
    seeds = write_verified(tmp_path / "v.h5", n_inliers=n_inliers)
    assert_done(diffuse(folder, tmp_path / "r.h5", seeds=seeds))
    with open_any(seeds) as ranking, open_any(tmp_path / "r.h5") as found:
        np.testing.assert_array_equal(found.ids[:6], ranking.ids[:6])


def test_diffuse_behind_a_short_verified_ranking_come_the_others_by_similarity(folder, tmp_path):
    ids = np.tile(RANKED[:9].astype(np.int32), (9, 1))
    zeros = np.zeros(ids.shape, np.float32)
    seeds = write_verified(
        tmp_path / "v.h5", ids=ids, similarities=zeros, scores=zeros,
        n_inliers=np.zeros((9, N_VERIFIED), np.int32),
    )  # fmt: skip
    assert_done(diffuse(folder, tmp_path / "r.h5", seeds=seeds))
    with open_any(tmp_path / "r.h5") as found:
        for query in range(6):
            others = RANKED[9:]
            others = others[np.argsort(-SIMILARITIES[query][others], kind="stable")]
            expected = np.concatenate([RANKED[:9], others])
            np.testing.assert_array_equal(found.ids[query], expected)


# Running again, and how far the solver came


def test_diffuse_again_is_up_to_date_and_other_options_are_an_error(folder, tmp_path):
    output = tmp_path / "r.h5"
    assert_done(diffuse(folder, output, "--kq", KQ))
    before = output.read_bytes()
    result = diffuse(folder, output, "--kq", KQ)
    assert_done(result)
    assert "is up to date" in result.stderr
    for name, value, found in (("alpha", 0.9, 0.99), ("kq", 7, None), ("truncate", 20, None)):
        result = diffuse(
            folder, output, *(() if name == "kq" else ("--kq", KQ)), f"--{name}", value
        )
        assert_fails(result, 4, f"another --{name}", f"expected {value}", f"found {found or ''}")
    assert_fails(diffuse(folder, output, "--transductive"), 4, "--transductive")
    seeds = write_verified(tmp_path / "v.h5")
    assert_fails(diffuse(folder, output, "--kq", KQ, seeds=seeds), 4, "seeds")
    assert output.read_bytes() == before
    assert_done(diffuse(folder, output, "--kq", KQ, "--alpha", 0.9, "--overwrite"))
    assert output.read_bytes() != before
    assert leftovers(tmp_path) == []


def test_diffuse_interrupted_continues(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(stage, "_QUERIES_PER_PART", 2)
    assert_done(diffuse(folder, tmp_path / "whole.h5", "--kq", KQ))
    original, done = stage.Ranker.rank, []

    def interrupted(ranker, rows):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(rows.start)
        return original(ranker, rows)

    monkeypatch.setattr(stage.Ranker, "rank", interrupted)
    assert diffuse(folder, tmp_path / "r.h5", "--kq", KQ).exit_code == 130
    assert not (tmp_path / "r.h5").exists()
    continued = []
    monkeypatch.setattr(
        stage.Ranker, "rank",
        lambda ranker, rows: continued.append(rows.start) or original(ranker, rows),
    )  # fmt: skip
    assert_done(diffuse(folder, tmp_path / "r.h5", "--kq", KQ))
    assert (done, continued) == ([0, 2, 4], [6, 8])
    assert digest_of(tmp_path / "r.h5") == digest_of(tmp_path / "whole.h5")
    assert leftovers(tmp_path) == []


def test_diffuse_of_any_parts_is_the_same(folder, tmp_path, monkeypatch):
    for variant in ((), ("--transductive",), ("--truncate", 20)):
        monkeypatch.setattr(stage, "_QUERIES_PER_PART", 64)
        assert_done(diffuse(folder, tmp_path / "a.h5", *CONVERGED, *variant, "--overwrite"))
        monkeypatch.setattr(stage, "_QUERIES_PER_PART", 4)
        assert_done(diffuse(folder, tmp_path / "b.h5", *CONVERGED, *variant, "--overwrite"))
        with open_any(tmp_path / "a.h5") as one, open_any(tmp_path / "b.h5") as other:
            np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4)


@pytest.mark.parametrize("variant", [(), ("--truncate", 40), ("--transductive",)])
def test_diffuse_stores_and_tells_what_has_not_converged(folder, tmp_path, variant):
    result = diffuse(folder, tmp_path / "r.h5", "--max-iter", 2, *variant)
    assert_done(result)
    with open_any(tmp_path / "r.h5") as found:
        n_iterations, residuals = found.n_iterations, found.residuals
        convergence = found.extra["convergence"]
        assert found.options["max_iter"] == 2
    assert (n_iterations.dtype, residuals.dtype) == (np.int32, np.float64)
    assert (n_iterations[:6] == 2).all()
    assert (residuals[:6] > 1e-6).all()
    n_open = int((residuals > 1e-6).sum())
    assert 6 <= n_open < 9
    assert convergence == {
        "max_iterations": 2,
        "median_residual": pytest.approx(np.median(residuals)),
        "max_residual": pytest.approx(residuals.max()),
        "n_not_converged": n_open,
    }
    assert f"{n_open} of 9 queries did not reach the tolerance 1e-06 in 2" in result.stderr
    assert "--max-iter" in result.stderr
    result = diffuse(folder, tmp_path / "c.h5", *CONVERGED, *variant)
    assert "did not reach" not in result.stderr


def test_diffuse_on_the_cpu_imports_no_torch(folder, tmp_path):
    program = (
        "import sys; import rrtool;"
        "folder, output = sys.argv[1:];"
        "files = {name: f'{folder}/{name[0]}.h5' for name in ('graph', 'queries', 'database')};"
        "variants = ({'kq': 3}, {'truncate': 20}, {'transductive': True});"
        "[rrtool.diffuse(output, **files, device='cpu', **variant, overwrite=True)"
        " for variant in variants];"
        "assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", program, str(folder), str(tmp_path / "r.h5")]
    subprocess.run(command, check=True, timeout=120)


# Bad input


@pytest.mark.parametrize("options", [("--kq", 3), ("--truncate", 20)])
def test_diffuse_transductive_takes_no_other_start(folder, tmp_path, options):
    result = diffuse(folder, tmp_path / "x.h5", "--transductive", *options)
    assert_fails(result, 2, "--transductive starts at the queries")
    seeds = write_verified(tmp_path / "v.h5")
    result = diffuse(folder, tmp_path / "x.h5", "--transductive", seeds=seeds)
    assert_fails(result, 2, "no --seeds")


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        (("--alpha", 0), ("bad --alpha", "found 0.0")),
        (("--alpha", 1), ("bad --alpha", "found 1.0")),
        (("--alpha", "nan"), ("bad --alpha", "found nan")),
        (("--tol", 0), ("bad --tol",)),
        (("--max-iter", 0), ("bad --max-iter", "expected 1 to")),
        (("--kq", 0), ("bad --kq", "at least 1")),
        (("--kq", N), ("bad --kq", "more than there are images", f"found {N}")),
        (("--truncate", 0), ("bad --truncate",)),
        (("--top", -1), ("bad --top",)),
        (("--verified", 0), ("bad --verified",)),
        (("--device", "tpu"), ("unknown --device", "found tpu")),
    ],
)
def test_diffuse_bad_options_are_usage_errors(folder, tmp_path, options, texts):
    assert_fails(diffuse(folder, tmp_path / "r.h5", *options), 2, *texts)
    assert not (tmp_path / "r.h5").exists()


def test_diffuse_graph_of_other_features_is_an_artifact_error(folder, tmp_path):
    other = database_vectors()
    other[0] *= -1
    write_features(tmp_path / "d.h5", DATABASE_NAMES, other, failed=[FAILED])
    result = diffuse(folder, tmp_path / "r.h5", database=tmp_path / "d.h5")
    assert_fails(result, 4, "g.h5", "the graph is of other features", "build-graph")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"network": {"name": "alexnet"}}, "network"),
        ({"network": {"weights_digest": "1" * 32}}, "weights"),
        ({"pool": "mac"}, "--pool"),
        ({"scales": [1.0, 0.5]}, "--scales"),
        ({"whitening": "w"}, "--whitening"),
    ],
)
def test_diffuse_queries_made_otherwise_are_an_artifact_error(folder, tmp_path, options, text):
    write_features(tmp_path / "q.h5", QUERY_NAMES, query_vectors(), failed=[6], **options)
    result = diffuse(folder, tmp_path / "r.h5", queries=tmp_path / "q.h5")
    assert_fails(result, 4, "d.h5", f"the artifacts differ in {text}", "q.h5")


def test_diffuse_queries_of_another_dimension_are_an_artifact_error(folder, tmp_path):
    write_features(tmp_path / "q.h5", QUERY_NAMES, query_vectors()[:, 2:], failed=[6])
    result = diffuse(folder, tmp_path / "r.h5", queries=tmp_path / "q.h5")
    assert_fails(result, 4, "differ in dimension", "found 12")


def test_diffuse_without_a_good_query_is_an_artifact_error(folder, tmp_path):
    write_features(tmp_path / "q.h5", QUERY_NAMES, query_vectors(), failed=range(9))
    result = diffuse(folder, tmp_path / "r.h5", queries=tmp_path / "q.h5")
    assert_fails(result, 4, "q.h5", "no row is usable")


@pytest.mark.parametrize(
    ("replaced", "texts"),
    [
        ({"n_inliers": None}, ("the seeds are no verified ranking", "a ranking from rerank")),
        (
            {"database_names": [*DATABASE_NAMES[:-1], "other.png"]},
            ("about other images", "1 images only in", "only here"),
        ),
        ({"database_names": DATABASE_NAMES[::-1]}, ("about other images", "another order")),
        ({"query_names": [*QUERY_NAMES[:-1], "other.png"]}, ("about other images",)),
    ],
)
def test_diffuse_seeds_that_do_not_fit_are_an_artifact_error(folder, tmp_path, replaced, texts):
    seeds = write_verified(tmp_path / "v.h5", **replaced)
    assert_fails(diffuse(folder, tmp_path / "r.h5", seeds=seeds), 4, "v.h5", *texts)


@pytest.mark.parametrize("role", ["graph", "queries", "database", "seeds"])
def test_diffuse_of_missing_truncated_and_other_files(folder, tmp_path, role):
    source = write_verified(tmp_path / "v.h5") if role == "seeds" else folder / f"{role[0]}.h5"
    output, cut = tmp_path / "r.h5", tmp_path / "cut.h5"
    assert_fails(diffuse(folder, output, **{role: tmp_path / "none.h5"}), 2, "No such file")
    cut.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    assert_fails(diffuse(folder, output, **{role: cut}), 4, "cut.h5", "damaged, cut short")
    other = folder / ("d.h5" if role in ("graph", "seeds") else "g.h5")
    assert_fails(diffuse(folder, output, **{role: other}), 4, "an artifact of another kind")


def test_diffuse_of_a_damaged_graph_is_an_artifact_error(folder, tmp_path):
    shutil.copy(folder / "g.h5", tmp_path / "g.h5")
    with edited(tmp_path / "g.h5") as file:
        file["weights"][0] = np.nan
    for variant in ((), ("--truncate", 9)):
        result = diffuse(folder, tmp_path / "r.h5", *variant, graph=tmp_path / "g.h5")
        assert_fails(result, 4, "g.h5", "damaged graph", "not finite")


@pytest.mark.parametrize(
    ("group_size", "k", "warned"),
    [(20, 9, False), (2, 20, True), (200, 9, True)],
    ids=["large-groups", "more-neighbors-than-the-group-has", "one-group-is-all"],
)
def test_diffuse_warns_where_it_has_nothing_to_walk_on(tmp_path, group_size, k, warned):
    generator = np.random.default_rng(2)
    groups = np.arange(200) // group_size
    vectors = generator.normal(size=(groups.max() + 1, 32))[groups]
    vectors += 0.1 * generator.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    features = write_features(tmp_path / "f.h5", [f"{i}.png" for i in range(200)], vectors)
    graph = tmp_path / "g.h5"
    assert_done(rrtool("build-graph", features, "-o", graph, "--k", k, "--device", "cpu"))
    result = diffuse(tmp_path, tmp_path / "r.h5", graph=graph, queries=features, database=features)
    assert_done(result)
    assert ("expect it to rank worse than similarity alone" in result.stderr) == warned
