"""The page of mined tuples: each query with its positives, and what is none is refused."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Provenance, Tuples, create
from rrtool.errors import ArtifactError, UsageError
from tests.tiny import make_pictures

NAMES = [f"{i:03d}.png" for i in range(5)]
MINED = {"n_pairs": 2, "n_hard": 1, "level": 6}


def _write(path: Path, mined: object = MINED, **without: None) -> Path:
    both = np.array([[0, 1], [0, 2], [3, 4]], np.int32)
    columns = {
        "names": NAMES,
        "groups": np.array([0, 0, 0, 1, 1], np.int32),
        "pairs": np.concatenate([both, both[:, ::-1]]),
        "pair_scores": np.float32([0.25, 0.5, 0.75] * 2),
        "pair_kinds": np.uint8([1, 0, 0] * 2),
        "n_inliers": np.int32([12, 7, 9] * 2),
        **without,
    }
    with create(path, Provenance("tuples", {})) as output:
        facts = {"images": "images", "mined": mined}
        return output.publish(Tuples.columns(**columns), extra=facts)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuples") / "images"
    make_pictures(folder, len(NAMES))
    return folder


def test_page_shows_each_query_with_its_positives(images: Path, tmp_path: Path) -> None:
    tuples = _write(tmp_path / "t.h5")
    rrtool.report((tuples,), tmp_path / "t.html", images=images)
    page = (tmp_path / "t.html").read_text()
    assert "Positives of 5 mined queries" in page
    first, *others = re.findall(r"<section>.*?</section>", page, re.DOTALL)
    assert len(others) == 4
    # Of the first those of most inliers first, with their rank by similarity.
    made = r"inliers (\d+)</span>\s*<span class=\"made\">similarity ([\d.]+) \(no. (\d)"
    shown = re.findall(made, first)
    assert shown[::2] == [("12", "0.250", "2"), ("7", "0.500", "1")]  # on the card, then opened
    assert "2 matches: 7 or more inliers" in first
    assert "1 of them hard" in first
    assert "001.png (hard)" in first
    assert "(hard)" not in others[-1]
    assert page.count("<image ") == len(NAMES)


def test_page_shows_no_more_queries_than_asked_for(images: Path, tmp_path: Path) -> None:
    tuples = _write(tmp_path / "t.h5")
    rrtool.report((tuples,), tmp_path / "t.html", images=images, max_queries=2)
    page = (tmp_path / "t.html").read_text()
    assert page.count("<section>") == 2
    assert "2 of 5, evenly spaced" in page


def test_tuples_that_are_not_mined_are_refused(images: Path, tmp_path: Path) -> None:
    labelled = _write(tmp_path / "t.h5", pair_scores=None, pair_kinds=None, n_inliers=None)
    with pytest.raises(UsageError, match="do not say what matches"):
        rrtool.report((labelled,), tmp_path / "t.html", images=images)
    with pytest.raises(UsageError, match="--images"):
        rrtool.report((labelled,), tmp_path / "t.html")
    for number, mined in enumerate(({}, [1], {**MINED, "level": "x"})):
        damaged = _write(tmp_path / f"{number}.h5", mined)
        with pytest.raises(ArtifactError):
            rrtool.report((damaged,), tmp_path / "t.html", images=images)
    assert not (tmp_path / "t.html").exists()
