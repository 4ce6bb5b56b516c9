"""The page of objects in a real browser: photos of a list are known by their own names."""

from __future__ import annotations

from pathlib import Path

import pytest

import rrtool
from tests.browser import Browser, each, needs_browser
from tests.stages.exchange.test_boxes import write_objects
from tests.tiny import picture

pytestmark = needs_browser

OWN = ["Alpro-Blueberry-Soyghurt_000.jpg", "shelf/Alpro-Blueberry-Soyghurt_017.jpg", "b.jpg"]


@pytest.mark.parametrize("width", [400, 1400])
def test_photos_are_named_by_what_tells_them_apart(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    folder = tmp_path / "a folder with a long name" / "photos of the shop around the corner"
    paths = [folder / name for name in OWN]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture(number, (64, 48)).save(path)
    (tmp_path / "list.txt").write_text("".join(f"{path}\n" for path in paths), "utf-8")
    objects = write_objects(tmp_path / "o.h5", list(map(str, paths)))
    rrtool.report(objects, output=tmp_path / "p.html", images=tmp_path / "list.txt")
    browser.show(tmp_path / "p.html", width=width)
    shown = [OWN[0], OWN[2], OWN[1]]
    assert browser.value(each("figure.crop .name", "e.textContent")) == shown
    whole = "e.scrollWidth <= e.clientWidth && e.scrollHeight <= e.clientHeight + 1"
    assert browser.value(each(".name", whole)) == [True] * 5
    assert browser.value(each("img", "e.naturalWidth > 0")) == [True] * 5
    # Where they lie is said once.
    facts = dict(browser.value(each("dt", "[e.textContent, e.nextElementSibling.textContent]")))
    assert facts["photos"] == f"{folder}/"
    assert browser.value("document.documentElement.scrollWidth") <= width
