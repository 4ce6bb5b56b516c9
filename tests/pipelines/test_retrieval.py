"""Pipelines of retrieval through make, on small data in the formats of the real ones."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

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


def revisited_data(data: Path, dataset: str) -> list[str]:
    """Two queries and a gallery of ten, in the format of a benchmark; the names of all twelve."""
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
    (data / f"gnd_{dataset}.pkl").write_bytes(pickle.dumps(truth, protocol=2))
    return names


def test_revisited_pipeline_on_ground_truth_in_its_format(tmp_path: Path) -> None:
    revisited_data(tmp_path / "data", "roxford5k")
    table = make(tmp_path, "roxford.mk", "DATA=data", "table")
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


def test_revisited_pipeline_takes_distractors_in_shares_and_has_table_5_1(tmp_path: Path) -> None:
    names = revisited_data(tmp_path / "data", "rparis6k")
    (tmp_path / "others").mkdir()
    for i in range(54):
        picture(100 + i, (64, 48)).save(tmp_path / f"others/d{i:03d}.png")
    given = ("DATA=data", "DISTRACTORS=others", "N=2", f"PYTHON={sys.executable}", "TOP=50")
    make(tmp_path, "rparis.mk", *given, "dsm")
    with open_any(tmp_path / "out/dsm.h5") as ranking:
        assert ranking.ids.shape == (2, 50)
        found = [Path(name).name for name in ranking.database_names]
    # The queries are no part of what they are asked of.
    assert found == [*(f"{name}.jpg" for name in names[2:]), *(f"d{i:03d}.png" for i in range(54))]
    first = uuids(tmp_path / "out")
    make(tmp_path, "rparis.mk", *given, "dsm")
    assert uuids(tmp_path / "out") == first
    table = make(tmp_path, "rparis.mk", "DATA=data", "KINDS=fs", "table-5.1")
    assert "FS.EGM" in table
    assert "medium" in table
    with open_any(tmp_path / "out/discovery/fs.h5") as ranking:
        assert ranking.ids.shape == (2, 10)
