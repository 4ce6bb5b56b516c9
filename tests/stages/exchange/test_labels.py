"""Labels of other programs: hand-made files of each form, round trips, what is refused."""

from __future__ import annotations

import copy
import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

import rrtool
from rrtool.artifacts.kinds import AlState
from rrtool.errors import UsageError
from rrtool.ground_truth.boxes import load_boxes
from rrtool.stages.learning.labels import TakenLabels, labels_input, read_truth, take_labels
from tests.stages.learning.made_state import write_state
from tests.tiny import assert_done, assert_fails
from tests.tiny import rrtool as run
from tests.training.tiny_images import as_dataset

NAMES = ["a.jpg", "shop/my mug.jpg", "shop/c.png", "e,f.png", "schön.jpg"]
CLASSES = ["cup", "tea pot", "<b>&\"'", "=1+1", "Käse, alt"]
LABELS = {0: "cup", 1: "tea pot", 4: "cup"}


def take(path: Path | str, names: list[str] = NAMES, classes: tuple[str, ...] = ()) -> TakenLabels:
    n = len(names)
    images = as_dataset(np.zeros((n, 1, 1, 1), np.uint8), np.full(n, -1, np.int32))
    return take_labels(path, replace(images, names=names, reasons=[""] * n), classes)


def by_row(taken: TakenLabels) -> dict[int, str]:
    labels = [taken.class_names[label] for label in taken.labels.tolist()]
    return dict(zip(taken.rows.tolist(), labels, strict=True))


def write_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def annotation(*choices: str, cancelled: bool = False, question: str = "choice") -> dict[str, Any]:
    """As Label Studio exports it, what is of no use to us included."""
    result = {"id": "Dx_aB91ISN", "from_name": question, "to_name": "image", "type": "choices",
              "origin": "manual", "value": {"choices": list(choices)}}  # fmt: skip
    return {"id": 1001, "completed_by": 1, "was_cancelled": cancelled, "ground_truth": False,
            "lead_time": 4.288, "result": [result] if choices else []}  # fmt: skip


def task(number: int, image: str, *annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "annotations": list(annotations),
        "drafts": [],
        "predictions": [],
        "data": {"image": image},
        "project": 7,
        "total_annotations": len(annotations),
        **more,
    }


# Local files, a file that was uploaded, a bucket, and what nobody has answered yet.
TASKS = [
    task(41, "/data/local-files/?d=photos/a.jpg", annotation("cup"), annotation("cup")),
    task(42, "/data/local-files/?d=photos%2Fshop%2Fmy%20mug.jpg", annotation("tea pot")),
    task(43, "s3://bucket/shop/c.png", predictions=[annotation("cup")], drafts=[annotation("cup")]),
    task(45, "/data/upload/7/1a2b3c4d-sch%C3%B6n.jpg", annotation("cup"),
         file_upload="1a2b3c4d-schön.jpg"),
]  # fmt: skip


def test_label_studio_gives_completed_annotations_alone(tmp_path):
    for name in ("export.json", "export.txt"):  # by its content
        taken = take(write_json(tmp_path / name, TASKS))
        assert by_row(taken) == LABELS
        assert taken.mistakes == []


def test_label_studio_tells_what_was_skipped_or_disagrees(tmp_path):
    odd = [
        task(1, "a.jpg", annotation("cup"), annotation("tea pot")),
        task(2, "shop/c.png", annotation("cup", cancelled=True)),
        task(3, "e,f.png", annotation()),
        task(4, "schön.jpg", annotation("cup", "tea pot")),
        task(5, "elsewhere.jpg", annotation("cup")),
        task(6, "shop/my mug.jpg", annotation("cup", cancelled=True), annotation("tea pot")),
    ]
    path = write_json(tmp_path / "export.json", odd)
    taken = take(path)
    assert by_row(taken) == {1: "tea pot"}
    reasons = dict(taken.mistakes)
    assert len(taken.mistakes) == 6  # the skipped annotation of image 1, too
    assert "two labels for a.jpg" in reasons["a.jpg"]
    assert "it was skipped in Label Studio" in reasons["shop/c.png"]
    assert "an annotation without a class" in reasons["e,f.png"]
    assert "2 classes chosen for one image" in reasons["schön.jpg"]
    assert f"{path}, task 5: no image of this name" in reasons["elsewhere.jpg"]


