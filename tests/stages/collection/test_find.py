"""What a photo shows is found in an index, and said where nothing is."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

import rrtool
from rrtool.artifacts import Artifact, Ranking
from rrtool.errors import ArtifactError, UsageError
from rrtool.scenes.scenes import Look, make_scenes
from rrtool.stages.reports.match_rule import MatchRule
from tests.stages.damaging import edited
from tests.tiny import assert_done, assert_fails
from tests.tiny import rrtool as command

VIEW = "object_00_view_0.jpg"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """An index of posters, three views of each, and a photo of none."""
    folder = tmp_path_factory.mktemp("find")
    make_scenes(
        folder, n_objects=3, n_views=3, n_queries=1, n_distractors=2, size=256,
        look=Look(object_side=0.95, n_patches=0),
    )  # fmt: skip
    rrtool.index(folder / "images", folder / "index", device="cpu")
    return folder


def test_another_view_is_found_first_and_the_photo_itself_is_no_hit(made):
    for rerank in ("reciprocal", "dsm", "diffusion", "none"):
        (found,) = rrtool.find(made / "index", [made / "images" / VIEW], rerank=rerank, top=4).found
        assert [hit.rank for hit in found.hits] == [1, 2, 3, 4]
        assert found.hits[0].name.startswith("object_00")
        assert VIEW not in [hit.name for hit in found.hits]
        assert (found.hits[0].n_inliers is None) == (rerank == "none")
        assert found.is_match == (None if rerank == "none" else True)


def test_a_match_says_where_it_is_in_the_photo(made):
    lines = [line.split(",") for line in (made / "all_boxes.csv").read_text().splitlines()[1:]]
    true = {name: [float(edge) for edge in box] for name, *box in lines}
    (found,) = rrtool.find(made / "index", [made / "images" / VIEW], top=10).found
    by_name = {hit.name: hit for hit in found.hits}
    x0, y0, x1, y1 = by_name["object_00_view_1.jpg"].box
    left, top, right, bottom = true["object_00_view_1.jpg"]
    assert left < (x0 + x1) / 2 < right
    assert top < (y0 + y1) / 2 < bottom
    assert 0 <= x0 < x1 <= 256
    assert 0 <= y0 < y1 <= 256
    rule = MatchRule(an_inlier=0.02)
    assert all((hit.box is not None) == rule.holds(hit.similarity, hit.n_inliers)
               for hit in found.hits)  # fmt: skip


def test_a_copy_under_another_name_is_the_photo_itself(made, tmp_path):
    shutil.copy(made / "images" / VIEW, tmp_path / "copy of it.jpg")
    (found,) = rrtool.find(made / "index", [tmp_path / "copy of it.jpg"]).found
    assert VIEW not in [hit.name for hit in found.hits]
    assert len(found.hits) == 10


def test_names_of_the_index_are_read_as_often_for_three_photos_as_for_one(made, monkeypatch):
    read, count = Artifact.read_named, []

    def counted(artifact, name, rows=slice(None)):
        count.append(isinstance(artifact, Ranking) and name == "database_names/bytes")
        return read(artifact, name, rows)

    monkeypatch.setattr(Artifact, "read_named", counted)
    photos, counts = sorted((made / "images").glob("*view*.jpg")), []
    for n in (1, 3):
        count.clear()
        assert len(rrtool.find(made / "index", photos[:n]).found) == n
        counts.append(sum(count))
    assert counts[0] == counts[1] > 0


def test_a_box_is_searched_alone(made):
    lines = (made / "boxes.csv").read_text().splitlines()
    name, *box = next(line.split(",") for line in lines if line.startswith(VIEW))
    box = tuple(float(side) for side in box)
    (found,) = rrtool.find(made / "index", [made / "images" / name], box=box).found
    assert found.hits[0].name.startswith("object_00")
    whole = rrtool.find(made / "index", [made / "images" / name]).found[0]
    assert found.hits[0].similarity != whole.hits[0].similarity


def test_page_json_and_csv_say_the_same_and_nothing_is_left(made, tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    call = ("find", made / "index", made / "images" / VIEW, "--top", "3", "--device", "cpu")
    page = tmp_path / "hits.html"
    shown = command(*call, "--page", page)
    assert_done(shown)
    document = json.loads(command(*call, "--json").stdout)
    (found,) = document["found"]
    names = [hit["name"] for hit in found["hits"]]
    lines = command(*call, "--csv").stdout.splitlines()
    assert lines[0] == "query,rank,name,score,similarity,n_inliers,is_match,x0,y0,x1,y1"
    assert [line.split(",")[2] for line in lines[1:]] == names
    text = page.read_text(encoding="utf-8")
    assert all(name in shown.stdout and name in text for name in names)
    assert "inliers, a similarity of 0.02 counting as one" in text
    assert not list((tmp_path / "tmp").iterdir())


def test_photos_that_cannot_be_read_are_told_and_the_others_answered(made, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"words")
    call = ("find", made / "index", tmp_path / "bad.jpg")
    result = command(*call, made / "images" / VIEW)
    assert result.exit_code == 3
    assert "bad.jpg: cannot be used" in result.stdout
    assert "object_00" in result.stdout
    line = assert_fails(command(*call), 2)
    assert "no photo to look for can be used" in str(line)


def test_wrong_use_is_told(made, tmp_path):
    photo = str(made / "images" / VIEW)
    for more, text in (
        ({"box": (1, 2, 3)}, "bad --box"),
        ({"box": (9000, 9000, 9100, 9100)}, "can be used"),
        ({"box": (9, 9, 5, 5)}, "bad --box .expected x0 < x1 and y0 < y1, found 9,9,5,5"),
        ({"box": (0, 0, float("inf"), 5)}, "bad --box"),
        ({"box": (0, 0, float("nan"), 5)}, "bad --box"),
        ({"top": 0}, "bad --top"),
        ({"page": made / "index" / "features.h5"}, "is no page of rrtool report; choose another"),
        ({"page": made / "images" / "object_01_view_0.jpg"}, "is no page of rrtool"),
    ):
        with pytest.raises(UsageError, match=text):
            rrtool.find(made / "index", [photo], **more)
    with pytest.raises(UsageError, match="--box is of one photo"):
        rrtool.find(made / "index", [photo, photo + "x"], box=(1, 2, 3, 4))
    with pytest.raises(UsageError, match="no photo to look for"):
        rrtool.find(made / "index", [])
    with pytest.raises(UsageError, match="this is no index"):
        rrtool.find(tmp_path, [photo])
    with pytest.raises(UsageError, match="this is no index"):
        rrtool.find(tmp_path / "nothing", [photo])


def test_an_index_that_is_not_finished_is_told(made, tmp_path):
    shutil.copytree(made / "index", tmp_path / "index")
    (tmp_path / "index" / "local.h5").unlink()
    with pytest.raises(UsageError, match="is not finished; run rrtool index"):
        rrtool.find(tmp_path / "index", [made / "images" / VIEW])


@pytest.mark.parametrize(("file", "role", "rerank"), [
    ("local.h5", "images", "none"), ("graph.h5", "features", "diffusion"),
    ("graph.h5", "features", "reciprocal"),
])  # fmt: skip
def test_an_update_that_is_not_finished_is_told(made, tmp_path, file, role, rerank):
    shutil.copytree(made / "index", tmp_path / "index")
    with edited(tmp_path / "index" / file) as content:
        inputs = json.loads(content.attrs["inputs"])
        others = [{**each, "digest": "0" * 32} if each["role"] == role else each for each in inputs]
        content.attrs["inputs"] = json.dumps(others)
    with pytest.raises(ArtifactError, match="update of the index is not finished; wait for it, or"):
        rrtool.find(tmp_path / "index", [made / "images" / VIEW], rerank=rerank)


def test_similarity_counts_with_inliers_where_the_whitening_is_ours():
    own = MatchRule.of({"whitening": "photos@0123abcd/ms"})
    assert own.holds(0.2, 10)
    assert not own.holds(0.2, 9)
    assert not own.holds(0.9, None)
    other = MatchRule.of({"whitening": "none"})
    assert other.holds(0.0, 20)
    assert not other.holds(0.99, 19)
