"""mine: what matches by hand, in groups that hold together; labels; and what cannot be mined."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rrtool as library
from rrtool.artifacts import Features, Graph, Tuples, open_artifact
from rrtool.core.diffusion.mining.communities import communities
from rrtool.errors import ArtifactError, OptionError, RrtoolError, UsageError, WorkFailed
from rrtool.stages.diffusion import verify_graph
from rrtool.stages.matching.pairs import PairMatcher
from rrtool.stages.training import unlabelled
from tests.core.diffusion.test_graph import unit_vectors
from tests.stages.made_features import write_features
from tests.stages.made_local import (
    NO_FEATURES,
    NOT_FINITE,
    by_hand,
    made_object,
    write_local,
    write_things,
)
from tests.tiny import leftovers

N, SIZE, K = 40, 5, 4
NAMES = [f"{i // SIZE}_{i:02d}.png" for i in range(N)]
COPIES = (15, 16)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight things seen five times each, in clutter; descriptors that know some of them."""
    folder = tmp_path_factory.mktemp("mine")
    write_things(folder, NAMES, SIZE, 0.55, COPIES)
    library.build_graph(folder / "f.h5", folder / "g.h5", k=K, device="cpu")
    verified = folder / "verified.h5"
    library.build_graph(folder / "f.h5", verified, k=K, verify=folder / "l.h5", device="cpu")
    return folder


def mine(made: Path, output: Path, **options: object) -> Path:
    given = {"graph": made / "g.h5", "local": made / "l.h5", "device": "cpu", **options}
    return library.mine(made / "f.h5", output, **given)


def _listed(path: Path) -> set[tuple[int, int]]:
    with open_artifact(path, Graph) as graph:
        lists = graph.neighbor_ids.tolist()
    return {
        (min(row, j), max(row, j)) for row, own in enumerate(lists) for j in own if j >= 0
    }  # fmt: skip


def test_mined_pairs_match_by_hand_within_their_group(made: Path, tmp_path: Path) -> None:
    path = mine(made, tmp_path / "t.h5")
    listed = _listed(made / "g.h5")
    with open_artifact(path, Tuples) as tuples, open_artifact(made / "f.h5", Features) as features:
        groups, pairs = tuples.checked()
        facts, vectors = tuples.extra["mined"], features.descriptors
        columns = tuples.pair_kinds, tuples.pair_scores, tuples.n_inliers
        assert tuples.names == NAMES
    found = {tuple(pair): values for pair, *values in zip(pairs.tolist(), *columns, strict=True)}
    assert len(found) == len(pairs) == 2 * (facts["n_pairs"] + facts["n_hard"])
    for (one, other), (kind, score, n_inliers) in found.items():
        assert n_inliers == by_hand(made, one, other) > facts["level"]
        assert score == pytest.approx(float(vectors[one] @ vectors[other]), abs=1e-6)
        assert bool(kind) == ((min(one, other), max(one, other)) not in listed)
        assert found[other, one] == [kind, score, n_inliers]
        assert one // SIZE == other // SIZE  # which mining was not told
    # Every listed pair that matches within a community is there, but for what is nearly identical.
    with open_artifact(made / "g.h5", Graph) as graph:
        labels = communities(graph.adjacency(), seed=0)
    good = np.isfinite(vectors).all(axis=1)
    centred = vectors - vectors[good].mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    n_alike = 0
    for one, other in listed:
        is_alike = centred[one] @ centred[other] > 0.95
        is_link = by_hand(made, one, other) > facts["level"] and labels[one] == labels[other]
        assert ((one, other) in found) == (is_link and not is_alike)
        n_alike += is_alike
    assert COPIES not in found
    assert facts["n_alike"] == n_alike
    assert facts["n_pairs"] > 20
    assert facts["n_hard"] > 2
    assert groups[COPIES[0]] == groups[COPIES[1]]
    assert groups[NOT_FINITE] == -1
    assert sum(groups == -1) == 1
    assert not {NO_FEATURES, NOT_FINITE} & set(pairs.ravel().tolist())
    truth = np.arange(N) // SIZE
    same = (groups[:, None] == groups) & (groups >= 0)
    # Groups are no finer than what is seen: else the hardest negatives would be of the same thing.
    good = np.flatnonzero(np.isin(np.arange(N), [NO_FEATURES, NOT_FINITE], invert=True))
    together = same[np.ix_(good, good)][truth[good, None] == truth[good]]
    assert together.mean() > 0.8


