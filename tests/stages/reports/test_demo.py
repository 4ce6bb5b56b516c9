"""The demo from end to end, small; it covers extract to report through the stages."""

from __future__ import annotations

from pathlib import Path

import pytest

import rrtool
from rrtool.errors import UsageError, WorkFailed
from rrtool.networks import packaged


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    rrtool.demo(folder, short=True)
    return folder


def test_demo_again_changes_nothing_and_shows_the_same(made: Path) -> None:
    artifacts = sorted(made.glob("*.h5"))
    assert {path.stem for path in artifacts} >= {"global", "dsm", "evaluation"}
    before = {}
    for path in artifacts:
        with rrtool.open(path) as artifact:
            before[path] = artifact.uuid
    shown = rrtool.demo(made, short=True)
    for path, uuid in before.items():
        with rrtool.open(path) as artifact:
            assert artifact.uuid == uuid
    plain, verified = (ranking["scores"][0] for ranking in shown.scores)
    assert plain["n_queries"] == verified["n_queries"] == 4
    assert 0 < plain["mAP"] < 1
    assert verified["mAP"] != plain["mAP"]
    text = shown.path.read_text()
    assert text.count("<section>") == 4
    assert "✓" in text
    assert "✗" in text
    assert "inliers, all drawn" in text


def test_demo_finds_each_poster_again_and_verifies_it(made: Path) -> None:
    with rrtool.open(made / "dsm.h5") as ranking:
        for row, query in enumerate(ranking.query_names):
            hit = next(hit for hit in ranking.hits(row) if hit.name != query)
            assert hit.name.rsplit("_view")[0] == query.rsplit("_view")[0]
            assert hit.n_inliers >= 4


def test_demo_without_the_weights_of_its_network_ends(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(packaged, "find_spec", lambda name: None)
    with pytest.raises(WorkFailed, match="not installed"):
        rrtool.demo(tmp_path / "d", short=True)
    assert not list((tmp_path / "d").glob("*.h5"))


def test_demo_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="something else"):
        rrtool.demo(tmp_path, short=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_report_of_a_plain_ranking_has_no_matches(made: Path, tmp_path: Path) -> None:
    page = rrtool.report(
        [made / "global.h5"], tmp_path / "page.html", images=made / "images", max_queries=2
    ).path
    text = page.read_text()
    assert text.count("<section>") == 2
    assert "inliers" not in text
    assert "✓" not in text


def test_report_does_not_replace_another_file(made: Path, tmp_path: Path) -> None:
    mine = tmp_path / "page.html"
    mine.write_text("<p>mine</p>")
    arguments = {"images": made / "images", "max_queries": 1}
    with pytest.raises(UsageError, match="no page of rrtool report"):
        rrtool.report([made / "global.h5"], mine, **arguments)
    assert mine.read_text() == "<p>mine</p>"
    rrtool.report([made / "global.h5"], mine, overwrite=True, **arguments)
    # A report of its own it replaces without being asked.
    rrtool.report([made / "global.h5"], mine, **arguments)


def test_demo_makes_the_scenes_only_where_asked(tmp_path: Path) -> None:
    shown = rrtool.demo(tmp_path / "d", short=True, scenes_only=True)
    assert shown.path == tmp_path / "d" / "images"
    assert shown.scores == []
    assert not list((tmp_path / "d").glob("*.h5"))
