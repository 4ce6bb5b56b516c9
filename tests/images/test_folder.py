"""What a folder of photos holds, and what is said of the rest."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from rrtool.datasets.photos import load_photos
from rrtool.images.folder import FolderWalk, kinds_of
from rrtool.images.formats import format_of
from rrtool.images.listing import list_images
from rrtool.progress import Silent
from tests.images.odd_photos import encoded
from tests.tiny import assert_done, extract, picture, skipped_rows

JPEG = encoded(picture(0), "jpeg")


def put(folder: Path, **files: bytes) -> None:
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_bytes(content)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = tmp_path / "photos"
    photos.mkdir()
    put(photos, a_jpg=JPEG)
    return photos


@pytest.mark.parametrize(
    ("name", "content", "is_photo"),
    [
        ("b.jfif", JPEG, True),
        ("b.dat", JPEG, True),
        ("b", encoded(picture(1), "png"), True),
        ("b.x", encoded(picture(1), "tiff"), True),
        ("b.x", encoded(picture(1), "bmp"), True),
        ("b.x", encoded(picture(1), "ppm"), True),
        ("b.x", encoded(picture(1), "jpeg2000"), True),
        ("b.x", encoded(picture(1), "avif"), True),
        ("b.x", encoded(picture(1), "heif"), True),
        ("b.x", encoded(picture(1), "webp"), True),
        ("b.x", encoded(picture(1), "gif"), True),
        ("b.heic", b"damaged", True),
        ("b.txt", b"BMW and other cars, a list\n", False),
        ("b.txt", b"P1 of the plan\n", False),
        ("b.mp4", b"\0\0\0\x18ftypmp42" + bytes(99), False),
        ("b.db", b"", False),
    ],
)
def test_photo_is_told_by_its_bytes_where_the_suffix_is_unknown(folder, name, content, is_photo):
    (folder / name).write_bytes(content)
    listed = list_images(str(folder))
    assert listed.names == (["a.jpg", name] if is_photo else ["a.jpg"])
    assert listed.passed_over == ([] if is_photo else [(name, "not a photo")])
    assert listed.skipped == []


def test_raw_photos_are_no_thumbnails(folder):
    tiff = encoded(picture(1), "tiff")
    put(folder, b_dng=tiff, a_CR2=tiff, c_cr3=b"\0\0\0\x18ftypcrx " + bytes(99), d_nef=JPEG)
    listed = list_images(str(folder))
    assert listed.names == ["a.jpg", "d.nef"]  # the content decides
    assert [name for name, _ in listed.skipped] == ["b.dng", "c.cr3"]
    assert all("RAW" in why for _, why in listed.skipped)
    assert [name for name, _ in listed.passed_over] == ["a.CR2"]


def test_links_are_followed_once_and_circles_said(folder, tmp_path):
    (folder / "sub").mkdir()
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    put(tmp_path / "elsewhere", c_jpg=JPEG)
    put(tmp_path / "elsewhere" / "deep", d_jpg=JPEG)
    put(folder / "sub", b_jpg=JPEG)
    links = {
        "2020": "../elsewhere", "2021": "../elsewhere/deep", "a_sub": "sub", "sub/up": "..",
        "gone": "nowhere", "self": "self", "gone.jpg": "nowhere.jpg", "z.jpg": "a.jpg",
    }  # fmt: skip
    for name, target in links.items():
        os.symlink(target, folder / name)
    os.symlink("..", tmp_path / "elsewhere" / "deep" / "back")
    walk = FolderWalk(str(folder))
    assert sorted(walk.photos) == [
        "2020/c.jpg", "2020/deep/d.jpg", "a.jpg", "gone.jpg", "sub/b.jpg", "z.jpg",
    ]  # fmt: skip
    assert sorted(name for name, _ in walk.passed_over) == [
        "2020/deep/back", "2021", "a_sub", "sub/up",
    ]  # fmt: skip
    assert kinds_of(walk.passed_over) == {"links": 4}
    assert dict(walk.skipped) == {
        "gone": "a link that leads nowhere",
        "self": "a link in a circle, to a folder that holds it",
    }


def test_pipes_are_not_waited_for(folder):
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "pipe.jpg")
    listed = list_images(str(folder))
    assert listed.names == ["a.jpg", "pipe.jpg"]
    assert listed.passed_over == [("pipe", "a pipe, a socket or a device, not a file")]


def test_extract_tells_what_it_passes_over_and_ends_well(folder, tmp_path):
    put(folder, b_mp4=b"video", c_mp4=b"video", notes_txt=b"a text", f_h5=b"", f_skipped_tsv=b"")
    output = tmp_path / "f.h5"
    for _ in range(2):  # and again, when it is up to date
        result = extract(folder, output)
        assert_done(result)
        said = "3 other files were passed over (.mp4 2, .txt 1); see"
        assert said in result.stderr
    assert skipped_rows(output) == dict.fromkeys(["b.mp4", "c.mp4", "notes.txt"], "not a photo")


def test_extract_skips_what_it_cannot_read(folder, tmp_path):
    put(folder, b_cr2=b"II*\0\x10\0\0\0CR\2\0", c_heic=b"damaged", d_txt=b"a text")
    os.mkfifo(folder / "e.jpg")
    output = tmp_path / "f.h5"
    assert_done(extract(folder, output), 3)
    assert list(skipped_rows(output)) == ["b.cr2", "c.heic", "e.jpg", "d.txt"]


def test_photos_to_learn_from_are_listed_alike(folder):
    put(folder, b_txt=b"a text", c_dat=JPEG)
    dataset = load_photos(str(folder), 8, 10_000, 1, Silent())
    assert dataset.names == ["a.jpg", "c.dat"]
    assert dataset.passed_over == [("b.txt", "not a photo")]
    assert dataset.skipped == []


def test_every_format_has_a_signature():
    for kind in ("jpeg", "png", "gif", "webp", "tiff", "bmp", "ppm", "jpeg2000", "avif", "heif"):
        buffer = io.BytesIO(encoded(picture(2), kind))
        assert format_of(buffer.read(64)) == kind.upper()
