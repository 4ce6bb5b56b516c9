"""The page is well-formed and safe, and the drawing lands where it should."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from rrtool.reports.drawing import Ellipses, draw_matches, ellipses_in_pixels
from rrtool.reports.match_page import Entry, QueryResult, render_page

VOID = {"meta", "img", "br"}


class Checker(HTMLParser):
    """Collects open tags, texts and the alternatives of images."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.alternatives: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "img":
            self.alternatives.append(dict(attrs)["alt"] or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_render_page_is_balanced_and_escapes_names() -> None:
    evil = '<script>alert("&")</script>\n\udcff.jpg'
    picture = Image.new("RGB", (8, 8))
    entries = [Entry(evil, picture, is_right, "similarity 0.5") for is_right in (True, False, None)]
    page = render_page(evil, [evil], [QueryResult(entries[2], entries, entries[0])])
    page.encode("utf-8")
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert "script" not in checker.tags
    # Right and wrong are told by words, not by colour alone.
    assert [("✓" in text, "✗" in text) for text in checker.alternatives] == [
        (False, False),
        (True, False),
        (False, True),
        (False, False),
        (True, False),
    ]


def test_ellipses_in_pixels_hand_worked() -> None:
    # A map of 10×5 cells over x 20…120, y 40…90: cells of 10×10 pixels.
    found = ellipses_in_pixels(
        np.array([[0.0, 0.0], [4.0, 2.0]]),
        np.array([[4.0, 0.0, 1.0], [1.0, 0.0, 1.0]]),
        np.array([10, 5]),
        np.array([20.0, 40.0, 120.0, 90.0]),
    )
    np.testing.assert_allclose(found.means, [[24.5, 44.5], [64.5, 64.5]])
    np.testing.assert_allclose(found.axes[0], [[20, 0], [0, 10]])


def test_ellipses_in_pixels_of_nothing_is_empty() -> None:
    found = ellipses_in_pixels(np.zeros((0, 2)), np.zeros((0, 3)), np.ones(2), np.ones(4))
    assert found.means.shape == (0, 2)
    assert found.axes.shape == (0, 2, 2)


@pytest.mark.parametrize("n", [0, 1])
def test_draw_matches_colours_the_ellipse_and_nothing_else(n: int) -> None:
    black = Image.new("RGB", (200, 100))
    ellipse = Ellipses(np.full((n, 2), 50.0), np.tile(20 * np.eye(2), (n, 1, 1)))
    pixels = np.asarray(draw_matches(black, black, ellipse, ellipse, height=100)).astype(int)
    assert pixels.shape[0] == 100
    left = pixels[:, :200].sum(axis=2)
    assert (left[5:95, :25] == 0).all()
    # The first colour is red; the leftmost point of the circle is (30, 50).
    assert (left[50, 29:32].max() > 100) == bool(n)
