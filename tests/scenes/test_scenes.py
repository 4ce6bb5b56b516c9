"""The made-up scenes: the same every time, and the boxes hold what they claim to."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from rrtool.ground_truth import load
from rrtool.ground_truth.boxes import load_boxes, match_boxes
from rrtool.images.listing import list_images
from rrtool.scenes import make_scenes
from rrtool.scenes.scenes import plant, random_corners

FEW: dict[str, Any] = {
    "n_objects": 2,
    "n_views": 3,
    "n_queries": 1,
    "n_distractors": 2,
    "size": 96,
}


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_make_scenes_gives_the_same_bytes_for_a_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make_scenes(tmp_path / name, seed=seed, **FEW)
    first, again, other = (contents(tmp_path / name) for name in "abc")
    assert first == again
    images = [name for name in first if name.endswith(".jpg")]
    assert len(images) == len({first[name] for name in images}) == 8
    assert not any(first[name] == other[name] for name in images)


def test_make_scenes_again_touches_nothing(tmp_path: Path) -> None:
    scenes = make_scenes(tmp_path, seed=1, **FEW)
    paths = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    before = [path.stat().st_mtime_ns for path in paths]
    assert make_scenes(tmp_path, seed=1, **FEW) == scenes
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_make_scenes_with_more_of_all_keeps_the_others(tmp_path: Path) -> None:
    make_scenes(tmp_path / "few", seed=1, **FEW)
    more = FEW | {"n_objects": 3, "n_views": 4, "n_distractors": 3}
    make_scenes(tmp_path / "more", seed=1, **more)
    few, more_files = contents(tmp_path / "few/images"), contents(tmp_path / "more/images")
    assert few.items() <= more_files.items()


def test_make_scenes_truth_fits_the_images(tmp_path: Path) -> None:
    scenes = make_scenes(tmp_path, seed=2, **FEW)
    names = list_images(str(scenes.images)).names
    assert len(names) == 8
    queries = load_boxes(str(scenes.boxes))
    assert [query.name for query in queries] == ["object_00_view_0.jpg", "object_01_view_0.jpg"]
    boxes = match_boxes(load_boxes(str(scenes.all_boxes)), names)
    assert [len(found) for found in boxes] == [name.startswith("object") for name in names]
    truth = load(str(scenes.groups)).resolve([query.name for query in queries], names)["all"]
    assert [names[row] for row in truth[0].positives] == [f"object_00_view_{i}.jpg" for i in (1, 2)]
    assert [names[row] for row in truth[0].junk] == ["object_00_view_0.jpg"]
    # The names of the views alone say the same.
    views = [name for name in names if name.startswith("object")]
    by_name = load(r"prefix:^(object_\d+)").resolve(views[:1], views)["all"]
    assert len(by_name[0].positives) == 2


def test_make_scenes_distractors_have_an_empty_label(tmp_path: Path) -> None:
    scenes = make_scenes(tmp_path, seed=2, **FEW)
    with scenes.groups.open(newline="") as file:
        labels = {row["name"]: row["label"] for row in csv.DictReader(file)}
    assert labels["distractor_01.jpg"] == ""
    assert labels["object_01_view_2.jpg"] == "object_01"


def test_plant_box_is_where_the_picture_changes() -> None:
    rng = np.random.default_rng(3)
    background = Image.new("RGB", (120, 90), "black")
    poster = Image.new("RGB", (64, 64), "white")
    for _ in range(50):
        image, box = plant(background, poster, random_corners(rng, background.size, 0.8))
        assert image.convert("L").point(lambda level: 255 * (level > 0)).getbbox() == box
        assert 0 <= box[0] < box[2] <= 120
        assert 0 <= box[1] < box[3] <= 90


def test_plant_upright_hand_worked() -> None:
    # Four coloured quarters, laid over the pixels 10…29 × 20…39.
    quarters = Image.new("RGB", (2, 2))
    quarters.putdata([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)])
    poster = quarters.resize((40, 40), Image.Resampling.NEAREST)
    corners = np.array([(10, 20), (30, 20), (30, 40), (10, 40)], dtype=np.float64)
    image, box = plant(Image.new("RGB", (60, 60)), poster, corners)
    assert box == (10, 20, 30, 40)
    assert image.getpixel((14, 24)) == (255, 0, 0)
    assert image.getpixel((25, 24)) == (0, 255, 0)
    assert image.getpixel((14, 35)) == (0, 0, 255)
    assert image.getpixel((25, 35)) == (255, 255, 255)
    assert image.getpixel((9, 30)) == image.getpixel((30, 30)) == (0, 0, 0)


def test_random_corners_stay_upright_and_inside() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        top_left, top_right, bottom_right, bottom_left = random_corners(rng, (100, 80), 0.8)
        assert top_left[0] < top_right[0]
        assert bottom_left[0] < bottom_right[0]
        assert top_left[1] < bottom_left[1]
        assert top_right[1] < bottom_right[1]
        corners = np.stack([top_left, top_right, bottom_right, bottom_left])
        assert (corners >= 0).all()
        assert (corners <= (100, 80)).all()