def test_label_studio_takes_the_question_that_is_called_label(tmp_path):
    both = annotation("cup", question="label")
    both["result"] += annotation("blurred", question="quality")["result"]
    taken = take(write_json(tmp_path / "e.json", [task(1, "a.jpg", both)]))
    assert by_row(taken) == {0: "cup"}
    both["result"][0]["from_name"] = "kind"
    path = write_json(tmp_path / "f.json", [task(1, "a.jpg", both)])
    with pytest.raises(UsageError, match=r"several questions.*found kind, quality"):
        take(path)


def test_label_studio_in_its_short_forms(tmp_path):
    short = [
        {"image": one["data"]["image"], "id": one["id"], "annotator": 1, "annotation_id": 9,
         **({"choice": one["annotations"][0]["result"][0]["value"]["choices"][0]}
            if one["annotations"] else {})}
        for one in TASKS
    ]  # fmt: skip
    assert by_row(take(write_json(tmp_path / "min.json", short))) == LABELS
    with (tmp_path / "export.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["annotation_id", "annotator", "label", "id", "image", "row"])
        for number, (row, label) in enumerate(LABELS.items()):
            writer.writerow([number, 1, label, 77 + number, f"/data/upload/7/{NAMES[row]}", row])
    names = [Path(name).name for name in NAMES]  # an upload has lost its folders
    assert by_row(take(tmp_path / "export.csv", names)) == LABELS


COCO = {
    "info": {"description": "made by hand"},
    "images": [{"id": 7, "file_name": "a.jpg", "width": 640, "height": 480},
               {"id": 8, "file_name": "/photos/shop/my mug.jpg", "width": 64, "height": 48},
               {"id": 9, "file_name": "schön.jpg"}, {"id": 10, "file_name": "e,f.png"}],
    "categories": [{"id": 3, "name": "cup", "supercategory": ""}, {"id": 1, "name": "tea pot"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 20, 30.5, 40], "iscrowd": 0},
        {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 640, 480]},
        {"id": 3, "image_id": 8, "category_id": 1},
        {"id": 4, "image_id": 9, "category_id": 3},
    ],
}  # fmt: skip


def test_coco_gives_the_category_of_each_image(tmp_path):
    path = write_json(tmp_path / "coco.json", COCO)
    taken = take(path)
    assert by_row(taken) == LABELS
    assert taken.mistakes == []
    assert [(box.name, box.box) for box in load_boxes(str(path))] == [
        ("a.jpg", (10, 20, 40.5, 60)), ("a.jpg", (0, 0, 640, 480)),
    ]  # fmt: skip
    two = copy.deepcopy(COCO)
    two["annotations"][1]["category_id"] = 1
    taken = take(write_json(tmp_path / "two.json", two))
    assert by_row(taken) == {1: "tea pot", 4: "cup"}
    assert "annotation 1: two labels for a.jpg" in taken.mistakes[0].reason


@pytest.mark.parametrize(
    "content",
    [
        {"classes": ["tea pot", "cup"],
         "labels": {"a": 1, "shop/my mug": 0, "schön": 1, "e,f": None}},
        {"labels": {"a": "cup", "shop/my mug": "tea pot", "schön": "cup"}},
        {"classes": ["tea pot", "cup"], "labels": {
            "a": {"label": 1, "confidence": 0.9}, "shop/my mug": [0], "schön": {"label": "cup"},
            "shop/c": {"label": None}, "e,f": []}},
    ],
)  # fmt: skip
def test_fiftyone_gives_the_classes_of_names_without_extension(tmp_path, content):
    path = write_json(tmp_path / "labels.json", content)
    for source in (path, tmp_path):  # or the folder that it lies in
        taken = take(source)
        assert by_row(taken) == LABELS
        assert taken.mistakes == []
    assert labels_input("labels", str(tmp_path)) == labels_input("labels", str(path))


