"""The demo from end to end, small; it covers extract to report through the stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from rrtool.artifacts import open_artifact
from rrtool.errors import UsageError
from rrtool.progress import Silent
from rrtool.stages import demo
from rrtool.stages.reports import report_ranking as report


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "demo"
    demo.run(folder, weights="none", short=True, progress=Silent())
    return folder


def test_demo_again_changes_nothing_and_shows_the_same(made: Path) -> None:
    artifacts = sorted(made.glob("*.h5"))
    assert {path.stem for path in artifacts} >= {"global", "dsm", "evaluation"}
    before = {}
    for path in artifacts:
        with open_artifact(path) as artifact:
            before[path] = artifact.uuid
    evaluated, page = demo.run(made, weights="none", short=True, progress=Silent())
    for path, uuid in before.items():
        with open_artifact(path) as artifact:
            assert artifact.uuid == uuid
    plain, verified = (ranking.scores[0] for ranking in evaluated)
    assert plain.n_queries == verified.n_queries == 4
    assert 0 < plain.mean_average_precision < 1
    assert verified.mean_average_precision != plain.mean_average_precision
    text = page.read_text()
    assert "untrained" in text
    assert text.count("<section>") == 4
    assert "✓" in text
    assert "✗" in text
    assert "inliers, all drawn" in text


def test_demo_refuses_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(UsageError, match="something else"):
        demo.run(tmp_path, weights="none", short=True, progress=Silent())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_report_of_a_plain_ranking_has_no_matches(made: Path, tmp_path: Path) -> None:
    page = report.run(
        str(made / "global.h5"),
        tmp_path / "page.html",
        images=str(made / "images"),
        max_queries=2,
        progress=Silent(),
    )
    text = page.read_text()
    assert text.count("<section>") == 2
    assert "inliers" not in text
    assert "✓" not in text


def test_report_does_not_replace_another_file(made: Path, tmp_path: Path) -> None:
    mine = tmp_path / "page.html"
    mine.write_text("<p>mine</p>")
    arguments = {"images": str(made / "images"), "max_queries": 1, "progress": Silent()}
    with pytest.raises(UsageError, match="no page of rrtool report"):
        report.run(str(made / "global.h5"), mine, **arguments)  # type: ignore[arg-type]
    assert mine.read_text() == "<p>mine</p>"
    report.run(str(made / "global.h5"), mine, overwrite=True, **arguments)  # type: ignore[arg-type]
    # A report of its own it replaces without being asked.
    report.run(str(made / "global.h5"), mine, **arguments)  # type: ignore[arg-type]
