"""rerank --method reciprocal through the command line, on clusters that the tests write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rrtool.artifacts import Provenance, create, open_artifact
from rrtool.artifacts.kinds import Graph, Ranking
from rrtool.core.diffusion.reciprocal import ReciprocalOptions
from tests.core.diffusion.test_reciprocal import Plain, masked
from tests.stages.diffusion.test_diffuse import (
    DATABASE_NAMES,
    EMPTY_QUERIES,
    FAILED,
    NOT_FINITE,
    QUERY_NAMES,
    VERTICES,
    ZERO,
    N,
    database_vectors,
    query_vectors,
)
from tests.stages.made_features import write_features
from tests.tiny import assert_done, assert_fails, rrtool


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of queries and database, and a ranking of them; rows failed, zero, not finite."""
    folder = tmp_path_factory.mktemp("reciprocal")
    write_features(folder / "d.h5", DATABASE_NAMES, database_vectors(), failed=[FAILED])
    write_features(folder / "q.h5", QUERY_NAMES, query_vectors(), failed=[6])
    assert_done(rrtool("search", folder / "q.h5", folder / "d.h5", "-o", folder / "r.h5"))
    assert_done(rrtool("build-graph", folder / "d.h5", "-o", folder / "g.h5", "--k", 8))
    return folder


def rerank(made: Path, output: Path, *options: object):
    return rrtool(
        "rerank", made / "r.h5", "--method", "reciprocal", "--queries", made / "q.h5",
        "--database", made / "d.h5", "-o", output, *options,
    )  # fmt: skip


@pytest.mark.parametrize("with_graph", [False, True])
@pytest.mark.parametrize(("options", "chosen"), [
    ((), ReciprocalOptions((3, 5, 10, 12))),  # the graph has lists of 8
    (("--k1", "8,4", "--k2", 3, "--mixture", 0.6), ReciprocalOptions((4, 8), 3, 0.6)),
])  # fmt: skip
def test_ranking_is_that_of_the_definition(made, tmp_path, options, chosen, with_graph):
    graph = ("--graph", made / "g.h5") if with_graph else ()
    assert_done(rerank(made, tmp_path / "k.h5", *options, *graph))
    vectors, is_image = np.nan_to_num(database_vectors()), np.zeros(N, bool)
    is_image[VERTICES] = True
    plain = Plain(vectors, is_image, chosen)
    with open_artifact(tmp_path / "k.h5", Ranking) as found:
        for row in range(6):
            expected = plain.scores(query_vectors()[row])
            expected[ZERO] = 0  # like nothing, and ranked all the same
            n = len(VERTICES) + 1
            ids, scores = found.ids[row], found.scores[row]
            np.testing.assert_allclose(scores[:n], np.sort(expected)[::-1][:n], atol=1e-5)
            np.testing.assert_allclose(scores[:n], expected[ids[:n]], atol=1e-5)
            similarities = masked(vectors, query_vectors()[row], np.ones(N, bool))
            np.testing.assert_allclose(
                found.similarities[row, :n], similarities[ids[:n]], atol=1e-5
            )
            assert not {FAILED, NOT_FINITE} & set(ids.tolist())
        for row in EMPTY_QUERIES:
            assert (found.ids[row] == -1).all()
        assert found.described()["method"] == "global + reciprocal"
        assert found.query_names == QUERY_NAMES


def test_result_is_up_to_date_and_other_options_are_told(made, tmp_path):
    output = tmp_path / "k.h5"
    assert_done(rerank(made, output))
    assert "up to date" in rerank(made, output).stderr
    assert_fails(rerank(made, output, "--k1", 3), 4, "another --k1", "expected 3,", "3,5,10,12")
    assert_fails(rerank(made, output, "--mixture", 0.2), 4, "another --mixture")


def test_other_length_of_the_ranking_and_its_own_head(made, tmp_path):
    assert_done(rrtool("search", made / "q.h5", made / "d.h5", "-o", tmp_path / "s.h5", "--top", 4))
    words = ("--method", "reciprocal", "--queries", made / "q.h5", "--database", made / "d.h5")
    assert_done(rrtool("rerank", tmp_path / "s.h5", *words, "-o", tmp_path / "short.h5"))
    assert_done(rerank(made, tmp_path / "long.h5"))
    with (
        open_artifact(tmp_path / "short.h5", Ranking) as short,
        open_artifact(tmp_path / "long.h5", Ranking) as long,
    ):
        np.testing.assert_array_equal(short.ids, long.ids[:, :4])


@pytest.mark.parametrize(("options", "code", "texts"), [
    (("--k1", 70), 2, ("--k1", "at most 59", "found 70")),
    (("--k1", "3,70"), 2, ("--k1", "at most 59", "found 70")),
    (("--k1", "0"), 2, ("bad --k1", "1 to 1000")),
    (("--k1", "3,x"), 2, ("bad --k1", "whole numbers")),
    (("--top", 5), 2, ("--top does not go with --method reciprocal",)),
    (("--shortlist", 5), 2, ("--shortlist does not go with --method reciprocal",)),
    (("--graph", "q.h5"), 4, ("another kind",)),
])  # fmt: skip
def test_bad_options_are_one_line(made, tmp_path, monkeypatch, options, code, texts):
    monkeypatch.chdir(made)
    assert_fails(rerank(made, tmp_path / "k.h5", *options), code, *texts)
    assert not list(tmp_path.iterdir())


