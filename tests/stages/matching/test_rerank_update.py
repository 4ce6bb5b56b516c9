"""rerank --update: what a run from nothing gives, to the last bit, whatever has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import OutputFile, Provenance, Ranking, create, open_any, open_artifact
from rrtool.artifacts.kinds import LocalFeaturesFile
from rrtool.artifacts.ragged import offsets_of
from rrtool.errors import ArtifactError, OptionError
from rrtool.stages.amount import parts_of
from rrtool.stages.matching import rerank
from tests.stages.damaging import damaged
from tests.stages.made_features import NETWORK, OPTIONS, write_features
from tests.tiny import Told, leftovers

N_SCALES, SHORTLIST = 2, 4
Images = list[tuple[str, int]]


def _features_of(seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Counts of an image at each scale, and its features' columns."""
    generator = np.random.default_rng(seed)
    counts = generator.integers(3, 9, N_SCALES)
    m = int(counts.sum())
    channels = np.concatenate([np.sort(generator.integers(0, 4, n)) for n in counts])
    covariances = np.tile(np.float32([4, 0, 4]), (m, 1))
    columns = [
        generator.uniform(0, 20, (m, 2)).astype(np.float32), covariances,
        generator.uniform(1, 2, m).astype(np.float16), channels.astype(np.uint16),
    ]  # fmt: skip
    return counts, columns


def write_local(path: Path, images: Images, role: str) -> None:
    n = len(images)
    found = [_features_of(seed) for _, seed in images]
    columns = [np.concatenate(each) for each in zip(*(each for _, each in found), strict=True)]
    made = {key: OPTIONS[key] for key in ("max_size", "scales")}
    provenance = Provenance("local-features", {"role": role, **made}, [], NETWORK)
    with create(path, provenance, overwrite=True) as target:
        target.publish(
            LocalFeaturesFile.columns(
                names=[name for name, _ in images], reasons=[""] * n,
                status=np.zeros(n, np.uint8), image_sizes=np.full((n, 2), 20, np.int32),
                boxes=np.tile(np.float32([0, 0, 20, 20]), (n, 1)),
                file_signatures=np.zeros((n, 2), np.int64),
                map_sizes=np.full((n, N_SCALES, 2), 20, np.int32),
                means=columns[0], covariances=columns[1], strengths=columns[2],
                channels=columns[3], offsets=offsets_of(np.concatenate([c for c, _ in found])),
            ),
            extra={"n_scales": N_SCALES, "level_scale": 1.0, "delta": 1},
        )  # fmt: skip


def write_all(
    folder: Path, queries: list[tuple[str, int]], database: list[tuple[str, int]]
) -> None:
    """Features, local features, and a ranking; an image is a name and a seed of all it shows."""
    for letter, images, role in (("q", queries, "query"), ("d", database, "database")):
        vectors = [np.random.default_rng(seed).normal(size=6) for _, seed in images]
        vectors = np.stack([each / np.linalg.norm(each) for each in vectors])
        write_features(folder / f"{letter}.h5", [name for name, _ in images], vectors)
        write_local(folder / f"{letter}l.h5", images, role)
    rrtool.search(folder / "q.h5", folder / "d.h5", folder / "r.h5", top=8, update=True)


def _rerank(folder: Path, output: str = "v.h5", **options: object) -> str:
    told = Told()
    arguments = {"shortlist": SHORTLIST, "device": "cpu", "update": True, **options}
    rrtool.rerank(
        folder / "r.h5", folder / output, query_local=folder / "ql.h5",
        database_local=folder / "dl.h5", progress=told, **arguments,
    )  # fmt: skip
    return "\n".join(told.lines)


def require_fresh(folder: Path, **options: object) -> None:
    """What was updated has what a run from nothing has, to the last bit."""
    _rerank(folder, "fresh.h5", overwrite=True, update=False, **options)
    with open_any(folder / "v.h5") as one, open_any(folder / "fresh.h5") as other:
        names = {*one.dataset_names()} - {"shortlist_places", "verification_digests"}
        assert names == {*other.dataset_names()}
        for name in names:
            np.testing.assert_array_equal(one.read_named(name), other.read_named(name), name)
        assert one.extra == other.extra


def _changed(images: Images, generator: np.random.Generator) -> Images:
    """Some images gone, new, changed, copied, renamed, or in another order."""
    new = int(generator.integers(1000, 10**6))
    place = int(generator.integers(len(images)))
    name, seed = images[place]
    kind = generator.choice(["gone", "new", "change", "copy", "rename", "order", "none"])
    rest = images[:place] + images[place + 1 :]
    return {
        "gone": rest if len(rest) > 2 else images,
        "new": [(f"{new}.png", new), *images],
        "change": [*rest, (name, new)],
        "copy": [*images, (f"copy-{new}.png", seed)],
        "rename": [*rest, (f"{new}.png", seed)],
        "order": images[::-1],
        "none": images,
    }[str(kind)]


