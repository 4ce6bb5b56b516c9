"""The contact sheet in a real browser: by keys alone, by the mouse alone, on a phone's width."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrtool.reports.contact_sheet import Card, LabelSheet
from rrtool.stages.learning.labels import take_labels
from tests.browser import CONTRASTS, Browser, each, needs_browser
from tests.training.tiny_images import as_dataset

pytestmark = needs_browser

CLASSES = ["mug", "3", "teapot"]
# What each image is suggested to be, and how surely; the page groups them.
SUGGESTED = [("mug", 0.9), ("teapot", 0.8), ("mug", 0.7), ("mug", 0.95), ("teapot", 0.6)]
ORDER = [3, 0, 2, 1, 4]  # on the page: the larger group first, the surest first
HOSTILE = [
    '<img src=x onerror="window.hurt=1">', "</script><script>window.hurt=1</script>", "=1+1",
    "a, b", 'say "cheese"', "cafe\u0301", "می\u200cخواهم", "\u202ekcab", "&amp;", "'quoted'",
    "x" * 300,
]  # fmt: skip
PLAIN = [Card(row, f"{row}.png", *pair) for row, pair in enumerate(SUGGESTED)]
DONE = "[...document.querySelectorAll('.card')].map((e) => e.querySelector('.given').textContent)"
CURRENT = "document.querySelector('.current').dataset.id"
TOLD = "document.getElementById('told').textContent"


def write_sheet(path: Path, uuid: str, classes: list[str], cards: list[Card]) -> Path:
    sheet = LabelSheet(uuid, classes, cards, f"{uuid}.labels.csv", "rrtool al-cycle photos")
    colours = np.random.default_rng(0).integers(0, 256, (len(cards), 3))
    pieces = sheet.render(lambda card: Image.new("RGB", (90, 60), tuple(colours[card.row])))
    path.write_text("".join(pieces), encoding="utf-8")
    return path


def saved(folder: Path, uuid: str, cards: list[Card], classes: list[str]) -> dict[int, str]:
    """The labels as al-cycle reads them from the file that the page saved."""
    path = folder / f"{uuid}.labels.csv"
    deadline = time.monotonic() + 30
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    n = len(cards)
    images = as_dataset(np.zeros((n, 1, 1, 1), np.uint8), np.full(n, -1, np.int32))
    taken = take_labels(path, replace(images, names=[card.name for card in cards]), classes)
    assert taken.mistakes == []
    labels = [taken.class_names[label] for label in taken.labels.tolist()]
    return dict(zip(taken.rows.tolist(), labels, strict=True))


@pytest.fixture
def folder(browser: Browser, tmp_path: Path) -> Path:
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    return tmp_path


def test_keys_alone_label_everything(browser: Browser, folder: Path) -> None:
    page = write_sheet(folder / "sheet.html", "keys", CLASSES, PLAIN)
    browser.show(page)
    assert browser.value(each(".card", "e.dataset.id")) == [str(row) for row in ORDER]
    browser.press("Enter")  # 3: mug, as suggested
    assert browser.value(CURRENT) == "0"
    browser.type("teaopt")  # 0: a slip of the pen is told while it is typed
    assert browser.value(TOLD) == "“teaopt” is no class yet. Did you mean teapot?"
    browser.press("Enter")
    browser.press("3")  # 2: the class that is called so has this key
    browser.press("-")  # 1
    assert browser.value(DONE) == ["✓ mug", "✓ teapot", "✓ 3", "– skipped", ""]
    browser.press("Backspace")
    browser.press("Backspace")
    assert (browser.value(CURRENT), browser.value(DONE)[2]) == ("2", "")
    browser.type("Mugs")
    browser.press("ArrowDown")  # not the class that it is like
    browser.press("Enter")
    assert browser.value(DONE)[:4] == ["✓ mug", "✓ teapot", "✓ Mugs", ""]
    assert browser.value(CURRENT) == "1"
    browser.press("Enter", shift=True)  # all of the group
    assert browser.value(DONE)[3:] == ["✓ teapot"] * 2
    assert "All images are done" in browser.value(TOLD)
    browser.press("s", control=True)
    labels = saved(folder, "keys", PLAIN, [*CLASSES, "Mugs"])
    assert labels == {0: "teapot", 1: "teapot", 2: "Mugs", 3: "mug", 4: "teapot"}
    assert browser.complaints() == []


def test_arrows_zoom_and_the_field_work_by_keys(browser: Browser, folder: Path) -> None:
    browser.show(write_sheet(folder / "sheet.html", "arrows", CLASSES, PLAIN))
    for key, row in (("ArrowRight", 0), ("ArrowRight", 2), ("ArrowLeft", 0), ("ArrowDown", 4),
                     ("ArrowUp", 0)):  # fmt: skip
        browser.press(key)
        assert browser.value(CURRENT) == str(row), key
    browser.press(" ")
    seen = "document.querySelector('.current img').getBoundingClientRect().height"
    assert browser.value(seen) > 400
    assert sum(browser.value(each(".card", "e.checkVisibility()"))) == 1
    browser.press("1")  # the next is shown at once
    assert sum(browser.value(each(".card", "e.checkVisibility()"))) == 1
    assert browser.value(CURRENT) == "2"
    browser.press("Escape")
    assert sum(browser.value(each(".card", "e.checkVisibility()"))) == len(PLAIN)
    browser.press("+")
    browser.type("12 pack")  # begins with keys of classes
    browser.press("Escape")  # leaves the field, and nothing is labelled
    browser.press("+")
    browser.type("12  Pack ")
    browser.press("Enter")
    assert browser.value(DONE) == ["", "✓ mug", "✓ 12 Pack", "", ""]
    assert browser.complaints() == []


def test_mouse_alone_labels_on_the_width_of_a_phone(browser: Browser, folder: Path) -> None:
    browser.show(write_sheet(folder / "sheet.html", "mouse", CLASSES, PLAIN), width=400)
    browser.click(".card:nth-child(3) .shown")
    browser.click("#classes button:nth-child(3)")  # 2: teapot
    browser.click("#skip")  # goes on from there: 1
    assert browser.value(DONE) == ["", "", "✓ teapot", "– skipped", ""]
    browser.click("#undo")
    browser.click("[data-id='4'] .suggestion")
    browser.click(".all")
    assert browser.value(DONE) == ["✓ mug", "✓ mug", "✓ teapot", "", "✓ teapot"]
    assert browser.value("[...document.querySelectorAll('.all')].map((e) => e.disabled)") == [
        True, False,
    ]  # fmt: skip
    browser.click("#zoom")
    assert browser.value(each("#back, #on, #zoom, #skip, #save", "e.checkVisibility()")) == [
        True,
    ] * 5  # fmt: skip
    browser.click("#back")
    browser.click("#zoom")
    assert browser.value(CURRENT) == "2"
    browser.click("#on")
    browser.press("Enter")  # is not of the button that was clicked
    assert browser.value(DONE)[3] == "✓ teapot"
    browser.click("#save")
    assert browser.value("document.activeElement === document.querySelector('.current')")
    expected = {0: "mug", 1: "teapot", 2: "teapot", 3: "mug", 4: "teapot"}
    assert saved(folder, "mouse", PLAIN, CLASSES) == expected
    assert browser.complaints() == []


def test_work_is_kept_over_a_reload_for_this_state_alone(browser: Browser, folder: Path) -> None:
    page = write_sheet(folder / "sheet.html", "first", CLASSES, PLAIN)
    browser.show(page)
    browser.press("Enter")
    browser.type("jug")
    browser.press("Enter")
    browser.press("-")
    before = browser.value(DONE)
    assert before == ["✓ mug", "✓ jug", "– skipped", "", ""]
    browser.show(page)
    assert browser.value(DONE) == before
    assert browser.value(CURRENT) == "1"  # goes on with the first that is open
    assert "jug" in browser.value("document.getElementById('classes').textContent")
    browser.show(write_sheet(folder / "other.html", "second", CLASSES, PLAIN))
    assert browser.value(DONE) == [""] * 5
    for broken in ("{", "null", '{"labels": 1}', '{"labels": [["9", "mug"]], "added": []}'):
        browser.value(f"localStorage.setItem('rrtool first', {json.dumps(broken)})")
        browser.show(page)
        assert browser.value(DONE) == [""] * 5
        assert browser.complaints() == []


def test_hostile_names_come_back_as_they_are(browser: Browser, folder: Path) -> None:
    cards = [
        Card(row, f"{name.replace('/', '_')}.png", HOSTILE[0] if row < 3 else "", 0.5)
        for row, name in enumerate(HOSTILE)
    ]
    browser.show(write_sheet(folder / "sheet.html", "hostile", HOSTILE, cards), width=400)
    order = [int(row) for row in browser.value(each(".card", "e.dataset.id"))]
    for row in order:
        button = f"#classes button:nth-child({row + 1})"
        browser.value(f"document.querySelector({json.dumps(button)}).click()")
    browser.press("s", control=True)
    found = saved(folder, "hostile", cards, HOSTILE)
    assert found == dict(enumerate(HOSTILE))
    text = (folder / "hostile.labels.csv").read_text(encoding="utf-8")
    assert '"\'=1+1"' in text  # no spreadsheet runs it
    assert browser.value("window.hurt ?? null") is None
    assert browser.value("document.documentElement.scrollWidth") <= 400
    assert browser.complaints() == []


def test_hundreds_of_classes_leave_room_for_the_images(browser: Browser, folder: Path) -> None:
    classes = [f"product {number:03d}" for number in range(500)]
    cards = [Card(row, f"{row}.png", "product 004", 0.5) for row in range(3)]
    for width in (400, 1400):
        page = write_sheet(folder / "sheet.html", f"many {width}", classes, cards)
        browser.show(page, width=width)
        bar = "document.querySelector('.bar').getBoundingClientRect().height"
        assert browser.value(bar) < 300
        browser.type("Product 49")
        choices = browser.value(each("#choices button", "e.textContent"))
        assert choices[0] == "product 490"
        assert len(choices) == 7
        browser.press("Enter")
        assert browser.value(DONE) == ["✓ product 490", "", ""]


@pytest.mark.parametrize("width", [400, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_sheet_fits_its_window_and_can_be_read(
    browser: Browser, folder: Path, width: int, dark: bool
) -> None:
    page = write_sheet(folder / "sheet.html", f"look {width} {dark}", CLASSES, PLAIN)
    browser.show(page, width=width, dark=dark)
    for key in ("Enter", "2", "-"):
        browser.press(key)
    browser.type("teaopt")
    assert browser.value("document.documentElement.scrollWidth") <= width
    outside = "e.getBoundingClientRect().right > innerWidth + 0.5"
    assert not any(browser.value(each("body *:not(#classes *)", outside)))
    selector = "h1, h2, p, button:enabled, .name, .given, code, #told, #choices button"
    contrasts = browser.value(CONTRASTS % json.dumps(selector))
    assert len(contrasts) > 20
    assert min(contrasts) >= 4.5
    is_dark = np.asarray(Image.open(io.BytesIO(browser.screenshot())).convert("L"))[5, 5] < 60
    assert is_dark == dark
    assert browser.value(each(".card img", "e.naturalWidth")) == [90] * 5
    assert browser.complaints() == []
