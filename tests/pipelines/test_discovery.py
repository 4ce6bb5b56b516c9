"""Pipelines of object discovery through make, on small data in the formats of the real ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
from scipy.io import savemat

from rrtool.artifacts.kinds import open_any
from tests.pipelines.making import make
from tests.tiny import make_pictures, picture
from tests.warm import warm_rrtool


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
    subprocess.run([warm_rrtool(), *fit], cwd=tmp_path, check=True, capture_output=True)
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
    options = (*options, "THESIS=1", "K=3", "KQ=2", "REGION_GRAPH_K=4")
    table = make(tmp_path, "instre.mk", *options, "table")
    assert "instre" in table
    assert "OS.EGM" in table
    with open_any(tmp_path / "out/os-katz-d.h5") as ranking:
        assert ranking.query_names == names[:2]
        assert ranking.database_names == sorted(names[2:])
    with open_any(tmp_path / "out/saliency-katz.h5") as saliency:
        assert saliency.options["patch_pooling"] == "max"
        assert saliency.options["aggregate"] == "sum"


# In place of rrtool: notes its words, and writes its outputs.
NOTES = """echo "$@" >> calls.txt
while [ $# -gt 0 ]; do case $1 in -o|--features|--fs-*) echo > "$2";; esac; shift; done
"""


def _calls(folder: Path, *arguments: str) -> dict[str, str]:
    """What make has rrtool do, by the file that each call writes; evaluate by its name."""
    (folder / "photos").mkdir(exist_ok=True)
    if not (folder / "w.h5").exists():
        (folder / "w.h5").touch()
    (folder / "notes.sh").write_text(NOTES)
    (folder / "calls.txt").unlink(missing_ok=True)
    make(folder, "discovery.mk", "GROUPS=x", *arguments, "RRTOOL=sh notes.sh")
    calls = (folder / "calls.txt").read_text().splitlines()
    return {f"{line} -o evaluate".split(" -o ")[1].split()[0]: line for line in calls}


def test_a_table_of_other_parameters_is_never_taken_for_the_one_asked_for(tmp_path: Path) -> None:
    arguments = ("WHITENING=w.h5", "table")
    first = _calls(tmp_path, *arguments)
    assert len(first) == 22
    assert set(_calls(tmp_path, *arguments)) == {"evaluate"}
    remade = {
        "KQ=3": {f"out/{kind}-d.h5" for kind in ("gem", "fs", "os-katz")},
        "RHO=5": {output for output in first if "gem" not in output and "queries" not in output},
        "THETA=1": {output for output in first if "os-katz" in output and "queries" not in output},
    }
    remade["RHO=5"] |= {"out/fs-queries-whitened.h5", "out/os-katz-queries-whitened.h5"}
    remade["THETA=1"] |= {"out/os-katz-queries-whitened.h5", "out/saliency-katz.h5"}
    for given, expected in remade.items():
        assert set(_calls(tmp_path, given, *arguments)) == expected | {"evaluate"}
        _calls(tmp_path, *arguments)
    assert "out/regions-whitened.h5" in _calls(tmp_path, *arguments, "THESIS=1")
    _calls(tmp_path, *arguments)
    (tmp_path / "photos/new.png").touch()
    assert set(_calls(tmp_path, *arguments)) == set(first)


def test_thesis_sets_every_stage_to_the_words_of_the_thesis(tmp_path: Path) -> None:
    arguments = ("WHITENING=w.h5", "table")
    ours, thesis = (
        _calls(tmp_path, *arguments, f"OUT={out}", f"THESIS={given}")
        for out, given in (("out", ""), ("thesis", "1"))
    )
    thesis = {name.replace("thesis", "out"): line for name, line in thesis.items()}
    thesis = {name: line.replace("thesis/", "out/") for name, line in thesis.items()}
    expected = {
        "out/regions.h5": (
            "--rho 7 --sigma 2.5 --aggregate sum --whole 0 --saliency-normalization crow",
        ),
        "out/saliency-katz.h5": (
            "--rho 2 --sigma 2.5 --theta 3 --aggregate sum --whole 0 --patch-pooling max",
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
    given = ("THESIS=1", "K=9", "AGGREGATION=weighted", "WHITEN_REGIONS=")
    mixed = _calls(tmp_path, *arguments, *given, "OUT=mixed")
    assert "--k 9" in mixed["mixed/gem-graph.h5"]
    assert "--aggregate weighted" in mixed["mixed/regions.h5"]
    assert "mixed/regions-whitened.h5" not in mixed


def test_figures_vary_one_parameter_at_a_time(tmp_path: Path) -> None:
    lists = ("RHO=7 1 3", "SIGMA=2.5 1", "OS_SIGMA=2.5 5", "THETA=3 1")
    lists = (*lists, "AGGREGATION=sum weighted")
    plan = _calls(tmp_path, *lists, "figure-5.5")
    settings = {
        output.removeprefix("out/fs-").removesuffix("-maps.h5"): line
        for output, line in plan.items()
        if line.startswith("saliency fs")
    }
    assert set(settings) == {
        "out/regions.h5", "rho-1", "rho-3", "sigma-1", "aggregate-weighted"
    }  # fmt: skip
    base = "--rho 7 --sigma 2.5 --aggregate sum"
    assert all(base in line for line in settings.values())
    assert settings["rho-3"].endswith("--rho 3 --overwrite")  # the last one counts
    ranked = [f"out/fs{name}.h5" for name in ("", "-rho-1", "-rho-3", "-sigma-1")]
    assert plan["evaluate"].split()[1:6] == [*ranked, "out/fs-aggregate-weighted.h5"]
    plan = _calls(tmp_path, *lists, "figure-5.8")
    found = {output for output, line in plan.items() if line.startswith("saliency os")}
    assert found == {"out/saliency-katz.h5"} | {
        f"out/os-{name}-maps.h5" for name in ("sigma-5", "theta-1", "aggregate-weighted")
    }
    assert len(plan["evaluate"].split(" --ground-truth")[0].split()) == 5
