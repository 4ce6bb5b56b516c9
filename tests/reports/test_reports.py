"""The page is well-formed and safe, and the drawing lands where it should."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from rrtool.core.matching.local_features import LocalFeatures
from rrtool.errors import printable
from rrtool.reports.contact_sheet import Card, render_sheet
from rrtool.reports.document import render
from rrtool.reports.drawing import Ellipses, draw_matches, ellipses_in_pixels
from rrtool.reports.match_page import NOT_COUNTED, RIGHT, WRONG, Found, QueryResult
from rrtool.reports.pictures import Pictures
from rrtool.reports.verified_match import MatchDrawer, MatchSide

VOID = {"meta", "img", "br", "input"}


class Checker(HTMLParser):
    """Collects open tags, tags seen, and the alternatives of images."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
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


def test_render_sheet_is_balanced_and_escapes_names() -> None:
    evil = '</li><script>alert("&")</script>\n\udcff.jpg'
    cards = [
        Card(0, evil, Image.new("RGB", (8, 8)), evil, 0.5),
        Card(7, "a.png", Image.new("RGB", (80, 8))),
        Card(8, "b.png", None),
    ]
    text = "".join(render_sheet(evil, "uuid", [evil], cards, evil))
    text.encode("utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert text.count("<script>") == text.count("</script>") == 1  # the page's own
    assert checker.alternatives == [printable(evil), "a.png"]
    # A name that was changed to be shown must not come back as the name of an image.
    assert 'data-id="0" data-name=""' in text
    assert 'data-id="7" data-name="a.png"' in text


def test_page_of_matches_is_balanced_and_escapes_names() -> None:
    evil = '<script>alert("&")</script>\n\udcff.jpg'
    picture = Image.new("RGB", (8, 8))
    found = [
        Found(evil, picture, mark, 0.5, n)
        for mark, n in ((RIGHT, 3), (WRONG, 0), (NOT_COUNTED, 1), (None, None))
    ]
    result = QueryResult(evil, picture, found, found[:1], (picture, evil), evil)
    page = render(
        "matches.html", title=evil, results=iter([result]), facts={evil: evil}, warning=evil,
        score_columns=[evil], score_rows=[[evil]],
    )  # fmt: skip
    text = "".join(page)
    text.encode("utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert "script" not in checker.tags
    # Right and wrong are told by words and marks, not by colour alone.
    assert [name.split(":")[0] for name in checker.alternatives[1:3]] == ["right", "wrong"]
    assert text.count("✓") == 2
    assert text.count("✗") == 1


def test_render_writes_a_result_before_the_next_one_is_made() -> None:
    made: list[int] = []

    def results() -> Iterator[QueryResult]:
        for i in range(3):
            made.append(i)
            yield QueryResult(f"query {i}", None, [])

    pieces = render("matches.html", title="", results=results(), score_columns=[], score_rows=[])
    assert made == []
    for piece in pieces:
        if "query 0" in piece:
            break
    assert made == [0]


def test_fits_tells_matches_of_other_local_features() -> None:
    # Two images at two scales, with 1 + 2 and 3 + 0 features.
    offsets = np.array([0, 1, 3, 6, 6])
    features = LocalFeatures(*(np.zeros(6),) * 4, offsets, n_scales=2)
    side = MatchSide(["a", "b"], features, np.zeros((2, 2, 2)), np.zeros((2, 4)), Mock())
    ids = np.array([[1, 0], [0, -1]])

    def fits(inliers: list[tuple[int, int]], scales: list[tuple[int, int]]) -> bool:
        pairs = np.array(scales, np.int8).reshape(2, 1, 2)
        return MatchDrawer(side, side, pairs, np.array([0, 2, 3]), np.array(inliers)).fits(ids)

    good, scales = [(2, 0), (0, 2), (2, 2)], [(0, 1), (1, 0)]
    assert fits(good, scales)
    for place in range(3):
        for wrong in ((3, 0), (0, 3), (-1, 0), (0, -1)):
            assert not fits([*good[:place], wrong, *good[place + 1 :]], scales)
    assert not fits(good, [(0, 2), (1, 0)])
    assert not fits(good, [(0, 1), (-1, 0)])


def test_ellipses_in_pixels_hand_worked() -> None:
    # A map of 10×5 cells over x 20…120, y 40…90: cells of 10×10 pixels.
    found = ellipses_in_pixels(
        np.array([[0.0, 0.0], [4.0, 2.0]]),
        np.array([[4.0, 1.0, 1.0], [1.0, 0.0, 1.0]]),
        (10, 5),
        (20.0, 40.0, 120.0, 90.0),
    )
    np.testing.assert_allclose(found.means, [[24.5, 44.5], [64.5, 64.5]])
    np.testing.assert_allclose(found.covariances[0], [[400, 100], [100, 100]])


def test_resized_keeps_pixel_centres() -> None:
    halved = Ellipses(np.array([[0.5, 10.5]]), 16 * np.eye(2)[None]).resized(0.5)
    np.testing.assert_allclose(halved.means, [[0.0, 5.0]])
    np.testing.assert_allclose(halved.covariances, 4 * np.eye(2)[None])


def test_outlines_lie_on_the_ellipse_of_a_uniform_region() -> None:
    covariance = np.array([[9.0, 2.0], [2.0, 4.0]])
    outline = Ellipses(np.array([[5.0, 7.0]]), covariance[None]).outlines()[0] - [5, 7]
    # A uniform ellipse has the covariance of its semi-axes squared over 4: x'Σ⁻¹x = 4.
    distances = np.einsum("mi,ij,mj->m", outline, np.linalg.inv(covariance), outline)
    np.testing.assert_allclose(distances, 4.0)


@pytest.mark.parametrize("n", [0, 1])
def test_draw_matches_draws_the_ellipse_and_nothing_else(n: int) -> None:
    black = Image.new("RGB", (200, 100))
    # Radius 20 on the left around (50, 50), and on the right around (150, 50).
    first = Ellipses(np.full((n, 2), 50.0), np.tile(100 * np.eye(2), (n, 1, 1)))
    second = Ellipses(np.tile([150.0, 50.0], (n, 1)), np.tile(100 * np.eye(2), (n, 1, 1)))
    pixels = np.asarray(draw_matches(black, black, first, second).convert("RGB")).astype(int)
    left = pixels[:, :195].sum(axis=2)  # the grey gap blurs into the last columns
    assert (left[:25] == 0).all()
    assert (left[:, :25] == 0).all()
    assert (left[75:] == 0).all()
    assert (left[50, 28:33].max() > 100) == bool(n)


def test_crop_takes_any_box(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    pictures = Pictures(str(tmp_path), ["a.png"])
    for box, shown in (
        ((5, 10, 25, 20), pixels[10:20, 5:25]),
        ((-5, -10, 25, 20), pixels[:20, :25]),
        ((5, 10, np.inf, 1e30), pixels[10:, 5:]),
    ):
        np.testing.assert_array_equal(pictures.crop("a.png", np.array(box), 40, 40), shown)
    for box in (np.full(4, np.nan), np.array([50, 50, 20, 20])):
        part = pictures.crop("a.png", box, 40, 40)
        assert part is not None
        assert part.size == (1, 1)
    assert pictures.crop("b.png", np.zeros(4), 40, 40) is None
    assert pictures.missing == {"b.png"}


def test_sheet_saves_labels_as_other_tables_are_written() -> None:
    """What a spreadsheet would run gets an apostrophe (``rrtool.tables.table_lines``)."""
    text = "".join(render_sheet("title", "uuid", [], [], ""))
    assert """value.replace(/^(?='*[=+\\-@\\t\\r])/, "'")""" in text
