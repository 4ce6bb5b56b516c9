"""The page is well-formed and safe, and the drawing lands where it should."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrtool.errors import UsageError, printable
from rrtool.images.listing import list_images
from rrtool.reports.contact_sheet import Card, LabelSheet, grouped
from rrtool.reports.document import inline_script
from rrtool.reports.drawing import Ellipses, ellipses_in_pixels
from rrtool.reports.match_page import (
    NOT_COUNTED,
    RIGHT,
    WRONG,
    QueryResult,
    Score,
    ShownHit,
    render_page,
)
from rrtool.reports.picture_store import PictureStore, ShownPicture
from rrtool.reports.pictures import Pictures
from rrtool.reports.verified_match import DrawnMatch, Sheet, strongest
from rrtool.stages.reports.match_rule import MatchRule

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


def test_sheet_is_balanced_and_escapes_names() -> None:
    evil = '</li><script>alert("&")</script>\n\udcff.jpg'
    cards = [Card(0, evil, evil, 0.5), Card(7, "a.png"), Card(8, "b.png")]
    pictures = {0: Image.new("RGB", (8, 8)), 7: Image.new("RGB", (80, 8))}
    sheet = LabelSheet(evil, [evil], cards, evil, evil)
    text = "".join(sheet.render(lambda card: pictures.get(card.row)))
    text.encode("utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert text.count("<script>") == text.count("</script>") == 1  # the page's own
    assert checker.alternatives == ["a.png", printable(evil)]
    # A name that was changed to be shown must not come back as the name of an image.
    assert 'data-id="0" data-name=""' in text
    assert 'data-id="7" data-name="a.png"' in text


def test_sheet_allows_its_own_script_alone() -> None:
    text = "".join(LabelSheet("uuid", [], [Card(0, "a.png")], "", "").render(lambda card: None))
    script = text.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src"
    assert f"{policy} 'sha256-{digest}'" in text
    assert "<!--" not in script


def test_grouped_puts_the_largest_group_first_and_its_surest_card() -> None:
    cards = [Card(0, "", "b", 0.5), Card(1, "", "a", 0.2), Card(2, "", "b", 0.9), Card(3, "")]
    groups = grouped(cards, ["a", "b"])
    assert [(group.label, [card.row for card in group.cards]) for group in groups] == [
        (1, [2, 0]), (0, [1]), (None, [3]),
    ]  # fmt: skip


def hit_of(name: str, mark: str | None, n_inliers: int | None) -> ShownHit:
    picture = ShownPicture(0, (8, 8), 1.0)
    sheet = Sheet(picture, None if n_inliers is None else picture)
    match = DrawnMatch(n_inliers, ["M0 0"], ["M0 0"]) if n_inliers else None
    return ShownHit(1, name, mark, 0.25, 0.5, 2, n_inliers, n_inliers == 3, sheet, match)


def page_of(results: Iterable[QueryResult], text: str = "") -> Iterator[str]:
    return render_page(
        title=text, results=results, facts={text: text}, warning=text, score=Score(text, text),
        rule=MatchRule(3), score_columns=[text], score_rows=[(text, [text])],
    )  # fmt: skip


def test_page_of_matches_is_balanced_and_escapes_names() -> None:
    evil = '<script>alert("&")</script>\n\udcff.jpg'
    marked = ((RIGHT, 3), (WRONG, 0), (NOT_COUNTED, 1), (None, None))
    hits = [hit_of(evil, mark, n_inliers) for mark, n_inliers in marked]
    new = [(0, Image.new("RGB", (8, 8)))]
    result = QueryResult(evil, hits[0].picture, (1, 1, 5, 5), hits, [evil], evil, new)
    text = "".join(page_of(iter([result]), evil))
    text.encode("utf-8")
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    assert not checker.tags & {"script", "img"}
    # Right and wrong are told by words and marks, not by colour alone.
    assert re.findall(r'aria-label="Open hit 1, (\w*):', text)[:2] == ["right", "wrong"]
    assert text.count("✓") == 1
    assert text.count("✗") == 1


def test_render_writes_a_result_before_the_next_one_is_made() -> None:
    made: list[int] = []

    def results() -> Iterator[QueryResult]:
        for i in range(3):
            made.append(i)
            yield QueryResult(f"query {i}", None, None, [])

    pieces = page_of(results())
    assert made == []
    for piece in pieces:
        if "query 0" in piece:
            break
    assert made == [0]


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


@pytest.mark.parametrize(
    ("covariance", "a", "b", "angle"),
    [((9, 0, 4), 6, 4, 0), ((4, 0, 9), 6, 4, 90), ((5, 3, 5), 2 * 8**0.5, 2 * 2**0.5, 45),
     ((0, 0, 0), 0, 0, 0), ((1, 1, 1), 2 * 2**0.5, 0, 45)],
)  # fmt: skip
def test_outline_is_the_ellipse_of_a_uniform_region(
    covariance: tuple[float, float, float], a: float, b: float, angle: float
) -> None:
    """A uniform ellipse has the covariance of its semi-axes squared over 4."""
    xx, xy, yy = covariance
    ellipses = Ellipses(np.array([[4.5, 6.5]]), np.array([[[xx, xy], [xy, yy]]], float))
    (path,) = ellipses.outlines()
    x, y, *arcs = map(float, re.findall(r"-?[\d.]+", path))
    first, second = np.array(arcs).reshape(2, 7)
    np.testing.assert_allclose(first[:3], [a, b, angle], atol=0.051)
    np.testing.assert_allclose(first[:5], second[:5])
    # From one end of the longer axis to the other, and back; pixel centres lie at halves.
    np.testing.assert_allclose(first[5:], -second[5:])
    np.testing.assert_allclose([x, y] + first[5:] / 2, [5, 7], atol=0.1)
    assert np.hypot(*first[5:]) == pytest.approx(2 * a, abs=0.15)


def test_draw_leaves_out_what_is_no_number() -> None:
    sheet = Sheet(ShownPicture(0, (100, 50), 0.5), ShownPicture(1, (20, 50), 1.0))
    assert (sheet.width, sheet.height) == (152, 100)
    means = np.array([[19.5, 9.5], [np.nan, 0], [1, 1]])
    covariances = np.tile(np.eye(2), (3, 1, 1))
    broken = covariances.copy()
    broken[2, 0, 1] = np.inf
    match = sheet.draw(Ellipses(means, covariances), Ellipses(means, broken), 7)
    assert match is not None
    # The first is halved, and centred vertically; the second, behind it and the gap, is doubled,
    # for its longer side is half of the first's.
    assert match.lines == ["M10.0 30.0L152.0 20.0"]
    assert len(match.outlines) == 1
    assert match.n_inliers == 7
    none = Ellipses(np.zeros((0, 2)), np.zeros((0, 2, 2)))
    assert sheet.draw(none, none, 0) == DrawnMatch(0, [], [])
    assert Sheet(None, sheet.second).draw(none, none, 0) is None


def test_strongest_takes_each_feature_once() -> None:
    inliers = np.array([(0, 0), (0, 1), (1, 1), (2, 1), (3, 3)])
    strengths = np.array([1, 5, 2, 3, 4], np.float16)
    assert strongest(strengths, inliers).tolist() == [[0, 1], [3, 3]]
    many = np.tile(np.arange(100)[:, None], 2)
    assert strongest(np.arange(100), many).tolist() == [[n, n] for n in range(99, 59, -1)]


def test_picture_store_shrinks_the_pictures_of_large_pages(tmp_path: Path) -> None:
    Image.new("RGB", (1000, 500)).save(tmp_path / "a.png")
    pictures = Pictures(str(tmp_path), ["a.png"])
    for n, side in ((1, 480), (217, 480), (500, 316), (10_000, 240)):
        store = PictureStore(n)
        shown = store.show(pictures, "a.png")
        assert shown is not None
        assert (shown.number, shown.size) == (0, (side, side // 2))
        assert shown.factor == pytest.approx(side / 1000)
        assert store.show(pictures, "a.png") is shown
        assert store.show(pictures, "b.png") is None
        assert [number for number, _ in store.take_new()] == [0]
        assert store.take_new() == []


def test_photos_of_a_folder_are_where_its_list_says(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("a.png", "sub/b.png", ".hidden.png", ".cache/c.png", "../outside.png"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    (folder / "folder.png").mkdir()
    listed = list_images(str(folder))
    pictures = Pictures(str(folder), listed.names)
    assert [pictures.path(name) for name in listed.names] == listed.paths
    others = (".hidden.png", ".cache/c.png", "../outside.png", str(tmp_path / "outside.png"),
              "sub/../a.png", "folder.png", "", "x\0.png", "gone.png")  # fmt: skip
    assert [pictures.path(name) for name in others] == [None] * len(others)
    with pytest.raises(UsageError, match=r"expected x\.png, found a\.png, sub/b\.png"):
        Pictures(str(folder), ["x.png"])


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
    text = inline_script("sheet.js").text
    assert """value.replace(/^(?='*[=+\\-@\\t\\r])/, "'")""" in text


def test_small_ellipses_lie_above_large_ones() -> None:
    sheet = Sheet(ShownPicture(0, (100, 100), 1.0), ShownPicture(1, (100, 100), 1.0))
    sizes = np.array([3.0, 9.0, 1.0, 9.0])
    means = np.column_stack([np.arange(4) * 10.0, np.zeros(4)])
    ellipses = Ellipses(means, sizes[:, None, None] * np.eye(2))
    match = sheet.draw(ellipses, ellipses, 4)
    assert match is not None
    # In the order of drawing: what is drawn last lies above, where it can be pointed at.
    starts = [line[1:].split(" ")[0] for line in match.lines]
    assert starts == ["10.5", "30.5", "0.5", "20.5"]
