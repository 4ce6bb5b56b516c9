"""The pipelines through make, on small data in the formats of the real ones."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from rrtool.artifacts import open_artifact
from tests.tiny import make_digits, make_pictures, picture

PIPELINES = Path(__file__).parents[1] / "pipelines"
RRTOOL = f"{sys.executable} -m rrtool"


def make(folder: Path, pipeline: str, *arguments: str) -> str:
    done = subprocess.run(
        ["make", "-j2", "-f", PIPELINES / pipeline, f"RRTOOL={RRTOOL}", "WEIGHTS=none",
         "NETWORK=squeezenet1_1", "OUT=out", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def uuids(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.glob("*.h5")):
        with open_artifact(path) as artifact:
            found[path.name] = artifact.uuid
    return found


def test_folder_pipeline_ends_in_the_table_and_runs_again_only_for_new_photos(
    tmp_path: Path,
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(12):
        picture(i % 4).rotate(3 * i).save(photos / f"{'abcd'[i % 4]}_{i}.png")
    arguments = ("PHOTOS=photos", "GROUPS=prefix:(.)_", "all")
    table = make(tmp_path, "folder.mk", *arguments)
    for method in ("global ", "global + DSM ", "global + D ", "global + DSM + D ", "global + αQE"):
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
    with open_artifact(tmp_path / "out/global.h5") as ranking:
        assert ranking.shape("ids") == (2, 10)


def test_whitened_rankings_come_from_whitened_features(tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos", 10)
    make(tmp_path, "folder.mk", "PHOTOS=photos", "global")
    command = [*RRTOOL.split(), "whiten", "fit", "out/database.h5", "--method", "pca", "-o", "w.h5"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "out/global.h5").unlink()
    make(tmp_path, "folder.mk", "PHOTOS=photos", "WHITENING=w.h5", "global")
    with open_artifact(tmp_path / "out/global.h5") as ranking:
        assert ranking.extra["description"]["whitening"].startswith("pca")


def test_discovery_pipeline_compares_whole_photos_with_their_regions(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(8):
        canvas = picture(50 + i, (160, 128))
        canvas.paste(picture(i % 2, (70, 70)), (8 * i, 5 * i))
        canvas.save(photos / f"{'ab'[i % 2]}_{i}.png")
    (tmp_path / "queries.csv").write_text(
        "name,x0,y0,x1,y1\na_0.png,0,0,70,70\nb_1.png,8,5,78,75\n"
    )
    arguments = ("PHOTOS=photos", "GROUPS=prefix:(.)_", "BOXES=queries.csv")
    table = make(tmp_path, "discovery.mk", *arguments, "table")
    for name in ("gem", "fs", "os-katz", "gem-d", "fs-d", "os-katz-d"):
        assert f"out/{name}.h5" in table
    assert "OS.EGM" in table
    assert "query crop: yes" in table
    with open_artifact(tmp_path / "out/saliency-katz.h5", "saliency") as saliency:
        assert saliency.shape("status") == (8,)
    precision = make(tmp_path, "discovery.mk", *arguments, "precision")
    assert "FS^3" in precision
    assert "saliency-katz.h5" in precision
    (tmp_path / "queries.csv").unlink()
    make(tmp_path, "discovery.mk", "PHOTOS=photos", "report")
    page = (tmp_path / "out/report.html").read_text()
    assert "What repeats in 8 photos" in page
    assert page.count("feature saliency of") == 8


def test_discovery_pipeline_takes_lists_of_photos_and_a_whitening(tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos", 10)
    names = sorted(path.name for path in (tmp_path / "photos").iterdir())
    (tmp_path / "queries.txt").write_text("".join(f"photos/{name}\n" for name in names[:2]))
    (tmp_path / "database.txt").write_text("".join(f"photos/{name}\n" for name in names[2:]))
    arguments = ("PHOTOS=database.txt", "QUERIES=queries.txt")
    make(tmp_path, "discovery.mk", *arguments, "out/gem.h5")
    fit = ("whiten", "fit", "out/gem-features.h5", "--method", "pca", "-o", "w.h5")
    subprocess.run([*RRTOOL.split(), *fit], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "out/gem.h5").unlink()
    make(tmp_path, "discovery.mk", *arguments, "WHITENING=w.h5", "out/gem.h5")
    with open_artifact(tmp_path / "out/gem.h5", "ranking") as ranking:
        assert ranking.shape("ids") == (2, 8)
        assert ranking.extra["description"]["whitening"].startswith("pca")


def test_instre_pipeline_on_ground_truth_in_its_format(tmp_path: Path) -> None:
    names = [f"INSTRE-S1/0{i % 2}/00{i}.jpg" for i in range(8)]
    for i, name in enumerate(names):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        canvas = picture(50 + i, (160, 128))
        canvas.paste(picture(i % 2, (70, 70)), (8 * i, 5 * i))
        canvas.save(path)
    gnd = np.zeros((1, 2), dtype=[("ok", object), ("bbx", object)])
    for i in range(2):
        # Of the gallery names[2:], counted from 1.
        gnd[0, i] = (
            np.array([[1.0, 3, 5]]) + i,
            np.array([[8.0 * i, 5 * i, 8 * i + 70, 5 * i + 70]]),
        )
    truth = {"gnd": gnd, "imlist": np.array([names[2:]], object)}
    savemat(tmp_path / "data/gnd_instre.mat", truth | {"qimlist": np.array([names[:2]], object)})
    options = ("DATA=data", "NETWORK=squeezenet1_1", "SCALES=1", "KINDS=os-katz")
    table = make(tmp_path, "instre.mk", *options, "table")
    assert "instre" in table
    assert "OS.EGM" in table
    with open_artifact(tmp_path / "out/os-katz-d.h5", "ranking") as ranking:
        assert ranking.read_texts("query_names") == names[:2]
        assert ranking.read_texts("database_names") == sorted(names[2:])


def test_learning_pipeline_makes_the_rows_of_the_table_and_nothing_twice(tmp_path: Path) -> None:
    make_digits(tmp_path / "digits", 60, 20)
    arguments = (
        "DATA=digits", "EPOCHS=1", "SEMI_EPOCHS=1", "PRE_EPOCHS=1", "WIDTH=0.05", "K=5",
        "DEVICE=cpu", "CYCLES=1", "SEEDS=0 1", "METHODS=random jlp-pre-semi",
    )  # fmt: skip
    table = make(tmp_path, "mnist.mk", *arguments, "table")
    assert "Random" in table
    assert "PRE + SEMI" in table
    assert "±" in table
    first = uuids(tmp_path / "out")
    assert set(first) == {"pre.h5"} | {
        f"{method}-{seed}.h5" for method in ("random", "jlp-pre-semi") for seed in (0, 1)
    }
    make(tmp_path, "mnist.mk", *arguments, "table")
    assert uuids(tmp_path / "out") == first
    make(tmp_path, "mnist.mk", *arguments, "CYCLES=2", "random")
    second = uuids(tmp_path / "out")
    assert second["random-0.h5"] != first["random-0.h5"]
    assert second["jlp-pre-semi-0.h5"] == first["jlp-pre-semi-0.h5"]


@pytest.mark.parametrize("pipeline", ["mnist", "svhn", "cifar10", "cifar100"])
def test_learning_pipeline_has_every_row_of_the_table(tmp_path: Path, pipeline: str) -> None:
    (tmp_path / "data").mkdir()
    plan = make(tmp_path, f"{pipeline}.mk", "DATA=data", "-n", "table")
    for strategy in ("random", "entropy", "coreset", "ceal", "jlp"):
        for options in ("", "--semi", "--pretrain out/pre.h5", "--semi --pretrain out/pre.h5"):
            line = " ".join(f"--strategy {strategy} {options} --overwrite".split())
            expected = 0 if strategy == "ceal" and "--semi" in options else 5
            found = [" ".join(planned.split()) for planned in plan.splitlines()]
            assert sum(line in planned for planned in found) == expected
    assert plan.count("al-pretrain") == 1


def test_regional_pipeline_compares_regions_with_one_descriptor_an_image(tmp_path: Path) -> None:
    for folder, names in (("photos", "aabb"), ("queries", "ab")):
        (tmp_path / folder).mkdir()
        for i, name in enumerate(names):
            picture("ab".index(name), (160 - 8 * i, 128)).save(
                tmp_path / folder / f"{name}_{folder[0]}{i}.png"
            )
    arguments = ("PHOTOS=photos", "QUERIES=queries", "GROUPS=prefix:(.)_", "SCALES=1")
    arguments = (*arguments, "N_REGIONS=3", "REGIONS=2", "REGION_K=3")
    planned = make(tmp_path, "regional.mk", *arguments, "--dry-run")
    table = planned.splitlines()[-1].split()
    for name in ("gem", "os-katz", "os-katz-d", "uniform", "uniform-d", "gmm3", "gmm3-d"):
        assert f"out/{name}.h5" in table
    # discovery.mk, which makes the others, has a test of its own.
    make(tmp_path, "regional.mk", *arguments, "out/gmm3.h5", "out/gmm3-d.h5")
    for name, method in (("gmm3", "R-Match"), ("gmm3-d", "R-Match + D")):
        with open_artifact(tmp_path / f"out/{name}.h5", "ranking") as ranking:
            assert ranking.shape("ids") == (2, 4)
            description = ranking.extra["description"]
            assert description["method"] == method
            assert description["described_by"] == "uniform, 2 levels, GMM 3"
            assert description["vectors_per_image"] == 3
            assert description["query_crop"] is False
