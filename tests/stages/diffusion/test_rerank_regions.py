"""rerank --method reciprocal of regions: the ranking, its boxes, and images after regions."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Ranking, Regions, open_artifact
from rrtool.core.diffusion.reciprocal import ReciprocalOptions
from rrtool.core.diffusion.reciprocal_regions import RegionEncoder, region_neighbors
from rrtool.errors import ArtifactError, OptionError, UsageError
from rrtool.stages.diffusion.reciprocal import rerank_regions
from tests.core.diffusion.test_graph import unit_vectors
from tests.stages.made_features import write_features, write_regions

COUNTS = [3, 2, 4, 3, 0, 2, 4, 3, 3, 3, 2, 3]
N = len(COUNTS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Regions of twelve images, one of which has none, of three queries, and the rankings."""
    folder = tmp_path_factory.mktemp("regions")
    vectors, boxes = unit_vectors(sum(COUNTS), 5), np.arange(4 * sum(COUNTS)).reshape(-1, 4)
    write_regions(folder / "d.h5", vectors, COUNTS, boxes=boxes)
    write_regions(folder / "q.h5", unit_vectors(5, 5, seed=4), [3, 0, 2])
    rrtool.search(folder / "q.h5", folder / "d.h5", folder / "r.h5")
    rrtool.search(folder / "d.h5", folder / "d.h5", folder / "self.h5")
    return folder


def rerank(made: Path, ranking: str, output: Path, queries: str = "q.h5", **more: object) -> Path:
    return rrtool.rerank(
        made / ranking, output, method="reciprocal", queries=made / queries,
        database=made / "d.h5", **more,
    )  # fmt: skip


def test_ranking_scores_and_boxes_are_those_of_the_encoder(made: Path, tmp_path: Path) -> None:
    path = rerank(made, "r.h5", tmp_path / "k.h5", k1=(2, 3))
    with open_artifact(made / "d.h5", Regions) as d, open_artifact(made / "q.h5", Regions) as q:
        usable, chosen = np.ones(len(d.descriptors), bool), ReciprocalOptions((2, 3), mixture=0.1)
        found = region_neighbors(d.descriptors, usable, d.offsets, 3)
        encoder = RegionEncoder(d.descriptors, usable, d.offsets, found, chosen)
        queries = [q.descriptors[a:b] for a, b in pairwise(q.offsets)]
        bounds, boxes = [*pairwise(d.offsets.tolist())], d.region_boxes
    with open_artifact(path, Ranking) as ranking:
        assert ranking.described()["method"] == "R-Match + reciprocal regions"
        assert [*ranking.hits(1)] == []
        for row in (0, 2):
            expected = encoder.scores(queries[row])
            best = [i for i in np.argsort(-expected.scores, kind="stable") if i != 4]
            assert ranking.ids[row].tolist() == best
            np.testing.assert_allclose(ranking.scores[row], expected.scores[best], atol=1e-6)
            np.testing.assert_allclose(
                ranking.similarities[row], expected.similarities[best], atol=1e-6
            )
            for hit, image in zip(ranking.hits(row), best, strict=True):
                first, last = bounds[image]
                region = first + int(np.argmax(expected.regions[first:last]))
                assert hit.box == tuple(boxes[region])


def test_images_are_re_ordered_after_their_regions(made: Path, tmp_path: Path) -> None:
    by_regions = rerank(made, "r.h5", tmp_path / "k.h5")
    lists = rerank(made, "self.h5", tmp_path / "s.h5", queries="d.h5")
    both = rrtool.rerank(by_regions, tmp_path / "both.h5", method="reciprocal", lists=lists)
    with open_artifact(both, Ranking) as ranking, open_artifact(by_regions, Ranking) as before:
        method = "R-Match + reciprocal regions + reciprocal"
        assert ranking.described()["method"] == method
        for row in (0, 2):
            # What has ordered it counts, and the similarities of descriptors stay known.
            known = dict(zip(before.ids[row], before.similarities[row], strict=True))
            assert ranking.similarities[row].tolist() == [known[i] for i in ranking.ids[row]]
    plain = rrtool.rerank(
        made / "r.h5", tmp_path / "p.h5", method="reciprocal", lists=made / "self.h5"
    )
    with open_artifact(both, Ranking) as ranking, open_artifact(plain, Ranking) as other:
        assert not np.array_equal(ranking.scores, other.scores)


def test_regions_bad_input(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_features(tmp_path / "f.h5", [f"{i}.png" for i in range(N)], unit_vectors(N, 5))
    rrtool.build_graph(tmp_path / "f.h5", tmp_path / "g.h5", k=2)
    write_regions(tmp_path / "o.h5", unit_vectors(6, 5), [3, 3])
    again = rerank(made, "r.h5", tmp_path / "k.h5")
    asked = {"method": "reciprocal", "queries": made / "q.h5", "database": made / "d.h5"}
    for error, says, ranking, changed in (
        (OptionError, "--graph is for one", made / "r.h5", {"graph": tmp_path / "g.h5"}),
        (OptionError, "--k1", made / "r.h5", {"k1": (N,)}),
        (UsageError, "would be lost", again, {}),
        (ArtifactError, "other images", made / "r.h5", {"database": tmp_path / "o.h5"}),
        (
            ArtifactError,
            "expected regions, found features",
            made / "r.h5",
            {"queries": tmp_path / "f.h5"},
        ),
        (ArtifactError, "differ in method", again, {"lists": made / "self.h5"}),
    ):
        given = {**asked, **changed}
        if "lists" in changed:
            del given["queries"], given["database"]
        with pytest.raises(error, match=says):
            rrtool.rerank(ranking, tmp_path / "x.h5", **given)
    monkeypatch.setattr(rerank_regions, "_MOST_REGIONS", 10)
    with pytest.raises(UsageError, match="take too long"):
        rerank(made, "r.h5", tmp_path / "x.h5")
