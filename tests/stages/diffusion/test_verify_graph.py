"""build-graph --verify against matching each pair by hand, and what a graph is made of then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rrtool as library
from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Graph
from rrtool.core.diffusion.graph import build_adjacency
from rrtool.errors import ArtifactError, OptionError, UsageError
from rrtool.stages.diffusion import verify_graph
from rrtool.stages.matching import pairs
from rrtool.stages.matching.pairs import PairMatcher
from tests.core.diffusion.test_graph import assert_well_formed, unit_vectors
from tests.stages.made_features import write_features, write_regions
from tests.stages.made_local import (
    NO_FEATURES,
    NONE,
    NOT_FINITE,
    by_hand,
    made_object,
    seen,
    write_local,
    write_things,
)
from tests.tiny import assert_done, leftovers, rrtool

N, K = 24, 5
NAMES = [f"{i:02d}.png" for i in range(N)]
COPIES = (6, 7)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight things seen three times each, in clutter; descriptors that know some of them."""
    folder = tmp_path_factory.mktemp("verify")
    write_things(folder, NAMES, 3, 0.5, COPIES)
    library.build_graph(folder / "f.h5", folder / "plain.h5", k=K, device="cpu")
    return folder


def build(made: Path, output: Path, **options: object) -> Path:
    given = {"verify": made / "l.h5", "k": K, "device": "cpu", **options}
    return library.build_graph(made / "f.h5", output, **given)


