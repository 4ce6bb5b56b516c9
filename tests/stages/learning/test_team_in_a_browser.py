"""The loop of a team, played through: sheet, labels, cycle, sheet, labels, cycle, predict."""

from __future__ import annotations

import csv
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rrtool
from rrtool.exchange.label_files import read_labels
from tests.browser import Browser, each, needs_browser
from tests.stages.made_features import write_features
from tests.tiny import assert_done
from tests.tiny import rrtool as run

pytestmark = needs_browser

COLOURS = {"mug": (220, 40, 40), "tea pot": (40, 200, 60), "plate, deep": (40, 60, 220)}
N_KNOWN = 30


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the photos of a team show: the first ones in ``photos``, those that come in ``new``.

    Their descriptors (``photos.h5``, ``new.h5``) are their mean colours, as it were.
    """
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    classes = {f"IMG {number:02d}.png": list(COLOURS)[number % 3] for number in range(36)}
    for folder, names in (
        ("photos", list(classes)[:N_KNOWN]),
        ("new", list(classes)[N_KNOWN:]),
    ):
        Path(folder).mkdir()
        for name in names:
            Image.new("RGB", (24, 24), COLOURS[classes[name]]).save(f"{folder}/{name}")
        vectors = np.array([COLOURS[classes[name]] for name in names]) - 100.0
        vectors += generator.normal(scale=30, size=vectors.shape)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        write_features(Path(f"{folder}.h5"), names, vectors)
    return classes


def label_sheet(browser: Browser, page: Path, truth: dict[str, str]) -> Path:
    """Label every image by keys: new classes are typed, right suggestions are confirmed."""
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(page.parent))
    browser.show(page)
    current = "(({shown, suggested}) => [shown, classes[suggested]?.name])(current.dataset)"
    for _ in browser.value(each(".card", "1")):
        name, suggested = browser.value(current)
        keys = browser.value("[...keysOf()].map(([key, one]) => [one.name, key])")
        if truth[name] == suggested:
            browser.press("Enter")
        elif truth[name] in dict(keys):
            browser.press(dict(keys)[truth[name]])
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


def test_team_labels_twice_and_predicts_what_is_new(
    browser: Browser, truth: dict[str, str], tmp_path: Path
) -> None:
    words = ("al-cycle", "photos", "--features", "photos.h5", "--budget", "6")
    assert_done(run(*words, "-o", "start.h5"))
    for before, after in pairwise(["start", "0", "1"]):
        labels = label_sheet(browser, tmp_path / f"{before}.to_label.html", truth)
        assert labels.name == f"{before}.labels.csv"
        given = ("--state", f"{before}.h5", "--labels", labels)
        assert_done(run(*words, *given, "-o", f"{after}.h5"))
    state = rrtool.open("1.h5")
    labelled = {
        name: state.class_names[label]
        for name, label in zip(state.names, state.labels, strict=True)
        if label >= 0
    }
    assert len(labelled) == 12
    assert labelled == {name: truth[name] for name in labelled}
    words = ("predict", "1.h5", "new.h5", "--photos", "new", "--sort-into", "sorted")
    assert_done(run(*words, "-o", "predictions.csv"))
    with Path("predictions.csv").open(newline="", encoding="utf-8") as file:
        found = {row["name"]: row["class"] for row in csv.DictReader(file)}
    assert found == dict(list(truth.items())[N_KNOWN:])
    # The folders that it was sorted into are labels again.
    assert {row.names[-1]: row.label for row in read_labels("sorted")} == found