def test_class_folders_give_the_class_of_what_lies_in_them(tmp_path):
    for row, label in LABELS.items():
        place = tmp_path / "sorted" / label / NAMES[row]
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(place)
    (tmp_path / "sorted/cup/Thumbs.db").write_bytes(b"no photo")
    taken = take(tmp_path / "sorted")
    assert by_row(taken) == LABELS
    assert taken.mistakes == []
    assert read_truth(str(tmp_path / "sorted"), NAMES, CLASSES).tolist() == [0, 1, -1, -1, 0]
    before = labels_input("labels", str(tmp_path / "sorted"))
    os.utime(tmp_path / "sorted/cup/a.jpg", (1, 1))
    assert labels_input("labels", str(tmp_path / "sorted")) == before
    shutil.move(tmp_path / "sorted/cup/a.jpg", tmp_path / "sorted/tea pot/a.jpg")
    assert labels_input("labels", str(tmp_path / "sorted")).digest != before.digest
    # The photos themselves may lie so; one beside the folders is told.
    Image.new("RGB", (8, 8)).save(tmp_path / "sorted/b.jpg")
    own = ["b.jpg", "cup/schön.jpg", "tea pot/a.jpg", "tea pot/shop/my mug.jpg"]
    taken = take(tmp_path / "sorted", own)
    assert by_row(taken) == {1: "cup", 2: "tea pot", 3: "tea pot"}
    assert "it lies in no folder of a class" in taken.mistakes[0].reason


