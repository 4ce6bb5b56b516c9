"""Pages in a real browser: what is seen, and what keys and clicks do."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrtool.errors import printable
from rrtool.progress import Silent
from rrtool.stages.reports.report_ranking import PageInputs, write_page
from tests.browser import CONTRASTS, Browser, each, needs_browser
from tests.stages.reports.made_ranking import (
    FUSED,
    SIZE,
    colour_of,
    write_local,
    write_photos,
    write_ranking,
)

pytestmark = needs_browser

LONG = "a_very_long_name_of_a_photo_" * 5
QUERIES = ["<script>window.hurt=1</script>.png", "plain query.png"]
NAMES = [
    '"><img src=x onerror=window.hurt=1>.png',
    f"{LONG}front.png",
    f"{LONG}back.png",
    "line\nbreak \u202egnp.exe.png",
    "שלום.png",
    "plain photo.png",
]
N_HITS = len(NAMES)
# Features 12 and 34 lie in the cells (2, 1) and (4, 3).
PAIRS = [(12, 34), *((number, number) for number in range(5))]
WIDTHS, SCHEMES = (400, 1400), (False, True)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two queries of six hits: a match, too few inliers, none at all, and not verified."""
    folder = tmp_path_factory.mktemp("page")
    write_photos(folder / "photos", NAMES)
    Image.new("RGB", (90, 120), colour_of(4)).save(folder / "photos" / NAMES[4])
    write_photos(folder / "queries", QUERIES, first=10)
    ranking = write_ranking(
        folder / "r.h5", (QUERIES, NAMES), [range(N_HITS), range(N_HITS)[::-1]],
        inliers=[[PAIRS, PAIRS[:2], []], [[], [], []]], boxes=[(0, 0, 100, 80), (0, 0, *SIZE)],
        description=FUSED | {"method": "global + whitening + expansion + DSM"},
    )  # fmt: skip
    inputs = PageInputs(
        ranking=str(ranking), images=str(folder / "photos"), query_images=str(folder / "queries"),
        query_local=str(write_local(folder / "q.h5", QUERIES)),
        database_local=str(write_local(folder / "d.h5", NAMES)),
        ground_truth="prefix:(.)", min_inliers=5,
    )  # fmt: skip
    write_page(inputs, folder / "page.html", Silent())
    return folder / "page.html"


