"""pipelines/quality.mk: what the whitening of a set of photos is learnt on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rrtool.artifacts import Features, open_artifact
from tests.pipelines.making import make
from tests.tiny import picture


def features(path: Path) -> tuple[list[str], np.ndarray]:
    with open_artifact(path, Features) as found:
        return [Path(name).name for name in found.names], found.descriptors


def test_a_set_is_whitened_by_the_other_sets_which_are_described_once(tmp_path: Path) -> None:
    for place, name in enumerate(("first", "second", "third")):
        images = tmp_path / "sets" / name / "images"
        images.mkdir(parents=True)
        for number in range(2):
            picture(3 * place + number, (64, 48)).save(images / f"{name}_{number}.png")
    make(tmp_path, "quality.mk", "DATA=sets", "SETS=first second third", "out/second/others.h5")
    names, descriptors = features(tmp_path / "out/all.h5")
    rows = [place for place, name in enumerate(names) if not name.startswith("second")]
    assert len(names) == 6
    assert len(rows) == 4
    others, own = features(tmp_path / "out/second/others.h5")
    assert others == [names[row] for row in rows]
    np.testing.assert_array_equal(own, descriptors[rows])
