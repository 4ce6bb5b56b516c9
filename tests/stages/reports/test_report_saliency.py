"""Objects and the page of saliency, through the command line."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from rrtool.artifacts import open_artifact
from rrtool.artifacts.kinds import Centrality, Graph, Objects, Regions, Saliency
from rrtool.core.discovery.object_discovery import DiscoveryOptions, discover_objects
from tests.tiny import CPU, NETWORK, assert_done, assert_fails, picture, rrtool

SIZE = ("--max-size", 160)
TRUTH = "rgb(90, 240, 110)"


def discover(made: Path, output: Path, *options: object, **inputs: Path) -> Result:
    return rrtool(
        "discover", inputs.get("regions", made / "r.h5"), "-o", output,
        "--graph", inputs.get("graph", made / "g.h5"),
        "--centrality", inputs.get("centrality", made / "c.h5"), *options,
    )  # fmt: skip


def report(made: Path, artifact: str, output: Path, *options: object) -> Result:
    return rrtool("report", made / artifact, "-o", output, "--images", made / "photos", *options)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Regions, graph, centrality, saliency and objects of seven photos, one broken."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "photos").mkdir()
    for i in range(6):
        canvas = picture(40 + i, (160, 128))
        canvas.paste(picture(i % 2, (60, 60)), (10 + 9 * i, 8 * i))
        canvas.save(folder / "photos" / f"<{i}>.png")
    (folder / "photos" / "bad.png").write_bytes(b"no picture")
    result = rrtool(
        "saliency", "fs", folder / "photos", "-o", folder / "r.h5", "--keep-maps",
        *NETWORK, *CPU, *SIZE,
    )  # fmt: skip
    assert result.exit_code == 3, result.stderr
    assert_done(rrtool("build-graph", folder / "r.h5", "-o", folder / "g.h5", "--k", 4))
    measure = ("--measure", "degree", "-q")
    assert_done(rrtool("centrality", folder / "g.h5", "-o", folder / "c.h5", *measure))
    result = rrtool(
        "saliency", "os", folder / "photos", "-o", folder / "s.h5", "--features", folder / "f.h5",
        "--regions", folder / "r.h5", "--centrality", folder / "c.h5", *NETWORK, *CPU, *SIZE,
        "--k", 4,
    )  # fmt: skip
    assert result.exit_code == 3, result.stderr
    assert_done(discover(folder, folder / "o.h5", "--min-images", 2))
    return folder


def pictures_of(page: str) -> list[tuple[str, np.ndarray]]:
    """Alternative text and pixels of every picture."""
    found = re.findall(r'alt="([^"]*)" src="data:image/jpeg;base64,([^"]*)"', page)
    return [
        (alt, np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), int))
        for alt, data in found
    ]


def test_discover_writes_the_objects_of_the_regions(made: Path) -> None:
    with (
        open_artifact(made / "o.h5", Objects) as objects,
        open_artifact(made / "r.h5", Regions) as regions,
        open_artifact(made / "g.h5", Graph) as graph,
        open_artifact(made / "c.h5", Centrality) as centrality,
    ):
        counts = np.diff(regions.offsets)
        images = np.repeat(np.arange(len(counts)), counts)
        expected = discover_objects(
            graph.adjacency(), centrality.centrality, images,
            regions.region_boxes, DiscoveryOptions(min_images=2),
        )  # fmt: skip
        assert len(expected) > 0
        assert objects.extra["n_objects"] == len(expected)
        for name in ("offsets", "regions", "weights"):
            np.testing.assert_array_equal(getattr(objects, name), getattr(expected, name))
        np.testing.assert_array_equal(objects.images, images[expected.regions])
        boxes = regions.region_boxes[expected.regions]
        np.testing.assert_array_equal(objects.boxes, boxes)
        assert objects.names == regions.names
        shown = np.unique(images[expected.regions])
        assert objects.extra["n_images_with_objects"] == len(shown)


def test_discover_again_is_up_to_date_and_knows_its_options(made: Path) -> None:
    assert "is up to date" in discover(made, made / "o.h5", "--min-images", 2).stderr
    assert_fails(discover(made, made / "o.h5", "-q"), 4, "another --min-images")


def test_discover_without_objects_says_what_to_do(made: Path, tmp_path: Path) -> None:
    result = discover(made, tmp_path / "o.h5", "--min-images", 7, "--json")
    assert_done(result)
    assert "nothing was found in 7 or more of 7 images" in result.stderr
    assert json.loads(result.stdout)["n_objects"] == 0
    assert_done(report(made, "s.h5", tmp_path / "p.html", "--objects", tmp_path / "o.h5"))
    assert "Nothing was found in several photos" in (tmp_path / "p.html").read_text()


def test_discover_bad_input(made: Path, tmp_path: Path) -> None:
    assert_done(rrtool("build-graph", made / "r.h5", "-o", tmp_path / "g.h5", "--k", 3))
    measure = ("--measure", "degree", "-q")
    assert_done(rrtool("centrality", tmp_path / "g.h5", "-o", tmp_path / "c.h5", *measure))
    output = tmp_path / "o.h5"
    wrong = discover(made, output, centrality=tmp_path / "c.h5")
    assert_fails(wrong, 4, "not that of this graph")
    assert_fails(discover(made, output, regions=made / "s.h5"), 4, "another kind")
    assert_fails(discover(made, output, "--min-images", 1), 2, "--min-images", "at least 2")
    assert_fails(discover(made, output, "--quantile", 2), 2, "--quantile")
    other = ("saliency", "fs", made / "photos", "-o", tmp_path / "r.h5", *NETWORK, *CPU)
    assert rrtool(*other, "--max-size", 128).exit_code == 3
    wrong = discover(made, output, regions=tmp_path / "r.h5")
    assert_fails(wrong, 4, "graph is of other features")
    assert not output.exists()


def test_page_shows_objects_maps_and_boxes(made: Path, tmp_path: Path) -> None:
    (tmp_path / "boxes.csv").write_text("name,x0,y0,x1,y1\n<0>.png,10,0,70,60\n")
    output = tmp_path / "page.html"
    result = report(
        made, "s.h5", output, "--objects", made / "o.h5", "--regions", made / "r.h5",
        "--boxes", tmp_path / "boxes.csv",
    )  # fmt: skip
    assert_done(result)
    page = output.read_text()
    with open_artifact(made / "o.h5", Objects) as objects:
        sizes = np.diff(objects.offsets).tolist()
        boxes = objects.boxes
    assert re.findall(r"Object \d+, in (\d+) photos", page) == [str(size) for size in sizes]
    assert "untrained" in page
    assert TRUTH in page
    assert "<0>" not in page
    pictures = pictures_of(page)
    # The first object: its photo, then its crops, each of the shape of its region.
    for box, (_, pixels) in zip(boxes[: sizes[0]], pictures[1:], strict=False):
        width, height = np.round(box[2:]) - np.round(box[:2])
        assert pixels.shape[:2] == pytest.approx(
            np.array([height, width]) * min(1, 118 / max(width, height)), abs=1.01
        )
    captions = [alt for alt, _ in pictures if alt.endswith("of &lt;0&gt;.png")]
    expected = ("photo", "feature saliency", "object saliency")
    assert captions == [f"{caption} of &lt;0&gt;.png" for caption in expected]
    # The true box, green, on the photo.
    photo = dict(pictures)["photo of &lt;0&gt;.png"]
    green = photo[20:50, 8:14] - photo[20:50, 8:14].mean(axis=2, keepdims=True)
    assert green[..., 1].max() > 50
    assert "bad.png" in page
    assert "1 images cannot be shown" in result.stderr


def test_page_maps_glow_where_saliency_is_high(made: Path, tmp_path: Path) -> None:
    assert_done(report(made, "s.h5", tmp_path / "page.html"))
    pixels = dict(pictures_of((tmp_path / "page.html").read_text()))
    with open_artifact(made / "s.h5", Saliency) as saliency:
        (found,) = saliency.saliency_maps(saliency.names.index("<1>.png"))
    height, width = found.shape
    view = pixels["object saliency of &lt;1&gt;.png"]
    # Warmth, red over blue, rises with the map.
    warmth = np.asarray(
        Image.fromarray((view[..., 0] - view[..., 2]).astype(np.float32)).resize(
            (width, height), Image.Resampling.BOX
        )
    )
    assert np.corrcoef(warmth.ravel(), found.ravel())[0, 1] > 0.7


def test_page_without_companions_says_what_to_give(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    assert_done(report(made, "s.h5", output, "--max-images", 3))
    page = output.read_text()
    assert "give --objects" in page
    assert "give --regions" in page
    assert "feature saliency of" not in page
    assert "3 of 7 photos" in page
    assert TRUTH not in page.split("</style>")[1]


def test_page_of_objects_alone(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    assert_done(report(made, "o.h5", output))
    page = output.read_text()
    assert "Object 1, in" in page
    assert "object saliency of" not in page


def test_report_of_saliency_bad_input(made: Path, tmp_path: Path) -> None:
    output = tmp_path / "page.html"
    other = ("saliency", "fs", made / "photos", "-o", tmp_path / "r.h5", *NETWORK, *CPU)
    assert rrtool(*other, "--max-size", 128, "--keep-maps").exit_code == 3
    wrong = report(made, "s.h5", output, "--regions", tmp_path / "r.h5")
    assert_fails(wrong, 4, "regions are not those of this saliency")
    graph = ("build-graph", tmp_path / "r.h5", "-o", tmp_path / "g.h5", "--k", 3)
    assert_done(rrtool(*graph))
    measure = ("--measure", "degree", "-q")
    assert_done(rrtool("centrality", tmp_path / "g.h5", "-o", tmp_path / "c.h5", *measure))
    inputs = {name: tmp_path / f"{name[0]}.h5" for name in ("regions", "graph", "centrality")}
    assert_done(discover(made, tmp_path / "o.h5", **inputs))
    wrong = report(made, "s.h5", output, "--objects", tmp_path / "o.h5")
    assert_fails(wrong, 4, "objects are not those of this saliency")
    (tmp_path / "boxes.csv").write_text("elsewhere.png,0,0,9,9\n")
    boxes = ("--boxes", tmp_path / "boxes.csv")
    foreign = report(made, "s.h5", output, *boxes)
    assert_fails(foreign, 2, "none of the boxes")
    assert_fails(report(made, "s.h5", output, "--max-images", 0), 2, "--max-queries")
    wrong = report(made, "o.h5", output, "--regions", made / "r.h5")
    assert_fails(wrong, 2, "--regions goes with saliency")
    assert_fails(report(made, "o.h5", output, *boxes), 2, "--boxes goes with saliency")
    assert_fails(report(made, "s.h5", output, "--ground-truth", "folder"), 2, "with a ranking")
    assert_fails(report(made, "f.h5", output), 4, "another kind")
    assert not output.exists()
