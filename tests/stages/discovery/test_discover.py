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
from rrtool.core.diffusion.verified_lists import Chance
from rrtool.core.matching.local_features import LocalFeatures
from rrtool.core.matching.spatial_matching import MatchingOptions, match
from rrtool.stages.discovery import verify_regions
from tests.stages.damaging import edited
from tests.stages.made_features import NETWORK, OPTIONS
from tests.stages.made_local import CELLS, NONE, made_object, read_local, seen, write_local
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
            "min_images": 3, "quantile": 0.0, "cohesion": 0.5, "overlap": 0.5, "merge": False,
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


# What two of the images show in their region is another thing that looks alike.
OTHERS = (1, 4)


@pytest.fixture(scope="module")
def local(made: Path) -> Path:
    """One thing in the region of each photo, but of ``OTHERS``, and clutter beside it."""
    images = []
    for row in range(N_IMAGES):
        shown = made_object(50 + row if row in OTHERS else 1, n=40, size=14)
        images.append(np.concatenate([shown, seen(made_object(70 + row, n=9, size=6), 30, 10)]))
    return write_local(made / "l.h5", [f"{i}.png" for i in range(N_IMAGES)], images)


def links_by_hand(made: Path, local: Path) -> dict[tuple[int, int], int]:
    """Inliers of each two regions, with the features in a box of three times the size."""
    with open_artifact(made / "r.h5", Regions) as regions:
        boxes, features = regions.region_boxes, read_local(local)
    parts = []
    for region, box in enumerate(boxes):
        rows = np.arange(*features.offsets[[region // 2, region // 2 + 1]])
        pixels = (features.means[rows] + 0.5) / np.float64(CELLS) * 100
        middle, half = (box[:2] + box[2:]) / 2, 1.5 * (box[2:] - box[:2])
        parts.append(rows[(abs(pixels - middle) <= half).all(axis=1)])
    rows = np.concatenate(parts)
    own = LocalFeatures(
        features.means[rows], features.covariances[rows], features.strengths[rows],
        features.channels[rows], np.concatenate([[0], np.cumsum(list(map(len, parts)))]), 1,
    )  # fmt: skip
    options = MatchingOptions(one_to_one=True)
    return {
        (i, j): int(match(own, i, own, np.array([j]), options).n_inliers[0])
        for i in range(len(boxes)) for j in range(i + 1, len(boxes))
    }  # fmt: skip


def test_verified_objects_leave_out_what_only_looks_alike(
    made: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six photos prove nothing by themselves; here it is said how much is chance.
    level, asked = 25, []
    monkeypatch.setattr(
        verify_regions, "chance_of",
        lambda listed, drawn, most: asked.append(listed) or Chance(level, 0.5),
    )  # fmt: skip
    result = discover(made, tmp_path / "o.h5", "--quantile", 0, "--verify", local)
    assert_done(result)
    by_hand = links_by_hand(made, local)
    with open_artifact(tmp_path / "o.h5", Objects) as objects:
        (listed,) = asked
        shared = [count for (i, j), count in by_hand.items() if i % 2 == j % 2 == 0]
        assert sorted(listed.tolist()) == sorted(shared)
        good = [i for i in range(N_IMAGES) if i not in OTHERS]
        assert all(
            (by_hand[2 * i, 2 * j] > level) == (not {i, j} & set(OTHERS))
            for i in range(N_IMAGES) for j in range(i + 1, N_IMAGES)
        )  # fmt: skip
        assert objects.offsets.tolist() == [0, len(good)]
        assert sorted(objects.images.tolist()) == good
        assert objects.extra["verification"]["n_verified"] == 6
    assert "6 of 15 pairs of regions match" in result.stderr


def test_few_photos_verify_nothing(made: Path, local: Path, tmp_path: Path) -> None:
    assert_done(discover(made, tmp_path / "o.h5", "--quantile", 0, "--verify", local))
    with open_artifact(tmp_path / "o.h5", Objects) as objects:
        assert objects.offsets.tolist() == [0]


def test_discover_merges_what_keeps_its_place(
    made: Path, local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both regions of every photo are shared here: two objects, at a steady place to each other."""
    with open_artifact(made / "r.h5", Regions) as regions:
        vectors = regions.descriptors.copy()
    vectors[1::2] = np.roll(vectors[::2], 8, axis=1)
    shutil.copy(made / "r.h5", tmp_path / "r.h5")
    with edited(tmp_path / "r.h5") as file:
        file["descriptors"][...] = vectors
    library.build_graph(tmp_path / "r.h5", tmp_path / "g.h5", k=5, device="cpu")
    library.centrality(tmp_path / "g.h5", tmp_path / "c.h5", measure="degree")
    assert_done(discover(tmp_path, tmp_path / "o.h5", "--quantile", 0))
    assert_done(discover(tmp_path, tmp_path / "m.h5", "--quantile", 0, "--merge"))
    with (
        open_artifact(tmp_path / "o.h5", Objects) as apart,
        open_artifact(tmp_path / "m.h5", Objects) as merged,
    ):
        assert np.diff(apart.offsets).tolist() == [N_IMAGES, N_IMAGES]
        assert np.diff(merged.offsets).tolist() == [N_IMAGES]
        assert (merged.boxes == [0, 0, 90, 90]).all()
        assert merged.extra["n_objects"] == 1
    # What tells chance: all pairs of the one thing with the other, but for those of one photo.
    asked = []
    monkeypatch.setattr(
        verify_regions, "chance_of", lambda *counts: asked.append(counts) or Chance(0, 0.5)
    )
    assert_done(discover(tmp_path, tmp_path / "v.h5", "--quantile", 0, "--verify", local))
    assert list(map(len, asked[0][:2])) == [30, 30]


def test_local_features_of_others_are_refused(made: Path, tmp_path: Path) -> None:
    others = write_local(tmp_path / "l.h5", [f"x{i}.png" for i in range(N_IMAGES)], [NONE] * 6)
    result = discover(made, tmp_path / "o.h5", "--verify", others)
    assert_fails(result, 4, "about other images")


def labelled(path: Path, *rows: str) -> Path:
    path.write_text("name,label\n" + "".join(f"{row}\n" for row in rows), "utf-8")
    return path


def test_labels_of_some_photos_reach_the_regions_that_look_alike(
    made: Path, tmp_path: Path
) -> None:
    """One thing is in all photos, and photo 5 alone has a region that photo 0 has too."""
    labels = labelled(tmp_path / "l.csv", "0.png,mug", "3.png,mug", "elsewhere.png,cup")
    result = discover(made, tmp_path / "o.h5", "--quantile", 0, "--labels", labels)
    assert_done(result)
    assert "1 labels are of no photo here" in result.stderr
    assert "2 labels of 1 classes: 1 of 1 objects and 8 of 12 regions" in result.stderr
    with open_artifact(tmp_path / "o.h5", Objects) as objects:
        assert objects.class_names == ["mug"]
        assert objects.classes.tolist() == [0]
        assert objects.labels() == ["mug"]
        # The shared regions, and the lone ones of the labelled photos themselves.
        reached = [0 if row % 2 == 0 or row in (1, 7) else -1 for row in range(2 * N_IMAGES)]
        assert objects.region_classes.tolist() == reached
        assert objects.class_shares.tolist() == [1]
        assert [row[-1] for row in objects.rows()] == ["class", *["mug"] * N_IMAGES]
    folder = library.export(tmp_path / "o.h5", tmp_path / "y", format="yolo")
    assert (folder / "classes.txt").read_text() == "mug\n"
    # Another label of the same file: other objects are asked for.
    labelled(labels, "0.png,cup")
    words = (made, tmp_path / "o.h5", "--quantile", 0, "--labels", labels)
    assert_fails(discover(*words), 4, "made from other --labels, or")


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        (["x.png,mug"], "no label is of one of these photos"),
        ([], "no label is of one of these photos"),
        (["0.png,mug", "0.png,cup"], "a photo has two labels"),
    ],
)
def test_labels_that_cannot_be_used_are_one_line(
    made: Path, tmp_path: Path, rows: list[str], what: str
) -> None:
    labels = labelled(tmp_path / "l.csv", *rows)
    assert_fails(discover(made, tmp_path / "o.h5", "--labels", labels), 2, what)
    assert not (tmp_path / "o.h5").exists()