def test_missing_and_mixed_up_inputs_are_one_line(made, tmp_path):
    output = ("-o", tmp_path / "k.h5")
    missing = rrtool("rerank", made / "r.h5", "--method", "reciprocal", *output)
    assert_fails(missing, 2, "missing --queries")
    assert_fails(rrtool("rerank", made / "r.h5", *output), 2, "missing --query-local")
    both = rerank(made, tmp_path / "k.h5", "--query-local", made / "q.h5")
    assert_fails(both, 2, "--query-local does not go with --method reciprocal")
    swapped = rrtool(
        "rerank", made / "r.h5", "--method", "reciprocal", "--queries", made / "d.h5",
        "--database", made / "q.h5", *output,
    )  # fmt: skip
    assert_fails(swapped, 4, "other images")


def test_graph_changes_nothing(made, tmp_path):
    """Not one that is long enough, nor one that is too short, as the default is here."""
    assert_done(rrtool("build-graph", made / "d.h5", "-o", tmp_path / "long.h5", "--k", 20))
    assert_done(rrtool("build-graph", made / "d.h5", "-o", tmp_path / "short.h5"))
    assert_done(rerank(made, tmp_path / "none.h5"))
    for name in ("long", "short"):
        result = rerank(made, tmp_path / f"k-{name}.h5", "--graph", tmp_path / f"{name}.h5")
        assert_done(result)
        with (
            open_artifact(tmp_path / "none.h5", Ranking) as expected,
            open_artifact(tmp_path / f"k-{name}.h5", Ranking) as found,
        ):
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)
            assert [each.role for each in found.inputs][3:] == ["graph"] * (name == "long")
        assert ("12 neighbours of each image are searched" in result.stderr) == (name == "short")


def test_verified_graph_changes_nothing(made, tmp_path):
    """Of its lists what does not match is cut off, and what is behind comes up."""
    whole, verified = tmp_path / "g.h5", tmp_path / "v.h5"
    assert_done(rrtool("build-graph", made / "d.h5", "-o", whole, "--k", 20))
    with open_artifact(whole, Graph) as old:
        columns = {name: old.read_named(name) for name in old.dataset_names()}
        ids = columns["neighbor_ids"]
        ids[:, 2:] = -1
        columns["n_inliers"] = np.where(ids < 0, 0, 9).astype(np.int32)
        about = old.kind, old.options, old.inputs, old.network, old.device, old.asked
        with create(verified, Provenance(*about)) as target:
            target.publish(columns, extra=old.extra)
    assert_done(rerank(made, tmp_path / "none.h5"))
    result = rerank(made, tmp_path / "k.h5", "--graph", verified)
    assert "verified lists, k = 20; 12 neighbours of each image are searched" in result.stderr
    with (
        open_artifact(tmp_path / "none.h5", Ranking) as expected,
        open_artifact(tmp_path / "k.h5", Ranking) as found,
    ):
        np.testing.assert_array_equal(found.ids, expected.ids)


def test_large_collection_wants_a_graph(made, tmp_path, monkeypatch):
    monkeypatch.setattr("rrtool.stages.diffusion.reciprocal.rerank_reciprocal._SEARCHED_HERE", 50)
    result = rerank(made, tmp_path / "k.h5")
    assert_fails(result, 2, "12 neighbours of each of 60 images", "build-graph --k 12")
    short = rerank(made, tmp_path / "k.h5", "--graph", made / "g.h5")
    assert_fails(short, 2, "g.h5", "found k = 8", "build-graph --k 12")
    assert_done(rerank(made, tmp_path / "k.h5", "--graph", made / "g.h5", "--k1", "8"))


def test_too_many_neighbours_are_told(made, tmp_path):
    assert "more than belong together" in rerank(made, tmp_path / "k.h5", "--k1", "3,13").stderr
    assert "more than belong" not in rerank(made, tmp_path / "few.h5", "--k1", "3,12").stderr


def test_what_was_re_ordered_before_is_not_lost(made, tmp_path):
    words = ("--queries", made / "q.h5", "--database", made / "d.h5")
    assert_done(rrtool("diffuse", "--graph", made / "g.h5", *words, "-o", tmp_path / "d.h5"))
    again = rrtool("rerank", tmp_path / "d.h5", "--method", "reciprocal", *words,
                   "-o", tmp_path / "k.h5")  # fmt: skip
    assert_fails(again, 2, "would be lost", "global + D")
    expanded = tmp_path / "e.h5"
    assert_done(rrtool("search", made / "q.h5", made / "d.h5", "-o", expanded, "--expand", 2))
    again = rrtool("rerank", expanded, "--method", "reciprocal", *words, "-o", tmp_path / "k.h5")
    assert_fails(again, 2, "would be lost", "found global + AQE 2")


def test_one_image_and_equal_images(tmp_path):
    for n in (1, 2, 5):
        same = np.tile(np.eye(4, dtype=np.float32)[0], (n, 1))
        names = [f"{i}.png" for i in range(n)]
        path = write_features(tmp_path / f"f{n}.h5", names, same)
        assert_done(rrtool("search", path, path, "-o", tmp_path / f"r{n}.h5"))
        words = ("--method", "reciprocal", "--queries", path, "--database", path)
        result = rrtool("rerank", tmp_path / f"r{n}.h5", *words, "-o", tmp_path / f"k{n}.h5")
        assert_done(result)
        with open_artifact(tmp_path / f"k{n}.h5", Ranking) as found:
            assert np.isfinite(found.scores).all()
            assert sorted(found.ids[0].tolist()) == list(range(n))