def test_without_the_level_of_alike_copies_are_positives(made: Path, tmp_path: Path) -> None:
    with open_artifact(mine(made, tmp_path / "t.h5", alike=1), Tuples) as tuples:
        assert list(COPIES) in tuples.pairs.tolist()
        assert tuples.extra["mined"]["n_alike"] == 0


def test_changed_options_are_named_and_equal_ones_are_up_to_date(
    made: Path, tmp_path: Path
) -> None:
    path = mine(made, tmp_path / "t.h5")
    written = path.read_bytes()
    mine(made, path)
    assert path.read_bytes() == written
    for name in ("chance", "alike"):
        with pytest.raises(ArtifactError, match=f"made with another --{name}"):
            mine(made, path, **{name: 0.5})
    with pytest.raises(ArtifactError, match="made with another --seed"):
        mine(made, path, seed=1)


def test_mining_goes_on_where_it_was_interrupted(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_graph, "_PAIRS_PER_PART", 100)
    count, asked = PairMatcher.count, list[tuple[int, int]]()
    most = -1

    def counted(self: PairMatcher, ends: np.ndarray) -> np.ndarray:
        if len(asked) == most:
            raise KeyboardInterrupt
        asked.extend(map(tuple, ends.tolist()))
        return count(self, ends)

    monkeypatch.setattr(PairMatcher, "count", counted)
    whole = mine(made, tmp_path / "whole.h5")
    of_whole = asked.copy()
    asked.clear()
    # In the pairs of neighbours and those drawn, and in those that diffusion reaches.
    for most in (300, len(of_whole) // 100 * 100):
        with pytest.raises(KeyboardInterrupt):
            mine(made, tmp_path / "t.h5")
        assert len(asked) == most
    most = -1
    mine(made, tmp_path / "t.h5")
    assert asked == of_whole  # each once in all runs together
    with open_artifact(whole) as one, open_artifact(tmp_path / "t.h5") as other:
        assert one.digest == other.digest
    assert leftovers(tmp_path) == []


def test_a_verified_graph_needs_no_local_features(made: Path, tmp_path: Path) -> None:
    given = {"graph": made / "verified.h5", "local": None, "alike": 0.9999}
    path = mine(made, tmp_path / "t.h5", **given)
    with (
        open_artifact(path, Tuples) as tuples,
        open_artifact(made / "verified.h5", Graph) as graph,
    ):
        _, pairs = tuples.checked()
        labels = communities(graph.adjacency(), seed=0)
        lists, counts = graph.neighbor_ids, graph.n_inliers
        wanted = {}
        for row, place in np.argwhere(lists >= 0).tolist():
            other = int(lists[row, place])
            if labels[row] == labels[other] and {row, other} != {*COPIES}:
                wanted[row, other] = wanted[other, row] = int(counts[row, place])
        found = zip(map(tuple, pairs.tolist()), tuples.n_inliers.tolist(), strict=True)
        assert dict(found) == wanted
        assert (tuples.pair_kinds == 0).all()
        assert tuples.extra["mined"]["level"] == graph.extra["verification"]["level"]


LABELS = "prefix:(.)_"


def test_groups_by_labels(made: Path, tmp_path: Path) -> None:
    path = library.mine(made / "f.h5", tmp_path / "t.h5", groups=LABELS)
    with open_artifact(path, Tuples) as tuples:
        groups, pairs = tuples.checked()
    wanted = np.arange(N) // SIZE
    wanted[NOT_FINITE] = -1
    assert groups.tolist() == wanted.tolist()
    assert pairs.shape == (0, 2)


def test_distractors_are_groups_of_their_own(made: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    lines = [f"{name},{'ab'[i % 2] if i < 8 else ''}" for i, name in enumerate(NAMES)]
    table.write_text("name,label\n" + "\n".join(lines) + "\n")
    path = library.mine(made / "f.h5", tmp_path / "t.h5", groups=table)
    with open_artifact(path, Tuples) as tuples:
        groups = tuples.groups.tolist()
    assert groups[:8] == [0, 1] * 4
    others = [group for group in groups[8:] if group >= 0]
    assert len({*others}) == len(others) == N - 9


@pytest.mark.parametrize(
    ("rule", "error"),
    [
        ("prefix:(.*)", "no two photos have the same label"),
        ("prefix:()(.)", "have no label"),
        ("prefix:(?=.*_)", "have no label"),
        ("prefix:(?=.).*?(_)", "there are no negatives"),
        ("folder", "have no label"),
        ("no-such.csv", "no-such.csv"),
    ],
)
def test_labels_that_say_nothing_are_refused(
    made: Path, tmp_path: Path, rule: str, error: str
) -> None:
    with pytest.raises(UsageError, match=error):
        library.mine(made / "f.h5", tmp_path / "t.h5", groups=rule)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "kind", "error"),
    [
        ({"graph": None, "local": None}, UsageError, "--graph and --local, or --groups"),
        ({"local": None}, UsageError, "--local, or a graph from build-graph --verify"),
        ({"groups": LABELS}, OptionError, "--groups has no need of --graph"),
        ({"groups": LABELS, "graph": None}, OptionError, "no need of --local"),
        ({"chance": 0}, OptionError, "--chance"),
        ({"chance": 1}, OptionError, "--chance"),
        ({"alike": 1.1}, OptionError, "--alike"),
        ({"graph": "f.h5"}, ArtifactError, "graph"),
        ({"local": "f.h5"}, ArtifactError, "local-features"),
    ],
)
def test_what_does_not_go_together_is_refused(
    made: Path, tmp_path: Path, options: dict[str, object], kind: type[RrtoolError], error: str
) -> None:
    given = {name: made / v if v == "f.h5" else v for name, v in options.items()}
    with pytest.raises(kind) as raised:
        mine(made, tmp_path / "t.h5", **given)
    assert error in str(raised.value)
    assert not list(tmp_path.iterdir())


