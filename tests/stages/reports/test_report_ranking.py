"""What the page of a ranking says, on rankings made by hand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from rrtool.artifacts import Ranking, open_artifact
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Silent
from rrtool.stages.reports.match_rule import MIN_INLIERS
from rrtool.stages.reports.ranking_head import read_head
from rrtool.stages.reports.report_ranking import PageInputs, write_page
from tests.stages.damaging import damaged
from tests.stages.reports.made_ranking import (
    DIFFUSED,
    FUSED,
    INLIERS,
    SIZE,
    write_local,
    write_photos,
    write_ranking,
)
from tests.tiny import assert_done, rrtool

NAMES = [f"{number}.png" for number in range(6)]
QUERIES = ["q.png"]
MANY = [(number, number) for number in range(9)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos of a collection, one query, and the local features of both."""
    folder = tmp_path_factory.mktemp("ranking")
    write_photos(folder / "photos", NAMES)
    write_photos(folder / "queries", QUERIES, first=10)
    write_local(folder / "d.h5", NAMES)
    write_local(folder / "q.h5", QUERIES)
    return folder


def page_of(made: Path, ranking: Path, **changed: Any) -> str:
    output = ranking.with_suffix(".html")
    inputs: dict[str, Any] = {
        "ranking": str(ranking), "images": str(made / "photos"),
        "query_images": str(made / "queries"), "min_inliers": 5,
    }  # fmt: skip
    write_page(PageInputs(**inputs | changed), output, Silent())
    return output.read_text(encoding="utf-8")


def local_of(made: Path) -> dict[str, str]:
    return {"query_local": str(made / "q.h5"), "database_local": str(made / "d.h5")}