OPEN = "document.querySelector(':popover-open')?.id ?? null"
# Words of an element that stand on more than one line.
BROKEN = """(() => {
  const broken = [];
  for (const root of document.querySelectorAll(%s)) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());)
      for (const word of node.data.matchAll(/[^\\s-]+/g)) {
        const range = document.createRange();
        range.setStart(node, word.index);
        range.setEnd(node, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map((r) => Math.round(r.top))).size > 1)
          broken.push(word[0]);
      }
  }
  return broken;
})()"""


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", SCHEMES)
def test_page_fits_its_window_and_can_be_read(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.show(page, width=width, dark=dark)
    assert browser.complaints() == []
    assert browser.value("document.documentElement.scrollWidth") <= width
    outside = "e.getBoundingClientRect().right > innerWidth + 0.5"
    assert not any(browser.value(each("body *", outside)))
    # Nothing is cut: no text is wider than what it stands in.
    cut = "e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline'"
    assert not any(browser.value(each("body *:not(svg):not(svg *)", cut)))
    assert browser.value(BROKEN % json.dumps(".scores")) == []
    selector = "h1, h2, p, th, td, .score, .made, .rank, .text bdi, summary, figcaption, .mark"
    contrasts = browser.value(CONTRASTS % json.dumps(selector))
    assert len(contrasts) > 40
    assert min(contrasts) >= 4.5
    is_dark = np.asarray(Image.open(io.BytesIO(browser.screenshot())).convert("L"))[5, 5] < 60
    assert is_dark == dark


@pytest.mark.parametrize("width", WIDTHS)
def test_pictures_are_large_enough_to_recognise(browser: Browser, page: Path, width: int) -> None:
    browser.show(page, width=width)
    longer = "Math.max(...((b) => [b.width, b.height])(e.getBoundingClientRect()))"
    sides = browser.value(each("figure use, .open use", longer))
    assert len(sides) == 2 + 2 * N_HITS
    assert min(sides) >= 160


def test_each_hit_shows_its_own_picture(browser: Browser, page: Path) -> None:
    browser.show(page, height=3000)
    boxes = browser.value(
        each("figure use, .open use", "(({x, y, width, height}) => [x + width / 4, y + height / 4])"
             "(e.getBoundingClientRect())")
    )  # fmt: skip
    pixels = np.asarray(Image.open(io.BytesIO(browser.screenshot())).convert("RGB")).astype(int)
    numbers = [10, *range(N_HITS), 11, *reversed(range(N_HITS))]
    for (x, y), number in zip(boxes, numbers, strict=True):
        assert np.abs(pixels[round(y), round(x)] - colour_of(number)).max() <= 6


def test_names_are_whole_and_only_texts(browser: Browser, page: Path) -> None:
    browser.show(page)
    names = browser.value(each(".text > bdi", "e.textContent"))
    assert names == [printable(name) for name in (*NAMES, *reversed(NAMES))]
    assert browser.value(each("h2", "e.textContent")) == QUERIES
    assert browser.value("window.hurt ?? null") is None
    assert browser.value("document.querySelectorAll('script, img').length") == 0
    policy = "document.querySelector('meta[http-equiv=Content-Security-Policy]').content"
    assert browser.value(policy).startswith("default-src 'none';")


def test_policy_keeps_a_script_from_running(browser: Browser, page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    changed.write_text(text.replace("<h1>", "<script>window.hurt = 1</script><h1>"), "utf-8")
    browser.show(changed)
    assert browser.value("window.hurt ?? null") is None
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


def test_every_hit_opens_and_closes_by_keys_alone(browser: Browser, page: Path) -> None:
    browser.show(page, width=400)
    asked = []
    for _ in range(2 * N_HITS):
        browser.press("Tab")
        target = browser.value("document.activeElement.getAttribute('popovertarget')")
        browser.press("Enter")
        assert browser.value(OPEN) == target
        asked.append(target)
        assert browser.value("document.activeElement.className") == "close"
        # It fits the window, and what it shows is there.
        box = browser.value(
            "((r) => [r.left, innerWidth - r.right, r.top, innerHeight - r.bottom])"
            "(document.querySelector(':popover-open').getBoundingClientRect())"
        )
        assert min(box) >= 0
        wider = "((e) => e.scrollWidth - e.clientWidth)(document.querySelector(':popover-open'))"
        assert browser.value(wider) <= 0
        sides = browser.value(
            each(":popover-open use", "Math.max(...((b) => [b.width, b.height])"
                 "(e.getBoundingClientRect()))")
        )  # fmt: skip
        assert len(sides) == 2
        assert min(sides) >= 160
        browser.press("Escape" if len(asked) % 2 else "Enter")  # as "Close" has the focus
        assert browser.value(OPEN) is None
        assert browser.value("document.activeElement.getAttribute('popovertarget')") == target
    expected = [f"q{query}h{rank}" for query in (1, 2) for rank in range(1, N_HITS + 1)]
    assert asked == expected
    browser.press("Tab")  # the last of all: how it was made, folded
    assert browser.value("document.querySelector('details').open") is False
    browser.press("Enter")
    assert browser.value("document.querySelector('details').open") is True
    assert browser.value("document.documentElement.scrollWidth") <= 400
    browser.press("Tab", shift=True)
    assert browser.value("document.activeElement.getAttribute('popovertarget')") == expected[-1]


def test_a_click_opens_a_hit_and_one_beside_it_closes_it(browser: Browser, page: Path) -> None:
    browser.show(page)
    browser.click("[popovertarget=q1h2]")
    assert browser.value(OPEN) == "q1h2"
    browser.click(":popover-open .close")
    assert browser.value(OPEN) is None
    browser.click("[popovertarget=q1h2]")
    browser.click_at(2, 2)
    assert browser.value(OPEN) is None


def test_matches_lie_where_their_features_are(browser: Browser, page: Path) -> None:
    browser.show(page)
    browser.value("document.getElementById('q1h1').showPopover()")
    shown = browser.value(each(":popover-open .line", "e.getAttribute('d')"))
    assert len(shown) == len(PAIRS)
    # Of equal size on both sides: 200 × 100 each, 12 between them; the cells are of 20 pixels.
    ends = browser.value(
        each(":popover-open .line", "[0, e.getTotalLength()].map((at) => e.getPointAtLength"
             "(at)).flatMap((p) => [p.x, p.y])")
    )  # fmt: skip
    centres = [(50, 30, 212 + 90, 70)]  # the feature 12 is not the strongest, but drawn
    centres += [(20 * n + 10, 10, 212 + 20 * n + 10, 10) for n in range(5)]
    np.testing.assert_allclose(sorted(ends), sorted(centres), atol=0.06)
    # Circles with a radius of one cell: the points of a border are 20 pixels from the centre.
    place = ends.index(min(ends, key=lambda end: abs(end[0] - 50) + abs(end[1] - 30)))
    borders = browser.value(
        each(":popover-open .outline", "[...Array(64).keys()].map((i) => e.getPointAtLength"
             "(i / 64 * e.getTotalLength())).map((p) => [p.x, p.y])")
    )  # fmt: skip
    points = np.array(borders[place])
    first, second = points[points[:, 0] < 206], points[points[:, 0] > 206]
    assert min(len(first), len(second)) >= 30
    np.testing.assert_allclose(np.hypot(*(first - (50, 30)).T), 20, atol=0.2)
    np.testing.assert_allclose(np.hypot(*(second - (302, 70)).T), 20, atol=0.2)
    colours = browser.value(each(":popover-open .outline", "getComputedStyle(e).stroke"))
    assert len(set(colours)) == len(PAIRS)
    assert browser.value(each(":popover-open .line", "getComputedStyle(e).stroke")) == colours
    # The box of the query is on its side.
    assert browser.value(each(":popover-open .box", "e.getBBox().width")) == [100]


def test_one_match_of_many_is_seen_alone_by_pointing_or_by_keys(
    browser: Browser, page: Path
) -> None:
    browser.show(page)
    browser.click("[popovertarget=q1h1]")
    faded = each(":popover-open .joined", "getComputedStyle(e).opacity < 0.2")
    assert browser.value(faded) == [False] * len(PAIRS)
    for number in range(len(PAIRS)):  # from one to the next, behind the button that closes
        browser.press("Tab")
        label = f"inlier {number + 1} of {len(PAIRS)}"
        assert browser.value("document.activeElement.getAttribute('aria-label')") == label
        assert browser.value(faded) == [place != number for place in range(len(PAIRS))]
    browser.value("document.activeElement.blur()")
    assert browser.value(faded) == [False] * len(PAIRS)
    # The middle of an ellipse is enough; that of feature 12 is pair 0, wherever it is drawn.
    where = browser.value(
        "(({a, d, e, f}) => [a * 50 + e, d * 30 + f])"
        "(document.querySelector(':popover-open .pair').getScreenCTM())"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=where[0], y=where[1])
    ends = browser.value(
        each(":popover-open .joined:hover .line", "((p) => [p.x, p.y])(e.getPointAtLength(0))")
    )
    np.testing.assert_allclose(ends, [[50, 30]], atol=0.06)
    assert sorted(browser.value(faded)) == [False, *[True] * (len(PAIRS) - 1)]
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)


def test_page_says_what_matches_and_what_does_not(browser: Browser, page: Path) -> None:
    browser.show(page)
    assert browser.value(each(".verdict", "e.textContent")) == [
        "1 match: 5 or more inliers.",
        "No match: no hit has 5 inliers. What follows is most alike.",
    ]
    assert browser.value(each(".rank", "e.textContent")) == [
        str(rank) for _ in QUERIES for rank in range(1, N_HITS + 1)
    ]
    # Names and numbers of the raw kind come last, folded.
    places = browser.value(each("dl, ol", "e.tagName"))
    assert places == ["OL", "OL", "DL"]
    assert browser.value("document.querySelector('dl').checkVisibility()") is False
