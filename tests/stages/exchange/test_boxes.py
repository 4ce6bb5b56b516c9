"""export of objects and salient regions: COCO, YOLO and VOC, read as their readers do."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import rrtool
from rrtool.artifacts import Provenance, create
from rrtool.artifacts.kinds import Objects, Regions, Saliency
from rrtool.errors import UsageError
from rrtool.ground_truth.boxes import load_boxes
from tests.stages.made_features import OPTIONS, write_regions
from tests.tiny import assert_done, assert_fails
from tests.tiny import rrtool as run

NAMES = ["a.jpg", "shop/b & <c>.png", "d.e.jpg"]
BOXES = np.array([[0.1, 3.7, 50.3, 60], [1, 2, 1023.4, 768], [5, 5, 6.5, 7]], np.float32)
SIZE = np.array([1024, 768])


def write_objects(
    path: Path,
    names: Sequence[str] = NAMES,
    *,
    boxes: np.ndarray = BOXES,
    sizes: np.ndarray | None = None,
) -> Path:
    """Object 1 is seen in the photos 0 and 2, object 2 in photo 1."""
    sizes = np.tile(SIZE, (len(names), 1)) if sizes is None else sizes
    columns = Objects.columns(
        names=names, image_sizes=sizes.astype(np.int32), boxes=boxes,
        regions=np.array([4, 9, 2]), weights=np.array([1, 0.5, 1], np.float32),
        images=np.array([0, 2, 1], np.int32), offsets=np.array([0, 2, 3]),
    )  # fmt: skip
    facts = {"n_objects": 2, "largest": 2, "n_images_with_objects": 3, "n_images": 3,
             "description": {}}  # fmt: skip
    with create(path, Provenance("objects", {"min_images": 2}), overwrite=True) as target:
        target.publish(columns, extra=facts)
    return path


def read_yolo(folder: Path, name: str, size: Sequence[int]) -> list[tuple[str, list[float]]]:
    """Classes and boxes (x0, y0, x1, y1) in pixels, as a trainer has them."""
    classes = (folder / "classes.txt").read_text("utf-8").splitlines()
    path = (folder / "labels" / name).with_suffix(".txt")
    found = []
    for line in path.read_text("ascii").splitlines():
        number, *shares = line.split()
        x, y, width, height = np.float64(shares) * np.tile(size, 2)
        box = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
        found.append((classes[int(number)], box))
    return found


def read_voc(folder: Path, stem: str) -> tuple[dict[str, str | None], list[list[int]]]:
    """All texts by their tags, and the boxes."""
    path = folder / "Annotations" / f"{stem}.xml"
    root = ElementTree.parse(path).getroot()  # noqa: S314 - our own file
    corners = [[element.text for element in box] for box in root.iter("bndbox")]
    tags = {tuple(element.tag for element in box) for box in root.iter("bndbox")}
    assert tags <= {("xmin", "ymin", "xmax", "ymax")}
    return {element.tag: element.text for element in root.iter()}, np.int64(corners).tolist()


def test_coco_of_objects_comes_back_as_it_went(tmp_path: Path) -> None:
    path = rrtool.export(write_objects(tmp_path / "o.h5"), tmp_path / "o.json")
    found = load_boxes(str(path))
    assert [box.name for box in found] == [NAMES[0], NAMES[2], NAMES[1]]
    np.testing.assert_array_equal(np.array([box.box for box in found], np.float32), BOXES)
    content = json.loads(path.read_text())
    assert content["images"][1] == {
        "id": 1, "file_name": NAMES[1], "width": 1024, "height": 768,
    }  # fmt: skip
    assert [one["category_id"] for one in content["annotations"]] == [1, 1, 2]
    assert [one["name"] for one in content["categories"]] == ["object 1", "object 2"]


def test_yolo_of_objects_is_a_text_a_photo_with_shares_of_its_size(tmp_path: Path) -> None:
    folder = rrtool.export(write_objects(tmp_path / "o.h5"), tmp_path / "y", format="yolo")
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*.txt")) == [
        "classes.txt", "labels/a.txt", "labels/d.e.txt", "labels/shop/b & <c>.txt",
    ]  # fmt: skip
    for name, label, box in zip((NAMES[0], NAMES[2], NAMES[1]), (1, 1, 2), BOXES, strict=True):
        ((found, pixels),) = read_yolo(folder, name, SIZE)
        assert found == f"object {label}"
        np.testing.assert_allclose(pixels, box, atol=2e-3)  # six digits of 1024
    # By hand: 5 to 6.5 of 1024, 5 to 7 of 768.
    line = (folder / "labels/shop/b & <c>.txt").read_text()
    assert line == "1 0.005615 0.007812 0.001465 0.002604\n"
    assert (folder / "data.yaml").read_text().splitlines() == [
        "path: .", "train: images", "val: images", "names:", '  0: "object 1"', '  1: "object 2"',
    ]  # fmt: skip


def test_voc_of_objects_is_an_xml_a_photo_that_counts_pixels_from_1(tmp_path: Path) -> None:
    folder = rrtool.export(write_objects(tmp_path / "o.h5"), tmp_path / "v", format="voc")
    expected = {"a": (1, 4, 51, 60), "d.e": (2, 3, 1024, 768), "shop/b & <c>": (6, 6, 7, 7)}
    for (stem, pixels), name in zip(expected.items(), (NAMES[0], NAMES[2], NAMES[1]), strict=True):
        texts, boxes = read_voc(folder, stem)
        assert [texts[tag] for tag in ("width", "height", "depth")] == ["1024", "768", "3"]
        assert "/".join(filter(None, (texts["folder"], texts["filename"]))) == name
        assert boxes == [list(pixels)]
        assert texts["name"] == f"object {1 + (name == NAMES[1])}"


@pytest.mark.parametrize("form", ["yolo", "voc"])
def test_boxes_are_cut_at_the_border_and_photos_that_were_not_read_have_no_file(
    tmp_path: Path, form: str
) -> None:
    sizes = np.array([[100, 50], [10, 10], [0, 0]])
    boxes = np.array([[-5, 10, 130, 60], [0, 0, 5, 5], [20, 20, 30, 30]], np.float32)
    path = write_objects(tmp_path / "o.h5", boxes=boxes, sizes=sizes)
    folder = rrtool.export(path, tmp_path / "x", format=form)
    assert not list(folder.rglob("d.e*"))
    if form == "yolo":
        ((_, box),) = read_yolo(folder, NAMES[0], sizes[0])
        np.testing.assert_allclose(box, [0, 10, 100, 50])
        assert (folder / "labels/shop/b & <c>.txt").read_text() == ""  # nothing is left of it
    else:
        assert read_voc(folder, "a")[1] == [[1, 11, 100, 50]]


@pytest.mark.parametrize(
    ("names", "form", "what"),
    [
        (["a.jpg", "a.png", "b"], "yolo", "two images would have one .txt file"),
        (["a.jpg", "a.png", "b"], "voc", "two images would have one .xml file"),
        (["a", "a.txt/b.png", "c"], "yolo", "a file of labels would be a folder, too"),
        (["a\x01.jpg", "b", "c"], "voc", r"XML cannot write this name.*'\\x01' in 'a"),
        (["a\udcff.jpg", "b", "c"], "voc", r"XML cannot write this name.*'\\udcff' in 'a"),
        (["/p/a.jpg", "b", "c"], "yolo", "leads out of the folder.*'/p/a.jpg'"),
        (["../p/a.jpg", "b", "c"], "voc", "leads out of the folder"),
    ],
)
def test_name_that_a_form_has_no_place_for_is_one_line(
    tmp_path: Path, names: list[str], form: str, what: str
) -> None:
    path = write_objects(tmp_path / "o.h5", names)
    with pytest.raises(UsageError, match=what):
        rrtool.export(path, tmp_path / "x", format=form)
    assert not (tmp_path / "x").exists()
    assert_fails(run("export", path, "-o", tmp_path / "x", "--format", form), 2)
    assert_done(run("export", path, "-o", tmp_path / "x.json"))  # COCO writes every name


@pytest.mark.parametrize("folder", ["/far/away/", "../photos/"])
def test_names_of_a_list_are_written_without_the_folders_that_all_share(
    tmp_path: Path, folder: str
) -> None:
    path = write_objects(tmp_path / "o.h5", [folder + name for name in NAMES])
    written = rrtool.export(path, tmp_path / "x", format="yolo")
    assert (written / "labels/shop/b & <c>.txt").is_file()
    assert (written / "labels/a.txt").is_file()


def test_folder_of_labels_is_completed_and_what_people_changed_is_kept(tmp_path: Path) -> None:
    words = ("export", write_objects(tmp_path / "o.h5"), "-o", tmp_path / "x", "--format", "voc")
    told = run(*words, "--dry-run")
    assert_done(told)
    assert told.stderr.count("would be written") == 3
    assert not (tmp_path / "x").exists()
    assert_done(run(*words))
    assert "is up to date" in run(*words).stderr
    (tmp_path / "x/Annotations/a.xml").unlink()
    assert_done(run(*words))
    (tmp_path / "x/Annotations/a.xml").write_text("by hand")
    assert_fails(run(*words), 2, "the output exists and has another content")
    assert (tmp_path / "x/Annotations/a.xml").read_text() == "by hand"
    assert_done(run(*words, "--overwrite"))
    (tmp_path / "file").write_text("mine")
    words = (*words[:3], tmp_path / "file", *words[4:], "--overwrite")
    assert_fails(run(*words), 2, "the output is a file")
    assert_fails(run(*words[:3], tmp_path / "no/such", *words[4:]), 2, "no such folder")


@pytest.mark.parametrize("kind", [Regions, Saliency])
def test_saliency_gives_the_regions_that_count_and_each_place_once(
    tmp_path: Path, kind: type
) -> None:
    """Of photo 0: the heaviest, not its double at another scale, not a faint one, and another."""
    boxes = [[10, 10, 50, 50], [11, 11, 50, 50], [0, 0, 9, 9], [60, 60, 90, 90], [1, 1, 5, 5]]
    columns = {
        "names": ["a.jpg", "b.jpg", "c.jpg"], "reasons": ["", "", "broken"],
        "status": np.uint8([0, 0, 1]), "image_sizes": np.int32([[100, 100]] * 2 + [[0, 0]]),
        "boxes": np.zeros((3, 4), np.float32), "file_signatures": np.zeros((3, 2), np.int64),
        "region_boxes": np.float32(boxes), "offsets": np.array([0, 4, 5, 5]),
        "region_weights": np.float32([0.6, 0.5, 0.1, 0.2, 0.01]),
    }  # fmt: skip
    if kind is Regions:
        columns["descriptors"] = np.eye(5, 4, dtype=np.float32)
    provenance = Provenance(kind.KIND, {**OPTIONS, "regions": "saliency"})
    with create(tmp_path / "s.h5", provenance) as target:
        target.publish(kind.columns(**columns), extra={"n_channels": 4})
    folder = rrtool.export(tmp_path / "s.h5", tmp_path / "y", format="yolo")
    found = [box for _, box in read_yolo(folder, "a.jpg", (100, 100))]
    np.testing.assert_allclose(found, [boxes[0], boxes[3]], atol=1e-3)
    assert len(read_yolo(folder, "b.jpg", (100, 100))) == 1  # faint, but all there is
    assert not (folder / "labels/c.txt").exists()
    content = json.loads(rrtool.export(tmp_path / "s.h5", tmp_path / "s.json").read_text())
    assert [one["score"] for one in content["annotations"]] == np.float32([0.6, 0.2, 0.01]).tolist()
    assert [one["name"] for one in content["categories"]] == ["salient"]


def test_regions_of_no_saliency_have_nothing_to_give(tmp_path: Path) -> None:
    path = write_regions(tmp_path / "r.h5", np.eye(4), [2, 2])
    assert_fails(
        run("export", path, "-o", tmp_path / "x.json"),
        2,
        "these regions were not found by saliency",
    )
