"""The loop of a team, played through: sheet, labels, cycle, sheet, labels, cycle."""

from __future__ import annotations

import csv
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrtool
from tests.browser import Browser, each, needs_browser
from tests.tiny import assert_done
from tests.tiny import rrtool as run

pytestmark = needs_browser

COLOURS = {"mug": (220, 40, 40), "tea pot": (40, 200, 60), "plate, deep": (40, 60, 220)}
N = 18
# The network of the thesis, as small as it gets: what it learns is of no matter here.
LEARNING = ("--epochs", "2", "--width", "0.1", "--batch-size", "4", "--device", "cpu")


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The photos of a team in ``photos``, and what they show."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    generator = np.random.default_rng(0)
    classes = {f"IMG {number:02d}.png": list(COLOURS)[number % 3] for number in range(N)}
    for name, label in classes.items():
        noise = generator.integers(-30, 30, (24, 24, 3))
        pixels = np.clip(np.array(COLOURS[label]) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    return classes


def label_sheet(browser: Browser, page: Path, truth: dict[str, str]) -> Path:
    """Label every image by keys: new classes are typed, right suggestions are confirmed."""
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(page.parent))
    browser.show(page)
    current = "(({shown, suggested}) => [shown, classes[suggested]?.name])(current.dataset)"
    for _ in browser.value(each(".card", "1")):
        name, suggested = browser.value(current)
        keys = {label: key for key, label in browser.value(
            "[...keysOf()].map(([key, one]) => [key, one.name])")}  # fmt: skip
        if truth[name] == suggested:
            browser.press("Enter")
        elif truth[name] in keys:
            browser.press(keys[truth[name]])
        else:
            browser.type(truth[name])
            browser.press("Enter")
    assert "All images are done" in browser.value("document.getElementById('told').textContent")
    browser.press("s", control=True)
    labels = Path(browser.value("document.querySelector('main').dataset.file"))
    deadline = time.monotonic() + 30
    while not labels.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert browser.complaints() == []
    return labels


def known(path: str) -> dict[str, str]:
    """The labels that a state knows."""
    state = rrtool.open(path)
    return {
        name: state.class_names[label]
        for name, label in zip(state.names, state.labels, strict=True)
        if label >= 0
    }


def test_team_labels_twice_and_every_label_arrives(
    browser: Browser, truth: dict[str, str], tmp_path: Path
) -> None:
    assert_done(run("al-cycle", "photos", "-o", "start.h5", "--budget", "6", *LEARNING))
    for before, after in pairwise(["start.h5", "0.h5", "1.h5"]):
        page = tmp_path / before.replace(".h5", ".to_label.html")
        labels = label_sheet(browser, page, truth)
        assert labels.name == before.replace(".h5", ".labels.csv")
        assert_done(run("al-cycle", "photos", "--state", before, "--labels", labels,
                        "-o", after, "--budget", "6", *LEARNING))  # fmt: skip
    found = known("1.h5")
    assert len(found) == 12
    assert found == {name: truth[name] for name in found}
    with (tmp_path / "1.to_label.csv").open(newline="") as file:
        assert {row["suggested"] for row in csv.DictReader(file)} <= set(COLOURS)
