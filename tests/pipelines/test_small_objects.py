"""The pipeline of small objects through make, on photos with a small patch in common."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rrtool.artifacts import Ranking, open_artifact
from tests.pipelines.making import make
from tests.tiny import picture


def test_small_objects_pipeline_ranks_by_regions_and_by_whole_photos(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(8):
        canvas = picture(50 + i, (160, 128))
        canvas.paste(picture(i % 2, (60, 60)), (8 * i, 5 * i))
        canvas.save(photos / f"{'ab'[i % 2]}_{i}.png")
    boxes = "a_0.png,0,0,60,60\nb_1.png,8,5,68,65\n"
    (tmp_path / "queries.csv").write_text(f"name,x0,y0,x1,y1\n{boxes}")
    arguments = ("PHOTOS=photos", "GROUPS=prefix:(.)_", "BOXES=queries.csv", "ZOOM=64", "TOP=6")
    table = make(tmp_path, "small_objects.mk", *arguments)
    for name in ("whole", "whole-r", "match", "match-r", "regions", "regions-r"):
        assert f"out/{name}.h5" in table
    assert "R-Match + reciprocal regions + reciprocal" in table
    assert "query crop: yes" in table
    with open_artifact(tmp_path / "out/match-r.h5", Ranking) as ranking:
        assert ranking.ids.shape == (2, 8)
        assert ranking.extra["description"]["whitening"].startswith("center")
        own = [hit.box for hit in ranking.hits(0) if hit.name == "a_0.png"]
    x0, y0, x1, y1 = np.array(own[0])
    assert x0 < 60
    assert y0 < 60
    assert (x1 - x0) * (y1 - y0) < 160 * 128