@pytest.mark.parametrize(
    ("seed", "score"), [(0, "fused"), (1, "inliers"), (2, "fused"), (0, "inliers")]
)
def test_updated_verification_is_that_of_a_run_from_nothing(
    tmp_path: Path, seed: int, score: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts_of, "__defaults__", (3,))
    generator = np.random.default_rng(seed)
    queries = [(f"{i}.png", i) for i in range(5)]
    database = [(f"{i}.png", i) for i in range(2 if seed else 9, 12)]
    for _ in range(4):
        write_all(tmp_path, queries, database)
        _rerank(tmp_path, score=score)
        require_fresh(tmp_path, score=score)
        queries, database = _changed(queries, generator), _changed(database, generator)
    assert leftovers(tmp_path) == []


@pytest.fixture
def matched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many candidates each query was matched with."""
    counts, original = [], rerank.match

    def counted(queries: object, query: int, database: object, rows: np.ndarray, more: object):
        counts.append(len(rows))
        return original(queries, query, database, rows, more)

    monkeypatch.setattr(rerank, "match", counted)
    return counts


QUERIES = [(f"{i}.png", i) for i in range(5)]
DATABASE = [(f"{i}.png", i) for i in range(3, 15)]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    write_all(tmp_path, QUERIES, DATABASE)
    _rerank(tmp_path)
    return tmp_path


def _shortlists(folder: Path) -> dict[str, list[str]]:
    with open_artifact(folder / "r.h5", Ranking) as ranking:
        return {
            query: [hit.name for hit in ranking.hits(query)[:SHORTLIST]]
            for query in ranking.query_names
        }


def test_queries_whose_shortlist_changed_are_verified_anew(here: Path, matched: list[int]) -> None:
    shortlists = _shortlists(here)
    image = shortlists["0.png"][-1]
    changed = [query for query, shortlist in shortlists.items() if image in shortlist]
    assert 0 < len(changed) < len(QUERIES)
    # Its local features alone: another descriptor would change the shortlists.
    images = [(name, 99 if name == image else seed) for name, seed in DATABASE]
    write_local(here / "dl.h5", images, "database")
    told = _rerank(here)
    n_kept = len(QUERIES) - len(changed)
    assert f"{n_kept} queries are kept, {len(changed)} were verified anew" in told
    assert matched == [SHORTLIST] * len(changed)
    require_fresh(here)
    assert "is up to date" in _rerank(here)


def test_queries_whose_own_features_changed_are_verified_anew(
    here: Path, matched: list[int]
) -> None:
    images = [(name, 99 if name == "2.png" else seed) for name, seed in QUERIES]
    write_local(here / "ql.h5", images, "query")
    assert "4 queries are kept, 1 were verified anew" in _rerank(here)
    assert matched == [SHORTLIST]
    require_fresh(here)


def test_names_and_order_that_changed_need_no_verification(here: Path, matched: list[int]) -> None:
    # Names that queries and database share say what is a copy.
    renamed = [(f"new-{name}" if seed > 4 else name, seed) for name, seed in DATABASE]
    write_all(here, QUERIES[::-1], renamed[::-1])
    assert "5 queries are kept, 0 were verified anew" in _rerank(here)
    assert matched == []
    require_fresh(here)


def test_name_that_says_what_is_a_copy_counts(here: Path, matched: list[int]) -> None:
    image = _shortlists(here)["0.png"][-1]
    renamed = [("0.png" if name == image else name, seed) for name, seed in DATABASE]
    write_all(here, QUERIES, renamed)
    assert "4 queries are kept, 1 were verified anew" in _rerank(here)
    assert matched == [SHORTLIST]
    require_fresh(here)


def test_ranking_that_was_made_without_update_is_made_anew(here: Path, matched: list[int]) -> None:
    _rerank(here, update=False, overwrite=True, shortlist=3)
    write_all(here, QUERIES[1:], DATABASE)
    matched.clear()
    told = _rerank(here, shortlist=3)
    assert "nothing is kept, since it was made without --update" in told
    assert len(matched) == 4
    require_fresh(here, shortlist=3)


def test_update_of_another_verification_is_refused(here: Path) -> None:
    write_all(here, QUERIES[1:], DATABASE)
    for options, named in (
        ({"shortlist": 3}, "--shortlist"), ({"score": "inliers"}, "--score"),
        ({"inlier_threshold": 3.0}, "--inlier-threshold"),
    ):  # fmt: skip
        with pytest.raises(ArtifactError, match=f"another {named} "):
            _rerank(here, **options)
    with pytest.raises(ArtifactError, match=r"made from other .*use --update to keep"):
        _rerank(here, update=False)
    with pytest.raises(OptionError, match="--update"):
        _rerank(here, overwrite=True)


def test_damaged_order_of_a_shortlist_is_refused(here: Path) -> None:
    places = np.zeros((len(QUERIES), SHORTLIST), np.int32)
    damaged(here / "v.h5", here / "bad.h5", {"shortlist_places": places})
    (here / "bad.h5").replace(here / "v.h5")
    write_all(here, QUERIES[1:], DATABASE)
    with pytest.raises(ArtifactError, match="damaged ranking: shortlist_places"):
        _rerank(here)


def test_parts_of_a_run_without_update_are_none_of_one_with_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, matched: list[int]
) -> None:
    monkeypatch.setattr(parts_of, "__defaults__", (2,))
    (here / "v.h5").unlink()

    def interrupted(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(OutputFile, "publish", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _rerank(here, update=False)
    matched.clear()
    _rerank(here)
    assert len(matched) == len(QUERIES)
    require_fresh(here)
    assert leftovers(here) == []