@pytest.mark.parametrize("at_once", [1, 7, 4096])
def test_verified_graph_keeps_the_neighbours_that_match_by_hand(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(pairs, "_PAIRS_AT_ONCE", at_once)
    monkeypatch.setattr(verify_graph, "_PAIRS_PER_PART", at_once)
    path = build(made, tmp_path / "g.h5")
    with (
        open_artifact(path, Graph) as graph,
        open_artifact(made / "plain.h5", Graph) as plain,
    ):
        level = graph.extra["verification"]["level"]
        assert 3 <= level <= 15
        n_kept = 0
        for row in range(N):
            kept = [
                (int(j), s, count)
                for j, s in zip(plain.neighbor_ids[row], plain.similarities[row], strict=True)
                if j >= 0 and (count := by_hand(made, row, int(j))) > level
            ]
            expected = [*kept, *[(-1, 0, 0)] * (K - len(kept))]
            columns = graph.neighbor_ids[row], graph.similarities[row], graph.n_inliers[row]
            assert list(zip(*(each.tolist() for each in columns), strict=True)) == expected
            n_kept += len(kept)
        assert 10 < n_kept < (plain.neighbor_ids >= 0).sum() / 2
        adjacency = graph.adjacency()
        assert_well_formed(adjacency)
        again = build_adjacency(graph.neighbor_ids, graph.similarities)
        np.testing.assert_array_equal(adjacency.toarray(), again.toarray())
        # Only photos of the same thing match, a copy among them; what has no features does not.
        rows, columns = np.nonzero(adjacency.toarray())
        assert (rows // 3 == columns // 3).all()
        assert COPIES[1] in columns[rows == COPIES[0]]
        assert not {NO_FEATURES, NOT_FINITE} & set(rows.tolist())


def test_verification_goes_on_where_it_was_interrupted(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_graph, "_PAIRS_PER_PART", 10)
    whole = build(made, tmp_path / "whole.h5")
    asked: list[list[list[int]]] = []
    count = PairMatcher.count

    def counted(self: PairMatcher, ends: np.ndarray, n_parts: int) -> np.ndarray:
        if len(asked) == n_parts:
            raise KeyboardInterrupt
        asked.append(ends.tolist())
        return count(self, ends)

    monkeypatch.setattr(PairMatcher, "count", lambda self, ends: counted(self, ends, 3))
    with pytest.raises(KeyboardInterrupt):
        build(made, tmp_path / "g.h5")
    assert len(asked) == 3
    monkeypatch.setattr(PairMatcher, "count", lambda self, ends: counted(self, ends, -1))
    build(made, tmp_path / "g.h5")
    # Each pair once in both runs together: those listed, and those drawn of all others.
    pairs = [tuple(pair) for part in asked for pair in part]
    assert len(set(pairs)) == len(pairs)
    with open_artifact(tmp_path / "g.h5", Graph) as graph, open_artifact(whole, Graph) as other:
        n_listed = graph.extra["verification"]["n_pairs"]
        assert n_listed < len(pairs) <= n_listed + 1000
        for name in ("neighbor_ids", "similarities", "n_inliers", "weights"):
            np.testing.assert_array_equal(getattr(graph, name), getattr(other, name))
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_photos_prove_nothing(tmp_path: Path, n: int) -> None:
    thing = made_object(0, n=30)
    write_local(tmp_path / "l.h5", NAMES[:n], [seen(thing, row, 2 * row) for row in range(n)])
    write_features(tmp_path / "f.h5", NAMES[:n], unit_vectors(n, 4) ** 2)
    words = ("build-graph", tmp_path / "f.h5", "-o", tmp_path / "g.h5", "--verify")
    result = rrtool(*words, tmp_path / "l.h5", "--device", "cpu")
    assert_done(result)
    assert ("too few photos to tell what matches from chance" in result.stderr) == (n > 1)
    assert "no edges: no two mutual neighbours match" in result.stderr
    with open_artifact(tmp_path / "g.h5", Graph) as graph:
        assert (graph.neighbor_ids == -1).all()
        assert graph.lengths["v"] == n


def test_photos_without_local_features_have_no_edges(made: Path, tmp_path: Path) -> None:
    write_local(tmp_path / "l.h5", NAMES, [NONE] * N, failed=range(5))
    path = build(made, tmp_path / "g.h5", verify=tmp_path / "l.h5")
    with open_artifact(path, Graph) as graph:
        assert (graph.neighbor_ids == -1).all()
        assert graph.statistic("n_edges") == 0


def test_verified_graph_serves_diffusion(made: Path, tmp_path: Path) -> None:
    graph = build(made, tmp_path / "g.h5")
    path = library.diffuse(
        tmp_path / "r.h5", graph=graph, queries=made / "f.h5", database=made / "f.h5", device="cpu"
    )
    ranking = library.open(path)
    (hit,) = ranking.hits(NAMES[COPIES[0]])[1:2]
    assert hit.name in (NAMES[COPIES[1]], NAMES[COPIES[0]])


def test_what_cannot_be_verified_is_one_line(made: Path, tmp_path: Path) -> None:
    others = write_local(tmp_path / "l.h5", [f"other {name}" for name in NAMES], [NONE] * N)
    with pytest.raises(ArtifactError, match="about other images"):
        build(made, tmp_path / "g.h5", verify=others)
    few = write_local(tmp_path / "few.h5", [f"{i}.png" for i in range(3)], [NONE] * 3)
    regions = write_regions(tmp_path / "r.h5", np.eye(6), [2, 2, 2])
    with pytest.raises(UsageError, match="--verify is for a graph of images"):
        library.build_graph(regions, tmp_path / "g.h5", verify=few, device="cpu")
    for word in ({"update": True}, {"shard": "1/2"}):
        with pytest.raises(OptionError, match="does not go with --verify"):
            build(made, tmp_path / "g.h5", **word)
    assert not (tmp_path / "g.h5").exists()


def test_graph_that_is_not_verified_is_known_as_before(made: Path, tmp_path: Path) -> None:
    with open_artifact(made / "plain.h5", Graph) as plain:
        assert plain.options == {"k": K, "gamma": 3.0, "method": "exact", "symmetrize": "mutual"}
        assert Graph.n_inliers not in plain
    build(made, tmp_path / "g.h5")
    with pytest.raises(ArtifactError, match="made"):
        library.build_graph(made / "f.h5", tmp_path / "g.h5", k=K, device="cpu")
