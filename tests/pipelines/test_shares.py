"""The example that works on shares of a folder side by side."""

from __future__ import annotations

from pathlib import Path

from tests.pipelines.making import make
from tests.stages.update_sequences import one_thread
from tests.tiny import digest_of, extract, make_pictures

OPTIONS = ("--max-size", "32", "--scales", "1", "--device", "cpu", "--engine", "torch")


def test_shares_pipeline_makes_what_one_run_makes(tmp_path: Path) -> None:
    photos = make_pictures(tmp_path / "photos", 40)
    make(tmp_path, "shares.mk", "out/local.h5", "N=2", f"EXTRACT={' '.join(OPTIONS)}")
    with one_thread():
        extract(photos, tmp_path / "f.h5", *OPTIONS, "--local", tmp_path / "l.h5")
    assert digest_of(tmp_path / "out" / "local.h5") == digest_of(tmp_path / "l.h5")
