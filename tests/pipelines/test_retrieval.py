"""Pipelines of retrieval through make, on small data in the formats of the real ones."""

from __future__ import annotations

import pickle
import subprocess
from pathlib import Path

import pytest

from rrtool.artifacts.kinds import open_any
from tests.pipelines.making import make, uuids
from tests.tiny import make_pictures, picture
from tests.warm import warm_rrtool


def test_folder_pipeline_ends_in_the_table_and_runs_again_only_for_new_photos(
    tmp_path: Path,
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(12):
        picture(i % 4).rotate(3 * i).save(photos / f"{'abcd'[i % 4]}_{i}.png")
    arguments = ("PHOTOS=photos", "GROUPS=prefix:(.)_", "all")
    table = make(tmp_path, "folder.mk", *arguments)
    for method in (
        "global ",
        "global + DSM ",
        "global + D ",
        "global + DSM + D ",
        "global + αQE",
        "global + reciprocal",
    ):
        assert method in table
    assert "untrained" in table
    assert (tmp_path / "out/report.html").is_file()
    first = uuids(tmp_path / "out")
    make(tmp_path, "folder.mk", *arguments)
    assert uuids(tmp_path / "out") == first
    picture(1).save(photos / "b_new.png")
    make(tmp_path, "folder.mk", *arguments[:-1], "d")
    again = uuids(tmp_path / "out")
    assert {name for name in first if again[name] != first[name]} == {
        "database.h5",
        "graph.h5",
        "d.h5",
    }


@pytest.mark.parametrize("pipeline", ["roxford.mk"])
def test_revisited_pipeline_on_ground_truth_in_its_format(tmp_path: Path, pipeline: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    make_pictures(data / "jpg", 12)
    names = [f"{i:03d}" for i in range(12)]
    for name in names:
        (data / "jpg" / f"{name}.png").rename(data / "jpg" / f"{name}.jpg")
    truth = {
        "imlist": names[2:],
        "qimlist": names[:2],
        "gnd": [
            {"bbx": [4.0, 4.0, 60.0, 50.0], "easy": [0, 1], "hard": [2], "junk": [3]},
            {"bbx": [0.0, 0.0, 70.0, 60.0], "easy": [4], "hard": [5, 6], "junk": []},
        ],
    }
    (data / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(truth, protocol=2))
    table = make(tmp_path, pipeline, "DATA=data", "table")
    for setup in ("easy", "medium", "hard"):
        assert setup in table
    assert "query crop: yes" in table
    assert "global + DSM + D" in table
    with open_any(tmp_path / "out/global.h5") as ranking:
        assert ranking.ids.shape == (2, 10)


def test_whitened_rankings_come_from_whitened_features(tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos", 10)
    make(tmp_path, "folder.mk", "PHOTOS=photos", "global")
    command = [warm_rrtool(), "whiten", "fit", "out/database.h5", "--method", "pca", "-o", "w.h5"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "out/global.h5").unlink()
    make(tmp_path, "folder.mk", "PHOTOS=photos", "WHITENING=w.h5", "global")
    with open_any(tmp_path / "out/global.h5") as ranking:
        assert ranking.extra["description"]["whitening"].startswith("pca")
