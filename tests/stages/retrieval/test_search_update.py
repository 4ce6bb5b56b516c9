"""search --update: what a search from nothing gives, up to ties, whatever has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Ranking, open_artifact
from rrtool.core.retrieval.ranking import Nearest
from rrtool.errors import ArtifactError, OptionError
from rrtool.stages.retrieval import options
from tests.core.diffusion.test_graph import unit_vectors
from tests.stages.changing_rows import ChangingRows
from tests.stages.made_features import write_features, write_regions
from tests.tiny import Told, leftovers

TOLERANCE = 2e-6


def names_of(n: int) -> list[str]:
    return [f"{i}.png" for i in range(n)]


def require_right(ranking: Ranking, scores: np.ndarray, top: int | None) -> None:
    """Every list is of the best scores ``(q, n)``; which of equals are in it is left open."""
    length = min(top or scores.shape[1], scores.shape[1])
    assert ranking.ids.shape == (len(scores), length)
    for row, (ids, values) in enumerate(zip(ranking.ids, ranking.similarities, strict=True)):
        best = np.sort(scores[row])[::-1][:length]
        assert len({*ids.tolist()}) == length
        np.testing.assert_allclose(values, best, atol=TOLERANCE)
        np.testing.assert_allclose(scores[row, ids], values, atol=TOLERANCE)


def _update(folder: Path, **options: object) -> str:
    told, files = Told(), [folder / name for name in ("q.h5", "d.h5", "r.h5")]
    rrtool.search(*files, **{"update": True, "progress": told, **options})
    return "\n".join(told.lines)


@pytest.mark.parametrize(("seed", "top"), [(0, None), (1, 4), (2, 9), (3, None), (0, 4), (1, 9)])
def test_updated_ranking_is_that_of_a_search_from_nothing(
    tmp_path: Path, seed: int, top: int | None
) -> None:
    generator = np.random.default_rng(seed)
    rows = [ChangingRows(generator, least=n // 2, n=n) for n in (6, 14)]
    for _ in range(4):
        queries, database = (
            each.write(tmp_path / name) for each, name in zip(rows, ("q.h5", "d.h5"), strict=True)
        )
        _update(tmp_path, top=top)
        with open_artifact(tmp_path / "r.h5", Ranking) as ranking:
            require_right(ranking, queries.astype(np.float64) @ database.T.astype(np.float64), top)
            assert ranking.query_names == [name for name, _ in rows[0].rows]
            assert ranking.database_names == [name for name, _ in rows[1].rows]
        for each in rows:
            for _ in range(int(generator.integers(0, 4))):
                each.change()
    assert leftovers(tmp_path) == []


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """How many queries were compared with how many images, block by block."""
    counts, original = [], Nearest.add

    def counted(nearest: Nearest, vectors: np.ndarray, usable: np.ndarray) -> None:
        counts.append((len(nearest._queries), len(vectors)))
        original(nearest, vectors, usable)

    monkeypatch.setattr(Nearest, "add", counted)
    return counts


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """Ten queries, one of them failed, their ranking of forty images, and the vectors of both."""
    write_features(tmp_path / "q.h5", names_of(10), unit_vectors(10, 8, seed=1), failed=(3,))
    write_features(tmp_path / "d.h5", names_of(40), unit_vectors(40, 8))
    _update(tmp_path, top=5)
    return tmp_path


def test_kept_queries_are_compared_with_what_is_new_alone(
    here: Path, compared: list[tuple[int, int]]
) -> None:
    database = np.concatenate([unit_vectors(40, 8)[::-1], unit_vectors(2, 8, seed=4)])
    write_features(here / "d.h5", names_of(42), database)
    told = _update(here, top=5)
    assert "9 of 9 queries are as they were, 2 images of the database are new" in told
    assert compared == [(9, 2)]
    queries = unit_vectors(11, 8, seed=1)
    queries[3] = unit_vectors(1, 8, seed=9)  # it failed before
    write_features(here / "q.h5", names_of(11), queries)
    compared.clear()
    assert "9 of 11 queries are as they were, 0 images" in _update(here, top=5)
    assert compared == [(2, 42)]
    with open_artifact(here / "r.h5", Ranking) as ranking:
        require_right(ranking, queries.astype(np.float64) @ database.T, 5)
    assert "is up to date" in _update(here, top=5)


def test_queries_that_lost_a_hit_are_searched_anew(
    here: Path, compared: list[tuple[int, int]]
) -> None:
    with open_artifact(here / "r.h5", Ranking) as ranking:
        gone = int(ranking.ids[0, 0])
        n_lost = int((ranking.ids == gone).any(axis=1).sum())
    database = np.delete(unit_vectors(40, 8), gone, axis=0)
    write_features(here / "d.h5", names_of(39), database)
    assert f"{n_lost} of these queries have lost a hit" in _update(here, top=5)
    assert compared == [(n_lost, 39)]
    good = np.delete(np.arange(10), 3)
    with open_artifact(here / "r.h5", Ranking) as ranking:
        assert (ranking.ids[3] == -1).all()
        scores = unit_vectors(10, 8, seed=1).astype(np.float64) @ database.T
        best = -np.sort(-scores[good])[:, :5]
        np.testing.assert_allclose(ranking.similarities[good], best, atol=TOLERANCE)


def test_whole_rankings_lose_nothing(here: Path, compared: list[tuple[int, int]]) -> None:
    (here / "r.h5").unlink()
    _update(here)
    compared.clear()
    write_features(here / "d.h5", names_of(30), unit_vectors(40, 8)[10:])
    told = _update(here)
    assert compared == []
    assert "lost" not in told
    with open_artifact(here / "r.h5", Ranking) as ranking:
        assert ranking.ids.shape == (10, 30)
        assert sorted(ranking.ids[0]) == list(range(30))


def test_number_of_entries_that_follows_the_database_may_change(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "r.h5").unlink()
    monkeypatch.setattr(options, "WHOLE_UP_TO", 40)
    monkeypatch.setattr(options, "DEFAULT_TOP", 6)
    for n, length in ((40, 40), (43, 6), (38, 38)):
        vectors = unit_vectors(50, 8)[:n]
        write_features(here / "d.h5", names_of(n), vectors)
        told = _update(here)
        with open_artifact(here / "r.h5", Ranking) as ranking:
            assert ranking.ids.shape == (10, length)
            best = np.sort(unit_vectors(10, 8, seed=1)[0] @ vectors.T)[::-1][:length]
            np.testing.assert_allclose(ranking.similarities[0], best, atol=TOLERANCE)
    assert "9 of these queries have lost a hit" in told  # of whole lists only six were left


def test_averaged_queries_are_kept_where_the_database_is_the_same(here: Path) -> None:
    queries = np.concatenate([unit_vectors(10, 8, seed=1), unit_vectors(1, 8, seed=9)])
    for more in ({"expand": 2}, {"augment": 2}):
        arguments = {"top": 5, "overwrite": True, "update": False, **more}
        write_features(here / "q.h5", names_of(10), queries[:10])
        (here / "r.h5").unlink()
        _update(here, **arguments | {"overwrite": False, "update": True})
        write_features(here / "q.h5", [*names_of(9), "other.png", "new.png"], queries)
        told = _update(here, top=5, **more)
        assert "9 of 11 queries are as they were" in told  # one has another name
        with open_artifact(here / "r.h5", Ranking) as ranking:
            found = ranking.similarities
        rrtool.search(here / "q.h5", here / "d.h5", here / "fresh.h5", **arguments)
        with open_artifact(here / "fresh.h5", Ranking) as fresh:
            np.testing.assert_allclose(found, fresh.similarities, atol=TOLERANCE)
        write_features(here / "d.h5", names_of(39), unit_vectors(40, 8)[1:])
        assert "0 of 11 queries are as they were" in _update(here, top=5, **more)
        write_features(here / "d.h5", names_of(40), unit_vectors(40, 8))


def test_update_of_regions_compares_new_images_alone(tmp_path: Path) -> None:
    queries, database = unit_vectors(9, 6), unit_vectors(30, 6, seed=2)
    write_regions(tmp_path / "q.h5", queries, [3, 3, 3])
    write_regions(tmp_path / "d.h5", database, [3] * 10)
    _update(tmp_path, top=4)
    changed = np.concatenate([database[6:], unit_vectors(6, 6, seed=5)])
    write_regions(tmp_path / "d.h5", changed, [3] * 8 + [2, 4])
    told = _update(tmp_path, top=4)
    assert "3 of 3 queries are as they were, 2 images of the database are new" in told
    similarities = queries.astype(np.float64) @ changed.T
    bounds = np.cumsum([3] * 8 + [2, 4])[:-1]
    scores = np.stack(
        [
            [own.max(axis=1).mean() for own in np.split(rows, bounds, axis=1)]
            for rows in np.split(similarities, 3)
        ]
    )
    with open_artifact(tmp_path / "r.h5", Ranking) as ranking:
        require_right(ranking, scores, 4)


def test_ranking_without_digests_is_made_anew(here: Path, compared: list[tuple[int, int]]) -> None:
    rrtool.search(here / "q.h5", here / "d.h5", here / "r.h5", top=6, overwrite=True)
    write_features(here / "d.h5", names_of(39), unit_vectors(40, 8)[1:])
    compared.clear()
    assert "nothing is kept, since it was made without --update" in _update(here, top=6)
    assert compared == [(9, 39)]
    write_features(here / "d.h5", names_of(38), unit_vectors(40, 8)[2:])
    assert "9 of 9 queries are as they were" in _update(here, top=6)


def test_update_of_another_ranking_is_refused(here: Path) -> None:
    write_features(here / "d.h5", names_of(39), unit_vectors(40, 8)[1:])
    for more, named in (
        ({"top": 6}, "--top"),
        ({}, "--top"),
        ({"top": 5, "expand": 1}, "--expand"),
    ):
        with pytest.raises(ArtifactError, match=f"another {named} "):
            _update(here, **more)
    with pytest.raises(ArtifactError, match=r"other database.*use --update to keep"):
        _update(here, top=5, update=False)
    with pytest.raises(OptionError, match="--update"):
        _update(here, top=5, overwrite=True)
    for name in ("q.h5", "d.h5"):
        write_features(here / name, names_of(10), unit_vectors(10, 8), network={"name": "vgg16"})
    with pytest.raises(ArtifactError, match="another --network"):
        _update(here, top=5)
