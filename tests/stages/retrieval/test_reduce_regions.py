"""Fewer regions an image, through the command line, and what search and diffuse make of them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Ranking, Regions, open_any
from rrtool.core.retrieval.region_reduction import reduce_regions
from tests.tiny import assert_done, assert_fails, digest_of, extract, leftovers, picture, rrtool

BAD = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Regions of six pictures, one of them broken, and those reduced to three an image."""
    folder = tmp_path_factory.mktemp("reduced")
    (folder / "photos").mkdir()
    for i in range(6):
        picture(i % 3, (72 + 8 * i, 64)).save(folder / "photos" / f"{i}.png")
    (folder / "photos" / f"{BAD}.png").write_bytes(b"no picture")
    assert extract(folder / "photos", folder / "r.h5", "--regions", 2).exit_code == 3
    assert_done(rrtool("reduce-regions", folder / "r.h5", "-o", folder / "r3.h5", "--n-regions", 3))
    return folder


def test_reduce_regions_reduces_each_image_by_itself(made: Path) -> None:
    with open_any(made / "r.h5") as before, open_artifact(made / "r3.h5", Regions) as after:
        old, new = before.offsets, after.offsets
        assert np.diff(new).tolist() == [0 if row == BAD else 3 for row in range(6)]
        vectors, boxes = before.descriptors, before.region_boxes
        for row, (first, last) in enumerate(pairwise(old)):
            expected = reduce_regions(vectors[first:last], 3, np.random.default_rng(0))
            own = slice(*new[row : row + 2].tolist())
            np.testing.assert_array_equal(after.descriptors[own], expected.descriptors)
            for box, members in zip(after.region_boxes[own], expected.members.T, strict=True):
                x0, y0, x1, y1 = boxes[first:last][members].T
                assert box.tolist() == [x0.min(), y0.min(), x1.max(), y1.max()]
        for name in ("status", "boxes", "image_sizes", "file_signatures", "names/bytes"):
            np.testing.assert_array_equal(after.read_named(name), before.read_named(name))
        assert after.options["regions"] == "uniform, 2 levels, GMM 3"
        assert Regions.region_scales not in after


def test_reduced_regions_are_searched_and_diffused(made: Path, tmp_path: Path) -> None:
    pair = (made / "r3.h5", made / "r3.h5")
    assert_done(rrtool("search", *pair, "-o", tmp_path / "s.h5", "--regional"))
    assert_done(rrtool("build-graph", made / "r3.h5", "-o", tmp_path / "g.h5", "--k", 4))
    assert_done(
        rrtool(
            "diffuse", "--graph", tmp_path / "g.h5", "--queries", made / "r3.h5",
            "--database", made / "r3.h5", "-o", tmp_path / "d.h5",
        )
    )  # fmt: skip
    for name, method in (("s.h5", "R-Match"), ("d.h5", "R-Match + D")):
        with open_artifact(tmp_path / name, Ranking) as ranking:
            description = ranking.extra["description"]
            assert description["method"] == method
            assert description["described_by"] == "uniform, 2 levels, GMM 3"
            assert description["vectors_per_image"] == 3
            ids = ranking.ids
            assert (ids[BAD] == -1).all()
            good = np.delete(np.arange(6), BAD)
            np.testing.assert_array_equal(np.sort(ids[good], axis=1), np.tile(good, (5, 1)))
    with open_any(tmp_path / "s.h5") as ranking:
        ids, similarities = ranking.ids, ranking.similarities
        own = ids == np.arange(6)[:, None]
        np.testing.assert_allclose(similarities[own], 1, atol=1e-5)


def test_reduce_regions_again_is_up_to_date(made: Path, tmp_path: Path) -> None:
    command = ("reduce-regions", made / "r.h5", "-o", tmp_path / "r3.h5")
    assert_done(rrtool(*command, "--n-regions", 3))
    assert digest_of(tmp_path / "r3.h5") == digest_of(made / "r3.h5")
    assert "is up to date" in rrtool(*command, "--n-regions", 3).stderr
    assert_fails(rrtool(*command, "--n-regions", 2, "-q"), 4, "another --n-regions")
    assert_fails(rrtool(*command, "--n-regions", 3, "--seed", 1, "-q"), 4, "another --seed")
    assert leftovers(tmp_path) == []


def test_reduce_regions_bad_input(made: Path, tmp_path: Path) -> None:
    output = ("-o", tmp_path / "x.h5")
    command = ("reduce-regions", made / "r.h5", *output, "--n-regions")
    assert_fails(rrtool(*command, 0), 2, "--n-regions", "at least 1")
    assert_fails(rrtool(*command, 2, "--seed", -1), 2, "--seed")
    assert extract(made / "photos", tmp_path / "f.h5").exit_code == 3
    features = ("reduce-regions", tmp_path / "f.h5", *output, "--n-regions", 2)
    assert_fails(rrtool(*features), 4, "expected regions, found features")
    assert_fails(rrtool("reduce-regions", made / "no.h5", *output, "--n-regions", 2), 2, "no.h5")
