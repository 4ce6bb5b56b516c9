"""build-graph --shard and merge: the graph that one run builds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Graph, GraphShare, open_artifact
from rrtool.errors import ArtifactError, OptionError, UsageError
from rrtool.stages.diffusion import build_graph as stage
from tests.core.diffusion.test_graph import unit_vectors
from tests.stages.damaging import damaged
from tests.stages.diffusion.test_build_graph import names_of
from tests.stages.made_features import write_features, write_regions
from tests.tiny import Told, digest_of

N, K = 50, 5


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifty descriptors, one of them zero: their graph, and its three shares."""
    folder = tmp_path_factory.mktemp("shares")
    vectors = unit_vectors(N, 8)
    vectors[17] = 0
    write_features(folder / "f.h5", names_of(N), vectors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "_ROWS_PER_PART", 7)
        _build(folder, "whole.h5")
        for number in (1, 2, 3):
            _build(folder, f"{number}.h5", shard=f"{number}/3")
    return folder


def _build(folder: Path, output: str, **options: object) -> Path:
    arguments = {"k": K, "device": "cpu", **options}
    return rrtool.build_graph(folder / "f.h5", folder / output, **arguments)


def _shares(made: Path, order: str = "312") -> list[Path]:
    return [made / f"{number}.h5" for number in order]


def test_merged_shares_are_the_graph_of_one_run(made: Path, tmp_path: Path) -> None:
    merged = rrtool.merge(_shares(made), tmp_path / "g.h5")
    with open_artifact(merged, Graph) as one, open_artifact(made / "whole.h5", Graph) as other:
        assert one.digest == other.digest
        assert one.identity() == other.identity()
        assert one.extra == other.extra
    told = Told()
    rrtool.build_graph(made / "f.h5", merged, k=K, device="cpu", progress=told)
    rrtool.merge(_shares(made), merged, progress=told)
    assert [line.endswith("is up to date") for line in told.lines] == [True, True]


def test_share_knows_the_whole_list_and_its_range(made: Path) -> None:
    with open_artifact(made / "2.h5", GraphShare) as share:
        assert len(share.names) == len(share.status) == N
        assert share.extra["share"] == {"first": 14, "end": 35, "images": N}
        assert share.neighbor_ids.shape == (21, K)
        assert (share.neighbor_ids[17 - 14] == -1).all()


def test_merged_graph_is_updated(made: Path, tmp_path: Path) -> None:
    merged = rrtool.merge(_shares(made), tmp_path / "g.h5")
    with open_artifact(made / "f.h5") as features:
        vectors = features.read_named("descriptors")
    write_features(tmp_path / "f.h5", names_of(N), vectors[::-1])
    told = Told()
    rrtool.build_graph(tmp_path / "f.h5", merged, k=K, device="cpu", update=True, progress=told)
    assert "49 of 49 descriptors are kept" in "\n".join(told.lines)


def test_shares_of_regions_divide_regions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_ROWS_PER_PART", 4)
    write_regions(tmp_path / "f.h5", unit_vectors(18, 6), [3] * 6)
    shares = [_build(tmp_path, f"{i}.h5", shard=f"{i}/2") for i in (1, 2)]
    merged = rrtool.merge(shares, tmp_path / "g.h5")
    assert digest_of(merged) == digest_of(_build(tmp_path, "whole.h5"))


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ("13", "a share is missing before this one"),
        ("23", "a share is missing before this one"),
        ("12", "the last share is missing"),
        ("1223", "another share has some of the rows"),
    ],
)
def test_gaps_and_overlaps_are_refused(
    made: Path, tmp_path: Path, shares: str, message: str
) -> None:
    with pytest.raises(ArtifactError, match=message):
        rrtool.merge(_shares(made, shares), tmp_path / "g.h5")
    assert not (tmp_path / "g.h5").exists()


def test_strangers_are_refused(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "_ROWS_PER_PART", 7)
    output = tmp_path / "g.h5"
    for stranger, message in (
        (made / "whole.h5", "this is no share"),
        (made / "f.h5", "this is no share"),
        (_build(made, tmp_path / "k.h5", shard="3/3", k=4), r"made otherwise .options"),
        (_build(made, tmp_path / "s.h5", shard="3/3", symmetrize="sum"), r"otherwise .options"),
    ):
        with pytest.raises(ArtifactError, match=message):
            rrtool.merge([*_shares(made, "12"), stranger], output)
    write_features(tmp_path / "f.h5", names_of(N), unit_vectors(N, 8, seed=3))
    other = _build(tmp_path, "o.h5", shard="3/3")
    with pytest.raises(ArtifactError, match=r"o\.h5: this share was made otherwise .inputs"):
        rrtool.merge([*_shares(made, "12"), other], output)
    write_features(tmp_path / "f.h5", names_of(N), unit_vectors(N, 8), network={"name": "vgg16"})
    other = _build(tmp_path, "n.h5", shard="3/3")
    with pytest.raises(ArtifactError, match=r"n\.h5: this share was made otherwise"):
        rrtool.merge([*_shares(made, "12"), other], output)


def test_damaged_share_is_refused(made: Path, tmp_path: Path) -> None:
    ids = np.zeros((15, K), np.int32)
    share = damaged(made / "3.h5", tmp_path / "3.h5", {"neighbor_ids": ids})
    with pytest.raises(ArtifactError, match=r"3\.h5: damaged graph-share"):
        rrtool.merge([*_shares(made, "12"), share], tmp_path / "g.h5")


def test_graph_is_made_of_whole_shares_alone(made: Path) -> None:
    with pytest.raises(ArtifactError, match="another kind"):
        rrtool.centrality(made / "1.h5", made / "c.h5", measure="degree")
    with pytest.raises(OptionError, match="--shard is for exact lists"):
        _build(made, "x.h5", shard="1/2", method="hnsw")
    with pytest.raises(UsageError, match="at most 1 shares of 50 vertices, found 2"):
        _build(made, "x.h5", shard="1/2")
