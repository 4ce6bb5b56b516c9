"""The examples that work on shares side by side: what one run makes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import rrtool
from tests.pipelines.making import PIPELINES, make, uuids
from tests.stages.made_features import write_features
from tests.stages.update_sequences import one_thread
from tests.tiny import digest_of, extract, make_pictures
from tests.warm import warm_rrtool

OPTIONS = ("--max-size", "32", "--scales", "1", "--device", "cpu", "--engine", "torch")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Photos, one of them broken, and features for two shares of a graph, with what one run makes
    of either."""
    folder = tmp_path_factory.mktemp("whole")
    make_pictures(folder / "photos", 40)
    (folder / "photos" / "004.png").write_bytes(b"no picture")
    with one_thread():
        extract(folder / "photos", folder / "f.h5", *OPTIONS, "--local", folder / "l.h5")
    vectors = np.random.default_rng(6).normal(size=(2100, 8))
    write_features(folder / "many.h5", [f"{i}.jpg" for i in range(2100)], vectors)
    rrtool.build_graph(folder / "many.h5", folder / "g.h5", k=4, device="cpu")
    return folder


def test_shares_pipeline_makes_what_one_run_makes_and_nothing_twice(whole, tmp_path):
    options = ("N=2", f"PHOTOS={whole / 'photos'}", f"EXTRACT={' '.join(OPTIONS)}")
    make(tmp_path, "shares.mk", *options)
    for made, expected in (("features", "f"), ("local", "l")):
        assert digest_of(tmp_path / "out" / f"{made}.h5") == digest_of(whole / f"{expected}.h5")
    before = uuids(tmp_path / "out")
    assert "extract" not in make(tmp_path, "shares.mk", *options)
    assert uuids(tmp_path / "out") == before


def test_shares_pipeline_makes_the_graph_of_one_run(whole, tmp_path):
    options = ("N=2", f"FEATURES={whole / 'many.h5'}", "GRAPH=--k 4 --device cpu")
    make(tmp_path, "shares.mk", *options, "graph")
    assert digest_of(tmp_path / "out" / "graph.h5") == digest_of(whole / "g.h5")
    assert sorted(uuids(tmp_path / "out")) == ["graph-share-1.h5", "graph-share-2.h5", "graph.h5"]


@pytest.mark.parametrize(
    ("command", "of", "expected", "options"),
    [
        (
            "extract",
            "photos",
            "f.h5",
            (*OPTIONS, "--network", "squeezenet1_1", "--weights", "none"),
        ),
        ("build-graph", "many.h5", "g.h5", ("--k", "4", "--device", "cpu")),
    ],
)
def test_array_of_slurm_makes_what_one_run_makes(whole, tmp_path, command, of, expected, options):
    warm = warm_rrtool()
    environment = {**os.environ, "PATH": f"{warm.parent}:{os.environ['PATH']}"}
    script = [PIPELINES / "shares.slurm", command, whole / of, "out/made.h5", *options]
    for number in ("1", "2"):
        array = {"SLURM_ARRAY_TASK_ID": number, "SLURM_ARRAY_TASK_COUNT": "2"}
        done = subprocess.run(
            ["/bin/sh", *map(str, script)], cwd=tmp_path, env=environment | array, check=False,
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    shares = sorted((tmp_path / "out").glob("made-[0-9]*.h5"))
    rrtool.merge(shares, tmp_path / "whole.h5")
    assert digest_of(tmp_path / "whole.h5") == digest_of(whole / expected)
