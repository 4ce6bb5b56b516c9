"""The examples run as their text says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for label in ("mug", "shoe"):
        texture = generator.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        for view in range(2):
            noisy = np.clip(texture + generator.normal(0, 10, texture.shape), 0, 255)
            Image.fromarray(noisy.astype(np.uint8)).resize((128, 96)).save(
                folder / f"{label}_{view}.jpg"
            )
    (folder / "broken_0.jpg").write_bytes(b"no image")
    return folder


def test_find_again_prints_both_rankings_and_read_artifact_reads_them(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shell = subprocess.run(
        ["bash", str(ROOT / "examples" / "find_again.sh"), str(photos), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.returncode == 0, shell.stderr
    assert "global + DSM" in shell.stdout
    assert "untrained" in shell.stdout
    assert "broken_0.jpg" in (out / "features.skipped.tsv").read_text()

    read = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "read_artifact.py"), str(out / "dsm.h5")],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.split(": ", 1) for line in read.stdout.splitlines())
    assert len(lines) == 5
    assert [name.split(" ")[0] for name in lines["mug_0.jpg"].split(", ")][:2] == [
        "mug_0.jpg",
        "mug_1.jpg",
    ]


def test_discover_objects_ends_in_a_page(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shell = subprocess.run(
        ["bash", str(ROOT / "examples" / "discover_objects.sh"), str(photos), str(out)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.returncode == 0, shell.stderr
    assert "untrained" in shell.stderr
    page = (out / "objects.html").read_text()
    assert "What repeats in 5 photos" in page
    assert page.count("object saliency of") == 4
