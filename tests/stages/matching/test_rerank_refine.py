"""rerank --method refine through the command line: its head in the order of the formula."""

from __future__ import annotations

import numpy as np
import pytest

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Ranking
from tests.core.retrieval.test_refinement import plain_scores, unit
from tests.stages.made_features import write_features
from tests.tiny import assert_done, assert_fails, rrtool

NAMES = [f"{i}.png" for i in range(30)]
FAILED = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refine")
    write_features(folder / "d.h5", NAMES, unit(30, 8, seed=6), failed=[FAILED])
    write_features(folder / "q.h5", ["a.png", "b.png"], unit(2, 8, seed=7), failed=[1])
    assert_done(rrtool("search", folder / "q.h5", folder / "d.h5", "-o", folder / "r.h5"))
    return folder


def rerank(made, output, *options):
    return rrtool(
        "rerank", made / "r.h5", "--method", "refine", "--queries", made / "q.h5",
        "--database", made / "d.h5", "-o", output, *options,
    )  # fmt: skip


@pytest.mark.parametrize(("options", "chosen"), [
    ((), (29, 3, 0.15)),
    (("--top", 10, "--neighbors", 3, "--beta", 0.5), (10, 3, 0.5)),
    (("--top", 10_000, "--neighbors", 1000), (29, 1000, 0.15)),
])  # fmt: skip
def test_head_is_in_the_order_of_the_formula(made, tmp_path, options, chosen):
    assert_done(rerank(made, tmp_path / "k.h5", *options))
    m, k, beta = chosen
    with (
        open_artifact(made / "r.h5", Ranking) as before,
        open_artifact(tmp_path / "k.h5", Ranking) as found,
    ):
        head = before.ids[0, :m]
        expected = plain_scores(unit(2, 8, seed=7)[0], unit(30, 8, seed=6)[head], k, beta)
        order = np.argsort(-np.array(expected), kind="stable")
        np.testing.assert_array_equal(found.ids[0, :m], head[order])
        np.testing.assert_array_equal(found.ids[0, m:], before.ids[0, m:])
        np.testing.assert_allclose(found.scores[0, :m], np.array(expected)[order], atol=1e-5)
        by_id = dict(zip(before.ids[0].tolist(), before.similarities[0].tolist(), strict=True))
        for id_, similarity in zip(found.ids[0], found.similarities[0], strict=True):
            assert similarity == pytest.approx(by_id[int(id_)], abs=1e-6) or id_ < 0
        assert FAILED not in found.ids[0]
        assert (found.ids[1] == -1).all()
        assert found.described()["method"] == "global + refine"


def test_wrong_use_is_one_line(made, tmp_path):
    output = tmp_path / "k.h5"
    assert_fails(rerank(made, output, "--k1", 3), 2, "--k1 does not go with --method refine")
    assert_fails(rerank(made, output, "--beta", -1), 2, "bad --beta")
    assert_done(rerank(made, output))
    assert_fails(rerank(made, output, "--top", 7), 4, "another --top", "expected 7")
    again = rrtool(
        "rerank", output, "--method", "refine", "--queries", made / "q.h5",
        "--database", made / "d.h5", "-o", tmp_path / "again.h5",
    )  # fmt: skip
    assert_fails(again, 2, "would be lost", "global + refine")
