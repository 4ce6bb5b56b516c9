"""Pipelines of object discovery through make, on small data in the formats of the real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from scipy.io import savemat

from rrtool.artifacts.kinds import open_any
from tests.pipelines.making import RRTOOL, make, uuids
from tests.tiny import make_pictures, picture


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
    with open_any(tmp_path / "out/saliency-katz.h5") as saliency:
        assert saliency.status.shape == (8,)
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
    with open_any(tmp_path / "out/gem.h5") as ranking:
        assert ranking.ids.shape == (2, 8)
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
    options = (*options, "THESIS=1", "K=3", "KQ=2", "REGION_K=4")
    table = make(tmp_path, "instre.mk", *options, "table")
    assert "instre" in table
    assert "OS.EGM" in table
    with open_any(tmp_path / "out/os-katz-d.h5") as ranking:
        assert ranking.query_names == names[:2]
        assert ranking.database_names == sorted(names[2:])
    with open_any(tmp_path / "out/saliency-katz.h5") as saliency:
        assert saliency.options["patch_pooling"] == "max"
        assert saliency.options["aggregate"] == "sum"
    # A table of other parameters is never taken for this one, and nothing is made in vain.
    before = uuids(tmp_path / "out")
    make(tmp_path, "instre.mk", *options, "table")
    assert uuids(tmp_path / "out") == before
    make(tmp_path, "instre.mk", *options[:-2], "KQ=1", options[-1], "out/os-katz-d.h5")
    after = uuids(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {"os-katz-d.h5"}
    figure = make(tmp_path, "instre.mk", *options, "OS_RHO=2 1", "figure-5.8")
    assert "os-katz.h5: rho 2, sigma 2.5, theta 3, --aggregate sum" in figure
    with open_any(tmp_path / "out/os-rho-1-maps.h5") as saliency:
        assert (saliency.options["rho"], saliency.options["sigma"]) == (1, 2.5)
    assert "out/os-rho-1.h5" in figure


def _plan(folder: Path, *arguments: str) -> dict[str, str]:
    """The command that each target's file would be made by."""
    (folder / "photos").mkdir(exist_ok=True)
    (folder / "w.h5").touch()
    planned = make(folder, "discovery.mk", "-n", *arguments).replace("\\\n", " ")
    lines = [line.split(" -m rrtool ")[1] for line in planned.splitlines() if "run " in line]
    return {line.split(" -o ")[1].split()[0]: " ".join(line.split()) for line in lines}


def test_thesis_sets_every_stage_to_the_words_of_the_thesis(tmp_path: Path) -> None:
    arguments = ("GROUPS=x", "WHITENING=w.h5", "table")
    ours, thesis = _plan(tmp_path, *arguments), _plan(tmp_path, *arguments, "THESIS=1")
    expected = {
        "out/regions.h5": ("--rho 7 --sigma 2.5 --aggregate sum --saliency-normalization crow",),
        "out/saliency-katz.h5": (
            "--rho 2 --sigma 2.5 --theta 3 --aggregate sum --patch-pooling max",
            "--regions out/regions-whitened.h5 --whitening w.h5 --overwrite",
        ),
        "out/regions-whitened.h5": ("whiten apply out/regions.h5 w.h5 -o",),
        "out/region-graph.h5": ("build-graph out/regions-whitened.h5 --k 200",),
        "out/os-katz-graph.h5": ("build-graph out/os-katz-features-whitened.h5 --k 50",),
        "out/os-katz-d.h5": ("--kq 10",),
        "out/os-katz-features-whitened.h5": ("os-katz-features.h5 w.h5 -o",),
    }
    for output, words in expected.items():
        for word in words:
            assert word in thesis[output]
            assert word not in ours.get(output, "")
    assert not any("--center" in line for line in thesis.values())
    assert "--center out/os-katz-features.h5" in ours["out/os-katz-features-whitened.h5"]
    # What is given wins.
    mixed = _plan(
        tmp_path, *arguments, "THESIS=1", "K=9", "AGGREGATION=weighted", "WHITEN_REGIONS="
    )
    assert "--k 9" in mixed["out/gem-graph.h5"]
    assert "--aggregate weighted" in mixed["out/regions.h5"]
    assert "out/regions-whitened.h5" not in mixed


def test_figures_vary_one_parameter_at_a_time(tmp_path: Path) -> None:
    lists = ("GROUPS=x", "RHO=7 1 3", "SIGMA=2.5 1", "OS_SIGMA=2.5 5", "THETA=3 1")
    lists = (*lists, "AGGREGATION=sum weighted")
    plan = _plan(tmp_path, *lists, "figure-5.5")
    settings = {
        output.removeprefix("out/fs-").removesuffix("-maps.h5"): line
        for output, line in plan.items()
        if " saliency fs " in f" {line}"
    }
    assert set(settings) == {
        "out/regions.h5", "rho-1", "rho-3", "sigma-1", "aggregate-weighted"
    }  # fmt: skip
    base = "--rho 7 --sigma 2.5 --aggregate sum"
    assert all(base in line for line in settings.values())
    assert settings["rho-3"].endswith("--rho 3 --overwrite")  # the last one counts
    plan = _plan(tmp_path, *lists, "figure-5.8")
    found = {output for output, line in plan.items() if line.startswith("saliency os")}
    assert found == {"out/saliency-katz.h5"} | {
        f"out/os-{name}-maps.h5" for name in ("sigma-5", "theta-1", "aggregate-weighted")
    }


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
        with open_any(tmp_path / f"out/{name}.h5") as ranking:
            assert ranking.ids.shape == (2, 4)
            description = ranking.extra["description"]
            assert description["method"] == method
            assert description["described_by"] == "uniform, 2 levels, GMM 3"
            assert description["vectors_per_image"] == 3
            assert description["query_crop"] is False