def _other(made: Path, folder: Path, names: list[str], vectors: np.ndarray, k: int) -> Path:
    """Photos of this many names, with a graph and local features of their own."""
    write_features(folder / "f.h5", names, vectors)
    library.build_graph(folder / "f.h5", folder / "g.h5", k=k, device="cpu")
    images = [made_object(200 + row, n=40, size=30) for row in range(len(names))]
    write_local(folder / "l.h5", names, images)
    return folder


def test_artifacts_of_other_photos_are_refused(made: Path, tmp_path: Path) -> None:
    other = _other(made, tmp_path, NAMES[1:], unit_vectors(N - 1, 6, seed=9), K)
    for options in ({"graph": other / "g.h5"}, {"local": other / "l.h5"}):
        with pytest.raises(ArtifactError, match=r"g\.h5|l\.h5"):
            mine(made, tmp_path / "t.h5", **options)


@pytest.mark.parametrize("n", [1, 2, 3, 12])
def test_photos_of_which_no_two_match_are_told(made: Path, tmp_path: Path, n: int) -> None:
    other = _other(made, tmp_path, NAMES[:n], unit_vectors(n, 6, seed=9), min(n, 3) - 1 or 1)
    with pytest.raises(WorkFailed, match="there is nothing to learn from"):
        mine(other, tmp_path / "t.h5")
    assert not (tmp_path / "t.h5").exists()


def test_photos_that_are_all_of_one_group_are_told(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        unlabelled, "joined_groups", lambda labels, links: np.zeros(len(labels), np.int32)
    )
    with pytest.raises(WorkFailed, match="there are no negatives"):
        mine(made, tmp_path / "t.h5")


@pytest.mark.parametrize("known", [None, [], {}, {"level": "x", "share": 1.0}, {"level": 3}])
def test_a_verified_graph_that_does_not_say_its_level_is_refused(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: object
) -> None:
    with open_artifact(made / "verified.h5", Graph) as graph:
        changed = {**graph.extra, "verification": known}
    opened = Graph.__init__

    def init(self: Graph, *arguments: object) -> None:
        opened(self, *arguments)
        self.extra = changed

    monkeypatch.setattr(Graph, "__init__", init)
    with pytest.raises(ArtifactError, match="damaged"):
        mine(made, tmp_path / "t.h5", graph=made / "verified.h5", local=None)


def test_where_the_photos_are_is_taken_over_from_the_features(
    made: Path, tmp_path: Path, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chain)
    for name in ("f.h5", "fw.h5", "im.h5"):  # extracted, whitened, another's
        path = library.mine(name, tmp_path / name, groups="prefix:(.)_")
        with open_artifact(path, Tuples) as tuples:
            assert tuples.images == ("" if name == "im.h5" else "images")