def hits_of(page: str) -> list[str]:
    """What stands under each hit, as a reader sees it."""
    found = re.findall(r'<span class="text">(.*?)</bdi>', page, re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", text).split()) for text in found]


def test_page_of_a_search_shows_similarities_and_no_match(made: Path, tmp_path: Path) -> None:
    path = write_ranking(tmp_path / "r.h5", (QUERIES, NAMES), [[2, 0, 1, -1]])
    page = page_of(made, path)
    assert hits_of(page) == [
        "similarity 0.900 2.png", "similarity 0.800 0.png", "similarity 0.700 1.png"
    ]  # fmt: skip
    assert "These hits were not verified." in page
    assert "match:" not in page
    assert "inlier" not in page
    assert page.count("This pair was not verified.") == 3


def test_page_draws_where_a_hit_matches(made: Path, tmp_path: Path) -> None:
    path = write_ranking(
        tmp_path / "r.h5", (QUERIES, NAMES), [[2, 0, 1]],
        hit_boxes=[[(20, 10, 60, 50), (0, 0, *SIZE)]],
    )  # fmt: skip
    page = page_of(made, path)
    found = re.findall(
        r'<rect class="box" x="(.*?)" y="(.*?)" width="(.*?)" height="(.*?)"/>', page
    )
    assert [tuple(map(float, box)) for box in found] == [(20, 10, 40, 40)] * 2  # small and opened
    assert page.count("The box on the hit") == 1


def test_page_of_a_fused_ranking_says_what_the_score_is_made_of(made: Path, tmp_path: Path) -> None:
    path = write_ranking(
        tmp_path / "r.h5", (QUERIES, NAMES), [[2, 0, 1, 3]], description=FUSED,
        scores=[[2.25, 1.5, -0.25, 0.1]], similarities=[[0.3, 0.5, 0.4, 0.1]],
        inliers=[[MANY, MANY[:1], []]],
    )  # fmt: skip
    page = page_of(made, path, **local_of(made))
    assert hits_of(page) == [
        "fused score 2.25 similarity 0.300 (no. 3) 9 inliers 2.png",
        "fused score 1.50 similarity 0.500 (no. 1) 1 inlier 0.png",
        "fused score -0.25 similarity 0.400 (no. 2) 0 inliers 1.png",
        "not verified similarity 0.100 (no. 4) 3.png",
    ]
    assert "1 match: 5 or more inliers." in page
    assert page.count('<g class="all-joined">') == 2
    assert "9 inliers, all drawn" in page
    assert page.count("Fewer than 5 also agree by chance.") == 1
    assert page.count("No two matches agree.") == 1
    assert page.count("This pair was not verified.") == 1


def test_page_of_inliers_names_them_once(made: Path, tmp_path: Path) -> None:
    path = write_ranking(
        tmp_path / "r.h5", (QUERIES, NAMES), [[0, 1]], description=INLIERS,
        scores=[[2, 0.5]], similarities=[[0.1, 0.5]], inliers=[[MANY[:2]]],
    )  # fmt: skip
    page = page_of(made, path)
    assert hits_of(page) == [
        "inliers 2 similarity 0.100 (no. 2) 0.png", "not verified similarity 0.500 (no. 1) 1.png"
    ]  # fmt: skip
    assert "No match: no hit has 5 inliers." in page
    assert "2 inliers, not drawn." in page
    assert "1 match: 2 or more inliers." in page_of(made, path, min_inliers=2)


def test_page_of_a_diffusion_takes_its_matches_from_another_ranking(
    made: Path, tmp_path: Path
) -> None:
    verified = write_ranking(
        tmp_path / "v.h5", (QUERIES, NAMES), [[0, 1, 2]], description=FUSED,
        inliers=[[MANY, MANY[:3]]],
    )  # fmt: skip
    path = write_ranking(
        tmp_path / "r.h5", (QUERIES, NAMES), [[1, 0, 2]], description=DIFFUSED,
        scores=[[3e-5, 1e-5, 0.0]], similarities=[[0.8, 0.9, 0.7]],
    )  # fmt: skip
    page = page_of(made, path, verified=str(verified), **local_of(made))
    assert hits_of(page) == [
        "diffused score 3e-05 similarity 0.800 (no. 2) 3 inliers 1.png",
        "diffused score 1e-05 similarity 0.900 (no. 1) 9 inliers 0.png",
        "not reached similarity 0.700 (no. 3) 2.png",
    ]
    assert re.findall(r"(\d) inliers?, all drawn", page) == ["3", "9"]
    others = write_ranking(tmp_path / "o.h5", (["x.png"], NAMES), [[0]], inliers=[[MANY]])
    with pytest.raises(ArtifactError, match="about other images"):
        page_of(made, path, verified=str(others))


def test_the_query_is_never_its_own_hit(made: Path, tmp_path: Path) -> None:
    leave_one_out = write_ranking(tmp_path / "l.h5", (NAMES[:2], NAMES), [[0, 1, 2], [2, 1, 0]])
    page = page_of(made, leave_one_out, query_images=None)
    assert [text[-5:] for text in hits_of(page)] == ["1.png", "2.png", "2.png", "0.png"]
    assert re.findall(r'<span class="rank">(\d)</span>', page) == ["1", "2", "1", "2"]
    assert page.count("Its own photo is in the collection, and is no hit:") == 2
    # By name alone a photo of another folder is another photo; one of the same bytes is not.
    write_photos(tmp_path / "queries", ["0.png"], first=12)
    path = write_ranking(tmp_path / "r.h5", (["0.png"], NAMES), [[0, 1, 2]])
    page = page_of(made, path, query_images=str(tmp_path / "queries"))
    assert [text[-5:] for text in hits_of(page)] == ["0.png", "1.png", "2.png"]
    shutil.copy(made / "photos" / "1.png", tmp_path / "queries" / "0.png")
    page = page_of(made, path, query_images=str(tmp_path / "queries"))
    assert [text[-5:] for text in hits_of(page)] == ["0.png", "2.png"]
    assert 'and is no hit: <bdi dir="ltr">1.png</bdi>' in page


def test_read_head_counts_ranks_without_the_query(tmp_path: Path) -> None:
    path = write_ranking(
        tmp_path / "r.h5", (QUERIES, NAMES), [[4, 2, 0, 1, 3, -1]], description=FUSED,
        scores=[[9, 8, 7, 6, 5, 4]], similarities=[[1.0, 0.2, 0.5, 0.5, 0.5, -1]],
        inliers=[[[], [], [], []]],
    )  # fmt: skip
    with open_artifact(path, Ranking) as ranking:
        entries, own = read_head(ranking, 0, 3, lambda row: row == 4)
        assert own == [4]
        assert [entry.row for entry in entries] == [2, 0, 1]
        assert [entry.rank for entry in entries] == [1, 2, 3]
        # Ties by row; the query's own photo, of similarity 1, has no place among them.
        assert [entry.rank_by_similarity for entry in entries] == [4, 1, 2]
        assert [entry.score for entry in entries] == [8, 7, 6]
        assert read_head(ranking, 0, 9, lambda row: False)[0][-1].score is None
        assert read_head(ranking, 0, 0, lambda row: False) == ([], [])


def test_each_picture_is_in_the_page_once(made: Path, tmp_path: Path) -> None:
    names = ([*NAMES, *NAMES], NAMES)
    path = write_ranking(tmp_path / "r.h5", names, [[0, 1, 2, 3, 4, 5]] * 12)
    page = page_of(made, path, query_images=None)
    assert page.count("data:image/") == 6
    assert page.count('class="rank"') == 12 * 5
    assert len(page_of(made, path, query_images=None, n_hits=1)) < len(page) / 2
    assert page_of(made, path, query_images=None, max_queries=2).count("<h2>") == 2


def test_paths_by_name_serve_as_well_as_a_folder(made: Path, tmp_path: Path) -> None:
    path = write_ranking(tmp_path / "r.h5", (QUERIES, NAMES), [[0, 1]])
    by_name = {name: str(made / "photos" / name) for name in NAMES}
    of_query = {"q.png": str(made / "queries" / "q.png")}
    assert page_of(made, path, images=by_name, query_images=of_query) == page_of(made, path)
    with pytest.raises(UsageError, match="none of the artifact's images is among these"):
        page_of(made, path, images={"x.png": "x.png"})


def test_a_box_is_drawn_only_where_it_is_a_part(made: Path, tmp_path: Path) -> None:
    path = write_ranking(tmp_path / "r.h5", (QUERIES, NAMES), [[0]], boxes=[(20, 10, 120, 90)])
    page = page_of(made, path)
    expected = '<rect class="box" x="20.0" y="10.0" width="100.0" height="80.0"/>'
    assert page.count(expected) == 2  # beside the hits, and where the hit is opened
    assert "what is in the box" in page
    for box in ((0, 0, 200, 100), (-5, -5, 999, 999), (float("nan"),) * 4, (90, 90, 20, 20)):
        path = write_ranking(tmp_path / "n.h5", (QUERIES, NAMES), [[0]], boxes=[box])
        assert 'class="box"' not in page_of(made, path)


def test_matches_of_other_local_features_are_an_error(made: Path, tmp_path: Path) -> None:
    for pairs in ([(50, 0)], [(0, 50)], [(-1, 0)], [(0, -1)]):
        path = write_ranking(tmp_path / "r.h5", (QUERIES, NAMES), [[0]], inliers=[[pairs]])
        with pytest.raises(ArtifactError, match="the matches are not of these local features"):
            page_of(made, path, **local_of(made))
    path = write_ranking(tmp_path / "r.h5", (QUERIES, NAMES), [[0]], inliers=[[MANY]])
    wrong = damaged(made / "d.h5", tmp_path / "d.h5", {"map_sizes": 0 * _map_sizes(made)})
    with pytest.raises(ArtifactError, match="the matches are not of these local features"):
        page_of(made, path, query_local=str(made / "q.h5"), database_local=str(wrong))
    path = write_ranking(tmp_path / "r.h5", (QUERIES, NAMES), [[0]], inliers=[[MANY, MANY]])
    with pytest.raises(ArtifactError, match="it verifies more entries than it has"):
        page_of(made, path, **local_of(made))


def _map_sizes(made: Path):
    from rrtool.artifacts import LocalFeaturesFile

    with open_artifact(made / "d.h5", LocalFeaturesFile) as local:
        return local.map_sizes


def test_a_photo_that_is_gone_leaves_a_place(made: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(made / "photos", photos)
    (photos / "1.png").write_bytes(b"no picture")
    path = write_ranking(
        tmp_path / "r.h5", (QUERIES, NAMES), [[0, 1]], description=FUSED, inliers=[[MANY, MANY]]
    )
    page = page_of(made, path, images=str(photos), **local_of(made))
    assert page.count(">no picture<") == 2  # among the hits, and where it is opened
    assert page.count('<g class="all-joined">') == 1


def test_an_empty_ranking_says_so(made: Path, tmp_path: Path) -> None:
    path = write_ranking(tmp_path / "r.h5", (QUERIES, NAMES), [[-1, -1]])
    assert "Nothing was found." in page_of(made, path)
    path = write_ranking(tmp_path / "e.h5", (QUERIES, NAMES), [[]], inliers=[[]])
    assert "Nothing was found." in page_of(made, path)


def test_report_makes_the_same_page(made: Path, tmp_path: Path) -> None:
    path = write_ranking(
        tmp_path / "r.h5", (QUERIES, NAMES), [[0, 1, 2]], description=FUSED, inliers=[[MANY]]
    )
    expected = page_of(made, path, min_inliers=MIN_INLIERS, **local_of(made))
    options = ("--query-local", made / "q.h5", "--database-local", made / "d.h5")
    assert_done(
        rrtool("report", path, "-o", tmp_path / "p.html", "--images", made / "photos",
               "--query-images", made / "queries", *options)
    )  # fmt: skip
    assert (tmp_path / "p.html").read_text(encoding="utf-8") == expected
