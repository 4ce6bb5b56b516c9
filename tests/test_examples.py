"""The examples run as their text says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.warm import warm_rrtool

UNTRAINED = ("--network", "squeezenet1_1", "--weights", "none", "--max-size", "512")
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


def environment_of_examples() -> dict[str, str]:
    programs = (warm_rrtool().parent, Path(sys.executable).parent, os.environ["PATH"])
    return os.environ | {"PATH": ":".join(map(str, programs))}


def run_example(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = environment_of_examples()
    shell = subprocess.run(
        ["bash", str(ROOT / "examples" / name), *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.returncode == 0, shell.stderr
    return shell


def test_find_again_prints_both_rankings_and_read_artifact_reads_them(
    photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shell = run_example("find_again.sh", photos, out, *UNTRAINED)
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
    environment = environment_of_examples()
    shell = subprocess.run(
        ["bash", str(ROOT / "examples" / "discover_objects.sh"), str(photos), str(out), *UNTRAINED],
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


def test_label_with_a_budget_asks_learns_and_tells_of_the_slip(
    photos: Path, tmp_path: Path
) -> None:
    for i in range(2, 8):
        for label in ("mug", "shoe"):
            picture = Image.open(photos / f"{label}_{i % 2}.jpg").rotate(5 * i)
            picture.save(photos / f"{label}_{i}.jpg")
    names = sorted(path.name for path in photos.glob("*.jpg"))
    answers = tmp_path / "answers.csv"
    answers.write_text("".join(f"{name},{name.partition('_')[0]}\n" for name in names))
    out = tmp_path / "out"
    shell = run_example("label_with_a_budget.sh", photos, out, "mug,shoe", answers, 3)
    assert "unknown class" in shell.stderr
    assert "perhaps mug" in shell.stderr or "perhaps shoe" in shell.stderr
    skipped = (out / "1.skipped.tsv").read_text()
    assert "broken_0.jpg" in skipped
    assert "unknown class" in skipped
    assert "n_labeled: 5" in shell.stdout
    assert (out / "1.to_label.html").is_file()
