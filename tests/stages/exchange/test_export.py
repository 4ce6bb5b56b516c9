"""export: what other programs read of an artifact, and import reads again."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import h5py
import numpy as np
import pytest
from pyarrow import parquet

import rrtool
from rrtool.artifacts import Provenance, create, offsets_of
from rrtool.artifacts.kinds import LocalFeaturesFile, Ranking
from tests.stages.exchange.made_files import NAMES, unit_vectors
from tests.stages.made_features import NETWORK, write_features
from tests.tiny import assert_done, assert_fails
from tests.tiny import rrtool as run

FAILED = 3


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def features(here):
    write_features(here / "f.h5", NAMES, unit_vectors(), failed=[FAILED])
    return rrtool.open("f.h5")


def _export(artifact, name, *words):
    result = run("export", artifact, "-o", name, *words)
    assert_done(result)
    assert result.stdout == f"{name}\n"
    return result


def test_export_npy_is_read_by_numpy(features):
    result = _export("f.h5", "x.npy")
    assert "1 of 5 images have no descriptor: theirs are zero" in result.stderr
    np.testing.assert_array_equal(np.load("x.npy"), features.descriptors)
    assert np.load("x.npy").dtype == np.float32
    assert Path("x.names.txt").read_text(encoding="utf-8").split("\n") == [*NAMES, ""]


def test_export_npz_is_read_by_numpy(features):
    _export("f.h5", "x.npz")
    with np.load("x.npz", allow_pickle=False) as content:
        assert content["names"].tolist() == NAMES
        np.testing.assert_array_equal(content["descriptors"], features.descriptors)


def test_export_parquet_is_read_by_pyarrow(features):
    _export("f.h5", "x.parquet")
    table = parquet.read_table("x.parquet").to_pydict()
    assert table["name"] == NAMES
    np.testing.assert_array_equal(np.float32(table["descriptor"]), features.descriptors)


def test_export_hloc_is_read_as_hloc_does(features):
    """As hloc/utils/io.py lists names, and hloc/pairs_from_retrieval.py reads descriptors."""
    _export("f.h5", "x.h5")
    with h5py.File("x.h5", "r") as file:
        names = []
        file.visititems(
            lambda _, found: names.append(found.parent.name.strip("/"))
            if isinstance(found, h5py.Dataset) else None
        )  # fmt: skip
        assert sorted(set(names)) == sorted(NAMES)
        vectors = np.stack([file[name]["global_descriptor"].__array__() for name in NAMES])
        np.testing.assert_array_equal(vectors, features.descriptors)
        assert file[NAMES[1]]["image_size"][()].tolist() == features.image_sizes[1].tolist()


ODD = ["name", " a", "b ", "c\nd", "é", "e,f.jpg", "g\th", '"', "..", "\udcff.jpg", "i//j"]


@pytest.mark.parametrize("form", ["npy", "npz", "parquet", "h5"])
def test_features_come_back_as_they_went(here, form):
    names = ODD[:-2] if form == "h5" else ODD
    write_features(here / "f.h5", names, unit_vectors(len(names)), failed=[FAILED])
    _export("f.h5", f"x.{form}")
    words = ("--names", "x.names.txt") if form == "npy" else ()
    assert_done(run("import", f"x.{form}", *words, "-o", "g.h5"), 3)
    with rrtool.open("f.h5") as before, rrtool.open("g.h5") as after:
        order = [before.names.index(name) for name in after.names]
        assert sorted(order) == list(range(len(names)))
        assert form == "h5" or order == sorted(order)
        assert after.descriptors.tobytes() == before.descriptors[order].tobytes()
        np.testing.assert_array_equal(after.status, before.status[order])
        if form == "h5":
            known = before.image_sizes.all(axis=1)[order]
            sizes = np.where(known[:, None], before.image_sizes[order], 0)
            np.testing.assert_array_equal(after.image_sizes, sizes)


def test_export_names_that_hdf5_or_pairs_cannot_hold_are_refused(here):
    write_features(here / "f.h5", ODD, unit_vectors(len(ODD)))
    for name in ODD[-2:]:
        write_features(here / "o.h5", [name], unit_vectors(1))
        assert_fails(run("export", "o.h5", "-o", "x.h5"), 2, "HDF5 cannot hold")
    write_features(here / "g.h5", ["a", "a"], unit_vectors(2))
    assert_fails(run("export", "g.h5", "-o", "x.h5"), 2, "two groups", "found a")
    assert_done(run("search", "f.h5", "f.h5", "-o", "r.h5"))
    assert_fails(run("export", "r.h5", "-o", "x.txt"), 2, "a name with a blank")
    assert not list(here.glob("x*"))


@pytest.fixture
def ranking(here):
    """Of five images for other queries, one of which failed; the first three hits of each."""
    write_features(here / "f.h5", NAMES, unit_vectors())
    write_features(here / "q.h5", ["x.jpg", "y/z.jpg", NAMES[0]], unit_vectors(3, seed=9),
                   failed=[1])  # fmt: skip
    assert_done(run("search", "q.h5", "f.h5", "--top", "3", "-o", "r.h5"))
    return rrtool.open("r.h5")


def _hits(ranking, query):
    return [(hit.name, hit.score, hit.similarity) for hit in ranking.hits(query)]


def test_export_ilias_is_its_json_of_similarities(ranking):
    _export("r.h5", "x.json")
    content = json.loads(Path("x.json").read_text(encoding="utf-8"))
    assert content == {
        query: {name: score for name, score, _ in _hits(ranking, query)}
        for query in ranking.query_names
    }
    assert len(content["x.jpg"]) == 3
    assert content["y/z.jpg"] == {}


def test_export_ranks_are_columns_of_rows(ranking):
    _export("r.h5", "x.npy")
    ranks = np.load("x.npy")
    assert ranks.shape == (3, 3)
    assert ranks.dtype.kind == "i"
    for column, query in enumerate(ranking.query_names):
        hits = [name for name, _, _ in _hits(ranking, query)]
        assert [NAMES[row] for row in ranks[:, column] if row >= 0] == hits
    assert Path("x.names.txt").read_text(encoding="utf-8").splitlines() == NAMES
    lines = Path("x.query-names.txt").read_text(encoding="utf-8").splitlines()
    assert lines == ranking.query_names


def test_export_pairs_are_read_as_hloc_does(here):
    """As parse_retrieval of hloc/utils/parsers.py."""
    names = [name for name in NAMES if " " not in name]
    write_features(here / "f.h5", names, unit_vectors(4))
    assert_done(run("search", "f.h5", "f.h5", "-o", "r.h5"))
    _export("r.h5", "x.txt")
    retrieval = defaultdict(list)
    for line in Path("x.txt").read_text(encoding="utf-8").rstrip("\n").split("\n"):
        query, image = line.split()
        retrieval[query].append(image)
    with rrtool.open("r.h5") as ranking:
        assert retrieval == {
            query: [name for name, _, _ in _hits(ranking, query) if name != query]
            for query in names
        }


@pytest.mark.parametrize("form", ["csv", "tsv", "json", "npy"])
def test_rankings_come_back_as_they_went(ranking, form):
    """Up to what the format holds: docs/formats.md."""
    _export("r.h5", f"x.{form}")
    words = {"npy": ("--format", "ranks", "--query-names", "x.query-names.txt")}.get(form, ())
    Path("all.txt").write_text("".join(f"{name}\n" for name in NAMES), encoding="utf-8")
    assert_done(run("import", f"x.{form}", *words, "--names", "all.txt", "-o", "again.h5"))
    with rrtool.open("again.h5") as again:
        assert again.database_names == ranking.database_names
        full = [query for query in ranking.query_names if form in ("json", "npy")
                or ranking.hits(query)]  # fmt: skip
        assert again.query_names == full
        for query in full:
            hits, before = _hits(again, query), _hits(ranking, query)
            assert [hit[0] for hit in hits] == [hit[0] for hit in before]
            if form != "npy":
                assert hits == before


def _verified(path, queries, names, inliers, scores):
    """A verified ranking by hand: of each query all images in their order, and their inliers."""
    q, n = len(queries), len(names)
    counts = [len(entry) for entry in inliers]
    columns = Ranking.columns(
        query_names=queries, database_names=names, query_boxes=np.zeros((q, 4), np.float32),
        ids=np.tile(np.arange(n, dtype=np.int32), (q, 1)),
        scores=np.float32(scores), similarities=np.float32(scores),
        n_inliers=np.int32(counts).reshape(q, n), n_tentative=np.zeros((q, n), np.int32),
        scale_pairs=np.zeros((q, n, 2), np.int8), transforms=np.zeros((q, n, 2, 3), np.float32),
        inliers=np.int32([pair for entry in inliers for pair in entry]).reshape(-1, 2),
        offsets=offsets_of(counts),
    )  # fmt: skip
    description = {"method": "global + DSM", "network": NETWORK, "pool": "gem"}
    with create(path, Provenance("ranking", {}, [], NETWORK)) as output:
        output.publish(columns, extra={"description": description})


INLIERS = [
    [(0, 7), (2, 5)], [(1, 1)], [],  # a with a itself, b/c, d
    [(4, 0), (4, 3), (1, 2)], [(0, 0)], [(3, 3), (2, 2)],  # b/c with a again, itself, d
]  # fmt: skip


@pytest.fixture
def verified(here):
    _verified(here / "v.h5", ["a", "b/c"], ["a", "b/c", "d"], INLIERS, [[3, 2, 1], [1, 2, 3]])


def test_export_matches_are_read_as_hloc_does(verified):
    """As get_matches of hloc/utils/io.py."""
    result = _export("v.h5", "x.h5")
    assert "3 matches of an image with itself, or of a pair again, are left out" in result.stderr
    found = {}
    with h5py.File("x.h5", "r") as file:
        for pair in (("a", "b/c"), ("b/c", "d")):
            key = "/".join(name.replace("/", "-") for name in pair)
            matches = file[key]["matches0"].__array__()
            scores = file[key]["matching_scores0"].__array__()
            index = np.where(matches != -1)[0]
            found[pair] = np.stack([index, matches[index]], -1).tolist()
            assert (scores[index] == 1).all()
            assert len(scores) == len(matches)
        assert sorted(file) == ["a", "b-c"]
    assert found == {("a", "b/c"): [[1, 1]], ("b/c", "d"): [[2, 2], [3, 3]]}


def test_export_matches_of_a_feature_with_several_keep_the_first(here):
    _verified(here / "v.h5", ["q"], ["d"], [[(1, 5), (1, 9), (0, 2)]], [[1]])
    _export("v.h5", "x.h5")
    with h5py.File("x.h5", "r") as file:
        assert file["q/d/matches0"][()].tolist() == [2, 5]


def test_export_colmap_is_its_text_of_matches(verified):
    _export("v.h5", "x.txt", "--format", "colmap")
    assert Path("x.txt").read_text() == "a b/c\n1 1\n\nb/c d\n3 3\n2 2\n\n"


def test_export_scores_that_do_not_fall_give_way_to_ranks(verified):
    result = _export("v.h5", "x.json")
    assert "the scores do not fall with the rank" in result.stderr
    content = json.loads(Path("x.json").read_text())
    assert content["b/c"] == pytest.approx({"a": 1, "b/c": 1 / 2, "d": 1 / 3})
    _export("v.h5", "x.csv")
    assert_done(run("import", "x.csv", "-o", "r.h5"))
    assert [hit.name for hit in rrtool.open("r.h5").hits("b/c")] == ["a", "b/c", "d"]


def test_export_matches_need_a_verified_ranking(ranking):
    for words in (("x.h5",), ("x.txt", "--format", "colmap")):
        assert_fails(run("export", "r.h5", "-o", *words), 2, "has no matches")


def test_export_local_features_are_keypoints_in_pixels(here):
    """Two scales of a box of 40 × 20 pixels at (10, 5): maps of 4 × 2 and of 2 × 1 cells."""
    provenance = Provenance("local-features", {"role": "database"}, [], NETWORK)
    zeros = np.zeros((1, 2), np.int64)
    with create(here / "d.h5", provenance) as output:
        columns = LocalFeaturesFile.columns(
            names=["a/b.jpg"], reasons=[""], status=np.zeros(1, np.uint8), file_signatures=zeros,
            image_sizes=np.int32([[90, 60]]), boxes=np.float32([[10, 5, 50, 25]]),
            map_sizes=np.int32([[[4, 2], [2, 1]]]),
            means=np.float32([[0, 0], [3, 1], [0.5, 0]]),
            covariances=np.float32([[1, 0, 1]] * 3), strengths=np.float16([3, 2, 1]),
            channels=np.uint16([0, 0, 0]), offsets=np.int64([0, 2, 3]),
        )  # fmt: skip
        output.publish(columns, extra={"n_scales": 2, "level_scale": 1.0, "delta": 1})
    _export("d.h5", "x.h5")
    with h5py.File("x.h5", "r") as file:
        # Cells of 10 pixels, then of 20: the centre of the first is 5 from the corner, less half
        # a pixel, for the centres of pixels lie at integers.
        keypoints = file["a/b.jpg/keypoints"][()].tolist()
        assert keypoints == [[14.5, 9.5], [44.5, 19.5], [29.5, 14.5]]
        assert file["a/b.jpg/scores"][()].tolist() == [3, 2, 1]
        assert file["a/b.jpg/image_size"][()].tolist() == [90, 60]


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.parquet", "x.h5"])
def test_export_again_changes_nothing_and_replaces_nothing_else(features, here, name):
    _export("f.h5", name)
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in here.iterdir()}
    assert f"{name} is up to date" in _export("f.h5", name).stderr
    assert {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in here.iterdir()} == before
    (here / name).write_bytes(b"somebody's own")
    assert_fails(run("export", "f.h5", "-o", name), 2, "exists and has another content")
    assert (here / name).read_bytes() == b"somebody's own"
    _export("f.h5", name, "--overwrite")
    assert (here / name).read_bytes() == before[here / name][0]


def test_export_lists_beside_are_not_replaced_either(features, here):
    (here / "x.names.txt").write_text("mine")
    line = assert_fails(run("export", "f.h5", "-o", "x.npy"), 2, "x.names.txt: the output exists")
    assert "--overwrite" in line
    assert not (here / "x.npy").exists()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("f.h5", "-o", "x.csv"), 2, "the suffix does not tell the format"),
        (("f.h5", "-o", "x.npy", "--format", "colmap"), 2, "features cannot be written so"),
        (("r.h5", "-o", "x.npz"), 2, "the suffix does not tell the format"),
        (("g.h5", "-o", "x.npy"), 4, "an artifact of another kind"),
        (("f.h5", "-o", "f.h5"), 2, "the output is one of the inputs"),
        (("f.h5", "-o", "no/x.npy"), 2, "there is no such folder"),
    ],
)
def test_export_refuses(features, here, words, code, text):
    rrtool.search("f.h5", "f.h5", "r.h5")
    rrtool.build_graph("f.h5", "g.h5", k=1)
    before = sorted(here.iterdir())
    assert_fails(run("export", *words), code, text)
    assert sorted(here.iterdir()) == before
