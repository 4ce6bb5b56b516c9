"""search with query expansion and database augmentation, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Ranking, open_any
from rrtool.core.retrieval.query_expansion import augment_database, expand_queries
from rrtool.core.retrieval.whitening import l2_normalize
from rrtool.progress import Silent
from rrtool.stages.retrieval import descriptors as descriptors_stage
from rrtool.stages.retrieval import options as options_stage
from rrtool.stages.retrieval.descriptors import open_described, read_blocks, read_usable
from tests.stages.made_features import write_features
from tests.tiny import assert_done, assert_fails, rrtool


def unit_vectors(seed: int, n: int, d: int = 4) -> np.ndarray:
    return l2_normalize(np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))


@pytest.fixture
def collection(tmp_path: Path) -> tuple[Path, Path]:
    """Three queries, the last two failed or unknown, and a database that holds the first."""
    queries, database = unit_vectors(1, 3), unit_vectors(2, 12)
    database[5] = queries[0]
    names = [f"{i}.jpg" for i in range(12)]
    return (
        write_features(tmp_path / "q.h5", ["5.jpg", "x.jpg", "y.jpg"], queries, failed=[1]),
        write_features(tmp_path / "d.h5", names, database, failed=[2, 9]),
    )


def search(collection: tuple[Path, Path], *options: object, output: str = "r.h5") -> Path:
    path = collection[0].parent / output
    assert_done(rrtool("search", *collection, "-o", path, *options))
    return path


def read(path: Path) -> tuple[np.ndarray, np.ndarray, str]:
    with open_artifact(path, Ranking) as ranking:
        method = ranking.extra["description"]["method"]
        return ranking.ids, ranking.similarities, method


def descriptors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with open_any(path) as features:
        return features.descriptors, features.status == 0


@pytest.mark.parametrize(
    ("options", "expand", "augment", "alpha", "method"),
    [
        ((), 0, 0, 0, "global"),
        (("--expand", 3), 3, 0, 0, "global + AQE 3"),
        (("--expand", 3, "--expand-alpha", 2.5), 3, 0, 2.5, "global + αQE 3 (α 2.5)"),
        (("--augment", 2), 0, 2, 0, "global + DBA 2"),
        (("--augment", 2, "--expand", 99), 99, 2, 0, "global + DBA 2 + AQE 99"),
        (
            ("--augment", 2, "--expand", 1, "--expand-alpha", 3),
            1, 2, 3, "global + DBA 2 (α 3) + αQE 1 (α 3)",
        ),
    ],
)  # fmt: skip
def test_search_ranks_by_the_averaged_descriptors(
    collection: tuple[Path, Path],
    options: tuple[object, ...],
    expand: int,
    augment: int,
    alpha: float,
    method: str,
) -> None:
    queries, good = descriptors(collection[0])
    database, usable = descriptors(collection[1])
    if augment:
        database = augment_database(database, usable, augment, alpha)
    if expand:
        images = (np.array([5, 70, 71]), np.arange(12))
        queries = expand_queries(queries, database, usable, expand, alpha, images)
    ids, similarities, described = read(search(collection, *options))
    assert described == method
    for query in np.flatnonzero(good):
        expected = np.where(usable, database @ queries[query], -np.inf)
        assert sorted(ids[query]) == np.flatnonzero(usable).tolist()
        # By similarity, not by id: images that are each other's neighbours get the same average.
        for ranked in (expected[ids[query]], similarities[query]):
            np.testing.assert_allclose(ranked, np.sort(expected)[:1:-1], rtol=1e-6, atol=1e-6)
    assert (ids[1] == -1).all()


def test_search_by_blocks_equals_a_plain_sort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descriptors_stage, "ROWS_PER_BLOCK", 7)
    # Small integers: products are exact, and ties abound.
    vectors = np.random.default_rng(5).integers(-2, 3, (60, 4)).astype(np.float32)
    vectors[:, 0] = 1
    vectors[[3, 41]], vectors[17] = np.nan, 0
    names = [f"{i}.jpg" for i in range(60)]
    features = write_features(tmp_path / "f.h5", names, vectors, failed=[8, 9])
    shown = rrtool("search", features, features, "-o", tmp_path / "r.h5", "--top", 20)
    assert "2 descriptors are not finite and are left out, e.g. 3.jpg" in shown.stderr
    assert "1 descriptors are zero and similar to nothing, e.g. 17.jpg" in shown.stderr
    with open_described(str(features)) as opened:
        held, usable = read_usable(opened, Silent())
        blocks = [*zip(*read_blocks(opened, Silent()), strict=True)]
    assert np.array_equal(np.concatenate(blocks[0]), held)
    assert np.array_equal(np.concatenate(blocks[1]), usable)
    assert not held[[3, 41]].any()
    good = [i for i in range(60) if i not in (3, 8, 9, 41)]
    assert np.flatnonzero(usable).tolist() == good
    with open_artifact(tmp_path / "r.h5", Ranking) as ranking:
        for query, found in enumerate(ranking.ids.tolist()):
            order = sorted(good, key=lambda i: (-float(vectors[query] @ vectors[i]), i))
            assert found == (order[:20] if query in good else [-1] * 20)


def test_search_keeps_the_first_of_a_large_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options_stage, "WHOLE_UP_TO", 29)
    monkeypatch.setattr(options_stage, "DEFAULT_TOP", 4)
    vectors, names = unit_vectors(6, 30), [f"{i}.jpg" for i in range(30)]
    large = write_features(tmp_path / "l.h5", names, vectors)
    small = write_features(tmp_path / "s.h5", names[:29], vectors[:29])
    for database, top in ((large, 4), (small, None)):
        output = tmp_path / f"{top}.h5"
        shown = rrtool("search", small, database, "-o", output)
        assert ("each ranking keeps the first 4 of 30 images" in shown.stderr) == bool(top)
        with open_artifact(output, Ranking) as ranking:
            assert ranking.options["top"] == ranking.extra["description"]["top"] == top
            assert ranking.ids.shape == (29, top or 29)
            # Stored once, and read by either name.
            assert "scores" not in ranking.dataset_names()
            assert np.array_equal(ranking.scores, ranking.similarities)
            assert [hit.score for hit in ranking.hits(3)] == ranking.similarities[3].tolist()
    # What is recorded is what was used, so asking for that is no change.
    again = ("search", small, large, "-o", tmp_path / "4.h5", "--top")
    assert "up to date" in rrtool(*again, 4).stderr
    assert_fails(rrtool(*again, 5), 4, "another --top (expected 5, found 4)")


def test_search_expansion_passes_over_the_query_itself(tmp_path: Path) -> None:
    database = np.array([[1, 0, 0], [0.8, 0.6, 0], [0, 0, 1]], dtype=np.float32)
    features = write_features(tmp_path / "f.h5", ["a", "b", "c"], database)
    output = search((features, features), "--expand", 1, "--top", 1)
    # Averaged with itself, a would keep a similarity of 1; its neighbour is b.
    _, similarities, _ = read(output)
    mean = np.array([1.8, 0.6, 0]) / np.hypot(1.8, 0.6)
    np.testing.assert_allclose(similarities[0], mean @ [1, 0, 0], rtol=1e-6)


def test_search_options_are_part_of_the_identity(collection: tuple[Path, Path]) -> None:
    path = search(collection, "--expand", 3)
    with open_any(path) as ranking:
        assert ranking.options == {"top": None, "expand": 3, "expand_alpha": 0.0, "augment": 0}
    again = rrtool("search", *collection, "-o", path, "--expand", 3)
    assert "up to date" in again.stderr
    result = rrtool("search", *collection, "-o", path, "--expand", 4)
    assert_fails(result, 4, "another --expand (expected 4, found 3)")
    result = rrtool("search", *collection, "-o", path, "--expand", 3, "--expand-alpha", 1)
    assert_fails(result, 4, "another --expand-alpha")


def test_search_expansion_with_unusable_descriptors(tmp_path: Path) -> None:
    vectors = unit_vectors(3, 6)
    vectors[1], vectors[4] = np.nan, 0
    features = write_features(tmp_path / "f.h5", list("abcdef"), vectors)
    ids, similarities, _ = read(search((features, features), "--expand", 2, "--augment", 2))
    assert np.isfinite(similarities[[0, 2, 3, 4, 5]]).all()
    assert (ids[1] == -1).all()
    assert not (ids == 1).any()
    # A zero descriptor is similar to nothing still, as a query and in the database.
    assert not similarities[4].any()
    assert not similarities[ids == 4].any()


def test_search_expansion_of_a_single_image(tmp_path: Path) -> None:
    features = write_features(tmp_path / "f.h5", ["a"], unit_vectors(4, 1))
    ids, similarities, _ = read(search((features, features), "--expand", 5, "--augment", 5))
    assert ids.tolist() == [[0]]
    assert similarities[0, 0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--expand", -1), "bad --expand"),
        (("--augment", -1), "bad --augment"),
        (("--expand", 2, "--expand-alpha", -1), "bad --expand-alpha"),
        (("--expand", 2, "--expand-alpha", "nan"), "bad --expand-alpha"),
        (("--expand-alpha", 3), "no effect alone"),
        (("--top", 0), "bad --top"),
    ],
)
def test_search_wrong_option_value_exits_2(
    collection: tuple[Path, Path], options: tuple[object, ...], text: str
) -> None:
    output = collection[0].parent / "r.h5"
    assert_fails(rrtool("search", *collection, "-o", output, *options), 2, text)
    assert not output.exists()


def test_evaluate_shows_the_expansion(collection: tuple[Path, Path]) -> None:
    path = search(collection, "--expand", 3, "--expand-alpha", 3)
    (collection[0].parent / "labels.csv").write_text(
        "".join(
            f"{name},{'a' if name in '5xy0' else ''}\n" for name in [*map(str, range(12)), *"xy"]
        )
    )
    truth = ("--ground-truth", collection[0].parent / "labels.csv")
    shown = rrtool("evaluate", path, *truth)
    assert_done(shown)
    assert "αQE 3 (α 3)" in shown.stdout
    scores = json.loads(rrtool("evaluate", path, *truth, "--json").stdout)
    assert scores[0]["description"]["method"] == "global + αQE 3 (α 3)"
