"""The pipeline of figures through make, on small data."""

from __future__ import annotations

from pathlib import Path

from tests.pipelines.making import make
from tests.reports.test_reports import Checker
from tests.tiny import picture


def test_figures_pipeline_makes_all_figures_of_photos_with_boxes_and_groups(
    tmp_path: Path,
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    rows = ["name,x0,y0,x1,y1"]
    for i in range(8):
        canvas = picture(50 + i, (160, 128))
        canvas.paste(picture(i % 2, (70, 70)), (8 * i, 5 * i))
        canvas.save(photos / f"{'ab'[i % 2]}_{i}.png")
        rows.append(f"{'ab'[i % 2]}_{i}.png,{8 * i},{5 * i},{8 * i + 70},{5 * i + 70}")
    (tmp_path / "boxes.csv").write_text("\n".join(rows))
    (tmp_path / "queries.csv").write_text("\n".join(rows[:3]))
    arguments = (
        "DATA=photos", "GROUPS=prefix:(.)_", "BOXES=queries.csv", "TRUE_BOXES=boxes.csv",
        "RHO=7", "SIGMA=2.5", "OS_RHO=2", "OS_SIGMA=2.5", "WHOLE=0.8 0", "CENTRALITIES=degree",
        "N_REGIONS=",
    )  # fmt: skip
    make(tmp_path, "figures.mk", *arguments)
    page = (tmp_path / "out/index.html").read_text()
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    for number in ("2.7", "4.2", "4.6", "5.3", "5.4", "5.5", "5.7", "5.8", "5.10"):
        assert f"<h2>Figure {number}:" in page
    assert "What could not be made" not in page