@pytest.fixture
def state(tmp_path):
    """Five images: three have a label, two are asked for; none of the names is easy."""
    labels = np.array([0, 1, -1, -1, 3], np.int32)
    probabilities = np.full((5, 5), 0.05, np.float32)
    probabilities[[0, 1, 2, 3, 4], [0, 1, 4, 2, 3]] = 0.8
    return write_state(
        tmp_path / "s.h5", 5, labeled=(), **AlState.columns(
            names=NAMES, class_names=CLASSES, labels=labels,
            labeled_cycle=np.where(labels < 0, -1, 0).astype(np.int16),
            acquired_ids=np.array([3, 2]), acquired_scores=np.array([0.5, 0.25]),
            probabilities=probabilities,
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("form", "name"),
    [("csv", "l.csv"), ("csv", "l.tsv"), ("label-studio", "l.json"), ("coco", "l.json"),
     ("fiftyone", "labels.json")],
)  # fmt: skip
def test_labels_of_a_state_come_back_as_they_went(tmp_path, state, form, name):
    path = rrtool.export(state, tmp_path / name, format=form)
    taken = take(path, classes=tuple(CLASSES))
    assert by_row(taken) == {0: "cup", 1: "tea pot", 4: "=1+1"}
    assert read_truth(str(path), NAMES, CLASSES).tolist() == [0, 1, -1, -1, 3]
    if form != "csv":  # an empty cell of a table is told
        assert taken.mistakes == []


def test_label_studio_gets_tasks_with_predictions(tmp_path, state):
    path = tmp_path / "tasks.json"
    assert_done(run("export", state, "-o", path, "--image-prefix", "https://host/x/"))
    tasks = json.loads(path.read_text())
    assert [one["data"]["name"] for one in tasks] == [NAMES[row] for row in (3, 2, 0, 1, 4)]
    assert tasks[3]["data"]["image"] == "https://host/x/shop/my%20mug.jpg"
    prediction = tasks[0]["predictions"][0]
    assert prediction["score"] == 0.8
    assert prediction["result"][0]["value"] == {"choices": ["<b>&\"'"]}
    assert "annotations" not in tasks[0]
    assert "predictions" not in tasks[2]
    # The interface asks the question that the predictions answer.
    view = ET.parse(tmp_path / "tasks.xml").getroot()  # noqa: S314 - our own file
    question = view.find("Choices")
    assert [choice.get("value") for choice in question] == CLASSES
    result = prediction["result"][0]
    assert (question.get("name"), question.get("toName")) == (result["from_name"], "image")
    assert (view.find("Image").get("name"), view.find("Image").get("value")) == (
        result["to_name"], "$image",
    )  # fmt: skip
    # What comes back from there: tasks have other ids, predictions are accepted as annotations.
    for number, one in enumerate(tasks):
        one["id"] = 900 + number
        one.setdefault("annotations", one.get("predictions"))
        one["data"].pop("name")
    taken = take(write_json(tmp_path / "back.json", tasks), classes=tuple(CLASSES))
    assert by_row(taken) == dict(enumerate(("cup", "tea pot", "Käse, alt", "<b>&\"'", "=1+1")))


def test_fiftyone_needs_names_that_differ_without_extension(tmp_path):
    names = ["a.jpg", "a.png", "b.jpg", "c.jpg", "d.jpg"]
    state = write_state(tmp_path / "s.h5", 5, labeled=range(5), **AlState.columns(names=names))
    with pytest.raises(UsageError, match=r"in their extension alone.*a.jpg, a.png"):
        rrtool.export(state, tmp_path / "labels.json", format="fiftyone")


RECTANGLE = {
    "from_name": "tag",
    "to_name": "img",
    "type": "rectanglelabels",
    "value": {"rectanglelabels": ["car"], "x": 1, "y": 2, "width": 3, "height": 4},
}


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("[", "cannot read the JSON"),
        ("[" * 100_000, "cannot read the JSON"),
        ('{"a": 1, "a": 2}', "a name occurs twice"),
        ("[]", "no completed annotation"),
        ("{}", r"no labels in this JSON \(expected an export of Label Studio, COCO"),
        ('{"shapes": [], "imagePath": "a.jpg"}', "found shapes, imagePath"),
        ("3", "found int"),
        ("[1]", "task 1: no export of Label Studio"),
        ([task(1, "a.jpg")], r"no completed annotation.*found 1 tasks without one"),
        ([{"data": 3}], "data, a table"),
        ([{"data": {}, "annotations": 3}], "annotations, a list"),
        ([{"data": {}, "annotations": [{"result": 3}]}], "result, a list"),
        ([task(1, "http://[a.jpg", annotation("cup"))], "no image of this name|not one of"),
        ([task(9, "a.jpg", {"result": [RECTANGLE]})], r"task 9.*of another project.*rectanglelab"),
        ([task(9, "a.jpg", {"result": [{"type": "choices", "value": {"choices": [1]}}]})],
         "choices, a list of names"),
        (COCO | {"images": [{"id": 7}]}, "images: malformed table"),
        (COCO | {"categories": [3]}, "categories: malformed table"),
        (COCO | {"annotations": [{"id": 5, "image_id": 99, "category_id": 3}]},
         "annotation 5: image_id of nothing"),
        (COCO | {"annotations": [{"image_id": 7, "category_id": [3]}]}, "category_id of nothing"),
        (COCO | {"annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 0, 4]}]},
         "malformed box"),
        (COCO | {"annotations": [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 3, 1e400]}]},
         "malformed box"),
        ({"classes": 3, "labels": {"a": 0}}, "classes, a list of names"),
        ({"classes": ["cup"], "labels": {"a": 1}}, r"labels.json, a: no label.*below 1, found 1"),
        ({"classes": ["cup"], "labels": {"a": True}}, "no label"),
        ({"labels": {"a": -1}}, "the name of a class"),
    ],
)  # fmt: skip
def test_others_files_are_refused_in_one_line(tmp_path, content, what):
    path = tmp_path / "labels.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(UsageError, match=what) as caught:
        take(path).require_some("not one of the labels can be used", str(path))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("folder", [False, True])
def test_cycle_takes_labels_of_any_form(tmp_path, monkeypatch, folder):
    """As users type it: the file is an input like any other."""
    monkeypatch.chdir(tmp_path)
    for name in ("images", "sorted/cup", "sorted/pot"):
        Path(name).mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (20, 20), (60 * number, 9, 9)).save(f"images/{number}.png")
    labels = Path("labels.json")
    if folder:
        labels = Path("sorted")
        for number, label in enumerate(("cup", "pot")):
            shutil.copy(f"images/{number}.png", f"sorted/{label}/{number}.png")
    else:
        write_json(labels, [task(n, f"{n}.png", annotation(f"class {n}")) for n in range(2)])
    words = ("al-cycle", "images", "-o", "s.h5", "--labels", str(labels), "--budget", "1",
             "--epochs", "1", "--width", "0.1", "--batch-size", "2", "--device", "cpu")  # fmt: skip
    assert_done(run(*words))
    assert rrtool.open("s.h5").labels.tolist() == [0, 1, -1, -1]
    assert "up to date" in run(*words).stderr
    os.mkfifo("pipe.json")
    assert_fails(run(*words[:4], "--labels", "pipe.json", *words[6:]), 2, "a pipe, a socket")
