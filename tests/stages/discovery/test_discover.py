"""discover: its options, and artifacts that do not belong together or are damaged."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import Result

import rrtool as library
from rrtool.artifacts import Provenance, create, open_artifact
from rrtool.artifacts.kinds import Objects, Regions
from tests.stages.damaging import edited
from tests.stages.made_features import NETWORK, OPTIONS
from tests.tiny import assert_done, assert_fails, leftovers, rrtool

N_IMAGES = 6


def discover(made: Path, output: Path, *options: object, **inputs: Path) -> Result:
    return rrtool(
        "discover", inputs.get("regions", made / "r.h5"), "-o", output,
        "--graph", inputs.get("graph", made / "g.h5"),
        "--centrality", inputs.get("centrality", made / "c.h5"), *options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images of one region that all share and one of its own each; graph and centrality."""
    folder = tmp_path_factory.mktemp("discover")
    generator = np.random.default_rng(0)
    vectors = np.zeros((2 * N_IMAGES, 16))
    vectors[::2, N_IMAGES:] = 1 + 0.1 * generator.normal(size=(N_IMAGES, 16 - N_IMAGES))
    vectors[1::2, :N_IMAGES] = np.eye(N_IMAGES)  # like nothing else
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    boxes = np.tile(np.array([[0, 0, 40, 40], [50, 50, 90, 90]], np.float32), (N_IMAGES, 1))
    columns = Regions.columns(
        names=[f"{i}.png" for i in range(N_IMAGES)],
        reasons=[""] * N_IMAGES,
        status=np.zeros(N_IMAGES, np.uint8),
        image_sizes=np.full((N_IMAGES, 2), 100, np.int32),
        boxes=np.tile(np.float32([0, 0, 100, 100]), (N_IMAGES, 1)),
        file_signatures=np.zeros((N_IMAGES, 2), np.int64),
        descriptors=vectors.astype(np.float32),
        region_boxes=boxes,
        offsets=np.arange(0, 2 * N_IMAGES + 1, 2),
    )
    provenance = Provenance("regions", {**OPTIONS, "regions": "made"}, [], NETWORK)
    with create(folder / "r.h5", provenance) as output:
        output.publish(columns, extra={"n_channels": 16})
    library.build_graph(folder / "r.h5", folder / "g.h5", k=8, device="cpu")
    library.centrality(folder / "g.h5", folder / "c.h5", measure="degree")
    return folder


def test_discover_finds_the_region_that_all_images_share(made: Path, tmp_path: Path) -> None:
    assert_done(discover(made, tmp_path / "o.h5", "--quantile", 0))
    with open_artifact(tmp_path / "o.h5", Objects) as objects:
        assert objects.offsets.tolist() == [0, N_IMAGES]
        assert sorted(objects.regions.tolist()) == list(range(0, 2 * N_IMAGES, 2))
        assert sorted(objects.images.tolist()) == list(range(N_IMAGES))
        assert (objects.boxes == [0, 0, 40, 40]).all()
        assert objects.options == {
            "min_images": 3, "quantile": 0.0, "cohesion": 0.5, "overlap": 0.5
        }  # fmt: skip


@pytest.mark.parametrize(
    ("option", "value", "limits"),
    [
        ("--min-images", 1, "at least 2"),
        ("--quantile", 2, "0 to 1"),
        ("--quantile", "nan", "0 to 1"),
        ("--cohesion", -0.1, "0 to 1"),
        ("--overlap", 1.5, "0 to 1"),
    ],
)
def test_discover_option_out_of_range_is_named(
    made: Path, tmp_path: Path, option: str, value: object, limits: str
) -> None:
    result = discover(made, tmp_path / "o.h5", option, value)
    assert_fails(result, 2, f"bad {option} (expected {limits}, found {value}")


@pytest.mark.parametrize(
    ("key", "source", "name", "value"),
    [
        ("centrality", "c.h5", "centrality", np.nan),
        ("centrality", "c.h5", "centrality", -1),
        ("graph", "g.h5", "indices", 99),
        ("graph", "g.h5", "weights", np.nan),
        ("regions", "r.h5", "offsets", 1),
        ("regions", "r.h5", "region_boxes", np.nan),
    ],
)
def test_discover_damaged_input_is_an_artifact_error(
    made: Path, tmp_path: Path, key: str, source: str, name: str, value: float
) -> None:
    path = tmp_path / source
    shutil.copy(made / source, path)
    with edited(path) as file:
        file[name][(0,) * file[name].ndim] = value
    assert_fails(discover(made, tmp_path / "o.h5", "-q", **{key: path}), 4)
    assert leftovers(tmp_path) == []


def test_discover_artifacts_of_others_are_refused(made: Path, tmp_path: Path) -> None:
    library.build_graph(made / "r.h5", tmp_path / "g.h5", k=2, device="cpu")
    library.centrality(tmp_path / "g.h5", tmp_path / "c.h5", measure="degree")
    output = tmp_path / "o.h5"
    result = discover(made, output, centrality=tmp_path / "c.h5")
    assert_fails(result, 4, "the centrality is not that of this graph", "run centrality")
    shutil.copy(made / "c.h5", tmp_path / "short.h5")
    with edited(tmp_path / "short.h5") as file:
        for name in ("centrality", "status"):
            values = file[name][:-1]
            del file[name]
            file[name] = values
    result = discover(made, output, centrality=tmp_path / "short.h5")
    assert_fails(result, 4, "the centrality is not that of this graph")
    assert_fails(discover(made, output, graph=made / "c.h5"), 4, "another kind", "expected graph")
