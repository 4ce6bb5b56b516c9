"""rerank --method reciprocal --lists: the encoding by rankings alone, of regions and of images."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Provenance, Ranking, Regions, create, open_artifact
from rrtool.errors import ArtifactError, OptionError, UsageError
from tests.core.diffusion.test_graph import unit_vectors
from tests.stages.made_features import write_features, write_regions

COUNTS = [3, 2, 4, 3, 3, 2, 4, 3, 3, 3, 2, 3]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Regions of twelve images and of three queries, and the rankings of both."""
    folder = tmp_path_factory.mktemp("lists")
    write_regions(folder / "d.h5", unit_vectors(sum(COUNTS), 5), COUNTS)
    write_regions(folder / "q.h5", unit_vectors(8, 5, seed=4), [3, 2, 3])
    rrtool.search(folder / "q.h5", folder / "d.h5", folder / "r.h5")
    rrtool.search(folder / "d.h5", folder / "d.h5", folder / "self.h5")
    return folder


def similarity(first: np.ndarray, second: np.ndarray) -> float:
    """R-Match."""
    return float((first @ second.T).max(axis=1).mean())


def split(path: Path) -> list[np.ndarray]:
    with open_artifact(path, Regions) as regions:
        vectors, offsets = regions.descriptors, regions.offsets
    return [vectors[first:last].astype(np.float64) for first, last in pairwise(offsets)]


def plain_scores(made: Path, query: np.ndarray, k1: int, k2: int, mixture: float) -> list[float]:
    """The definition in sets, over all pairs of images; members weigh alike."""
    images = split(made / "d.h5")
    n = len(images)
    alike = np.array([[similarity(one, other) for other in images] for one in images])
    near = [sorted(set(range(n)) - {i}, key=lambda j, i=i: -alike[i, j]) for i in range(n)]

    def mutual(i: int, k: int) -> set[int]:
        return {i} | {j for j in near[i][:k] if i in near[j][:k]}

    half = [mutual(i, max(1, round(k1 / 2))) for i in range(n)]

    def expanded(members: set[int]) -> set[int]:
        joining = [half[j] for j in members if len(half[j] & members) >= 2 / 3 * len(half[j])]
        return members.union(*joining)

    encodings = np.zeros((n, n + 1))
    for i in range(n):
        members = [*expanded(mutual(i, k1))]
        encodings[i, members] = 1 / len(members)
    averaged = np.array([encodings[[i, *near[i][: k2 - 1]]].mean(axis=0) for i in range(n)])
    to = np.array([similarity(query, image) for image in images])
    order = [*np.argsort(-to)]
    least = [alike[j, near[j][k1 - 1]] for j in range(n)]
    members = [*expanded({j for j in order[:k1] if to[j] >= least[j]})]
    own = np.zeros(n + 1)
    own[n] = 1
    own[members] = np.exp(to[members] - 1)
    own /= own.sum()
    own = np.mean([own, *(encodings[j] for j in order[: k2 - 1])], axis=0)
    shared = np.minimum(averaged, own).sum(axis=1)
    return [*(mixture * to + (1 - mixture) * shared / (2 - shared))]


@pytest.mark.parametrize(("k1", "k2", "mixture"), [(4, 2, 0.3), (3, 1, 0.5), (6, 3, 0.0)])
def test_ranking_is_that_of_the_definition(
    made: Path, tmp_path: Path, k1: int, k2: int, mixture: float
) -> None:
    path = rrtool.rerank(
        made / "r.h5", tmp_path / "k.h5", method="reciprocal", lists=made / "self.h5",
        k1=(k1,), k2=k2, mixture=mixture,
    )  # fmt: skip
    with open_artifact(path, Ranking) as found, open_artifact(made / "r.h5", Ranking) as given:
        assert found.described()["method"] == "R-Match + reciprocal"
        for row, query in enumerate(split(made / "q.h5")):
            expected = np.array(plain_scores(made, query, k1, k2, mixture))
            np.testing.assert_allclose(found.scores[row], np.sort(expected)[::-1], atol=1e-5)
            np.testing.assert_allclose(found.scores[row], expected[found.ids[row]], atol=1e-5)
            similarities = dict(zip(given.ids[row], given.similarities[row], strict=True))
            assert [similarities[i] for i in found.ids[row]] == found.similarities[row].tolist()


def test_boxes_follow_their_hits(made: Path, tmp_path: Path) -> None:
    with open_artifact(made / "r.h5", Ranking) as given:
        columns = {
            name: getattr(given, name)
            for name in ("ids", "similarities", "query_names", "database_names", "query_boxes")
        }
        boxes = np.arange(1, 3 * 5 * 4 + 1, dtype=np.float32).reshape(3, 5, 4)
        extra, network = given.extra, given.network

    with create(tmp_path / "r.h5", Provenance("ranking", {}, [], network)) as target:
        target.publish(Ranking.columns(**columns, hit_boxes=boxes), extra=extra)
    path = rrtool.rerank(
        tmp_path / "r.h5", tmp_path / "k.h5", method="reciprocal", lists=made / "self.h5", k1=(4,)
    )
    with open_artifact(path, Ranking) as found, open_artifact(tmp_path / "r.h5", Ranking) as given:
        for row, name in enumerate(found.query_names):
            known = {hit.name: hit.box for hit in given.hits(row)}
            hits = found.hits(row)
            assert [hit.box for hit in hits[:5]] == [known[hit.name] for hit in hits[:5]], name
            assert {hit.box for hit in hits[5:]} == {None}


def test_lists_bad_input(made: Path, tmp_path: Path) -> None:
    asked = {"method": "reciprocal", "lists": made / "self.h5"}
    rrtool.search(made / "d.h5", made / "d.h5", tmp_path / "short.h5", top=3)
    write_features(tmp_path / "f.h5", [f"{i}.png" for i in range(12)], unit_vectors(12, 5))
    rrtool.search(tmp_path / "f.h5", tmp_path / "f.h5", tmp_path / "whole.h5")
    again = rrtool.rerank(made / "r.h5", tmp_path / "k.h5", **asked, k1=(3,))
    pair = {"queries": made / "q.h5", "database": made / "d.h5"}
    for error, says, ranking, changed in (
        (OptionError, "does not go with --lists", made / "r.h5", {"queries": made / "q.h5"}),
        (OptionError, "--k1", made / "r.h5", {"k1": (12,)}),
        (OptionError, "does not go with --method", made / "r.h5", {"method": "refine", **pair}),
        (ArtifactError, "too short", made / "r.h5", {"lists": tmp_path / "short.h5", "k1": (4,)}),
        (ArtifactError, "differ in method", made / "r.h5", {"lists": tmp_path / "whole.h5"}),
        (ArtifactError, "other", made / "r.h5", {"lists": made / "r.h5"}),
        (UsageError, "would be lost", again, {}),
    ):
        with pytest.raises(error, match=says):
            rrtool.rerank(ranking, tmp_path / "x.h5", **{**asked, **changed})
