"""Listing, decoding and reading ahead."""

from __future__ import annotations

import io
import os
import pickle
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rrtool.errors import UsageError
from rrtool.images.collection import collect
from rrtool.images.decode import ImageError, decode_image
from rrtool.images.listing import list_images
from rrtool.images.prefetch import default_workers, prefetch
from tests.tiny import assert_done, extract, make_pictures, picture


def test_list_images_folder_in_byte_order_without_hidden_files(tmp_path):
    for name in (
        "b.jpg",
        "B.PNG",
        "é.png",
        "a/z.gif",
        "a.jpg",
        ".hidden.jpg",
        ".git/x.jpg",
        "n.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    listed = list_images(str(tmp_path))
    assert listed.names == ["B.PNG", "a.jpg", "a/z.gif", "b.jpg", "é.png"]
    assert listed.paths == [str(tmp_path / name) for name in listed.names]
    assert listed.passed_over == [("n.txt", "not a photo")]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"b.jpg\na b.jpg\n\n", ["b.jpg", "a b.jpg"]),
        (b"\xef\xbb\xbfb.jpg\r\na,b.jpg\r\n", ["b.jpg", "a,b.jpg"]),
        (b'name,label\nb.jpg,1\n"a,b.jpg",2\n', ["b.jpg", "a,b.jpg"]),
        (b"path\tlabel\nb.jpg\t1\n", ["b.jpg"]),
        (b"b.jpg\0new\nline.jpg\0", ["b.jpg", "new\nline.jpg"]),
        (b"\xff.jpg\n", [os.fsdecode(b"\xff.jpg")]),
        (b"b.jpg\ra b.jpg\r", ["b.jpg", "a b.jpg"]),
        (b"name;label\r\nb.jpg;1\r\na,b.jpg;2\r\n", ["b.jpg", "a,b.jpg"]),
        (b"label,other,File Name\r1,2,b.jpg\r3,4,a.jpg\r", ["b.jpg", "a.jpg"]),
        (b"b.jpg;cat\na,b.jpg;dog\n", ["b.jpg", "a,b.jpg"]),
        (b"image, of me.jpg\nb.jpg\n", ["image, of me.jpg", "b.jpg"]),
        (b"name\n'=b.jpg\n", ["'=b.jpg"]),
        (b"name,label\n'=b.jpg,1\n", ["=b.jpg"]),
        ("name;label\r\né.jpg;1\r\n".encode("utf-16"), ["é.jpg"]),
        ("é.jpg\na.jpg\n".encode("utf-16-le"), ["é.jpg", "a.jpg"]),
    ],
)
def test_list_images_from_a_list(tmp_path, content, names):
    (tmp_path / "list.txt").write_bytes(content)
    listed = list_images(str(tmp_path / "list.txt"))
    assert listed.names == names
    assert listed.paths == [str(tmp_path / name) for name in names]


@pytest.mark.parametrize(
    ("second", "found"),
    [
        ("a.jpg", r"found a.jpg\)"),
        ("./a.jpg", r"as a.jpg and as ./a.jpg\)"),
        ("sub/../a.jpg", "as a.jpg and as sub"),
        ("{folder}/a.jpg", "as a.jpg and as /"),
        (".\\a.jpg", r"as a.jpg and as .\\a.jpg"),
    ],
)
def test_list_images_notices_a_file_that_is_listed_twice(tmp_path, second, found):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "list.txt").write_text(f"a.jpg\nb.jpg\n{second.format(folder=tmp_path)}\n")
    with pytest.raises(UsageError, match=f"listed twice.*{found}"):
        list_images(str(tmp_path / "list.txt"))


@pytest.mark.parametrize(
    ("listed", "stored"),
    [
        (b"cafe\xcc\x81.jpg", b"caf\xc3\xa9.jpg"),
        (b"caf\xc3\xa9.jpg", b"cafe\xcc\x81.jpg"),
        (b"caf\xe9.jpg", b"caf\xc3\xa9.jpg"),
        (b"sub\\a.jpg", b"sub/a.jpg"),
        (b"a.jpg ", b"a.jpg"),
    ],
)
def test_list_images_finds_a_file_under_another_spelling(tmp_path, listed, stored):
    path = tmp_path / os.fsdecode(stored)
    path.parent.mkdir(exist_ok=True)
    path.touch()
    (tmp_path / "list.txt").write_bytes(listed + b"\n")
    found = list_images(str(tmp_path / "list.txt"))
    assert found.names == [os.fsdecode(listed)]  # names stay as people wrote them
    assert os.path.samefile(found.paths[0], path)


def test_list_images_of_a_pipe_or_a_device_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "fifo.txt")
    for source in (tmp_path / "fifo.txt", "/dev/zero"):
        with pytest.raises(UsageError, match="not a file"):
            list_images(str(source))


def test_list_images_table_that_is_malformed_is_a_usage_error(tmp_path):
    for content in (b'name,label\n"a.jpg,1\n', b"name,label\n" + b"x" * 200_000 + b",1\n"):
        (tmp_path / "list.csv").write_bytes(content)
        with pytest.raises(UsageError):
            list_images(str(tmp_path / "list.csv"))


def test_extract_reads_a_list_from_stdin(tmp_path):
    images = make_pictures(tmp_path / "images", 2)
    paths = b"\n".join(os.fsencode(path) for path in sorted(images.iterdir()))
    assert_done(extract("-", tmp_path / "f.h5", stdin=paths))


@pytest.mark.parametrize(
    ("size", "max_size", "box", "expected"),
    [
        ((400, 200), 100, None, (100, 50)),
        ((60, 40), 100, None, (60, 40)),
        # The crop of 200 x 100 shrinks by the full image's 100/400.
        ((400, 200), 100, (50, 50, 250, 150), (50, 25)),
        ((60, 40), 100, (10, 10, 30, 40), (20, 30)),
        ((400, 3), 40, None, (40, 1)),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_decode_image_size(tmp_path, size, max_size, box, expected, suffix):
    picture(1, size).save(tmp_path / f"a.{suffix}")
    decoded = decode_image(str(tmp_path / f"a.{suffix}"), max_size, box)
    assert decoded.pixels.shape == (expected[1], expected[0], 3)
    assert decoded.full_size == size
    assert decoded.box == (box or (0, 0, *size))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_image_exif_orientation(tmp_path, orientation):
    upright = picture(2, (48, 32))
    stored = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    turned = upright
    for step in stored.get(orientation, []):
        turned = turned.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned.save(tmp_path / "a.png", exif=exif)
    decoded = decode_image(str(tmp_path / "a.png"), 100, (4, 2, 40, 30))
    assert decoded.full_size == (48, 32)
    np.testing.assert_array_equal(decoded.pixels, np.asarray(upright)[2:30, 4:40])


def test_decode_image_lays_transparency_over_white_and_scales_16_bits(tmp_path):
    Image.new("RGBA", (9, 9), (10, 20, 30, 0)).save(tmp_path / "a.png")
    assert (decode_image(str(tmp_path / "a.png"), 99).pixels == 255).all()
    Image.fromarray(np.full((9, 9), 257 * 77, np.uint16)).save(tmp_path / "b.png")
    assert (decode_image(str(tmp_path / "b.png"), 99).pixels == 77).all()


@pytest.mark.parametrize("suffix", ["png", "jpeg", "gif", "tiff", "bmp", "webp", "ppm"])
def test_decode_image_damaged_bytes_raise_nothing_but_image_error(tmp_path, suffix):
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {"exif": exif} if suffix in ("png", "jpeg", "tiff", "webp") else {}
    picture(4, (24, 20)).save(buffer, suffix, **options)
    generator, reasons = np.random.default_rng(8), []
    for _ in range(150):
        content = bytearray(buffer.getvalue())
        for _ in range(int(generator.integers(1, 6))):
            position = int(len(content) * generator.random() ** 3)
            content[position] = int(generator.integers(256))
        (tmp_path / "a").write_bytes(content[: int(generator.integers(1, 2 * len(content)))])
        try:
            decode_image(str(tmp_path / "a"), 64, None, 1_000_000)
        except ImageError as error:
            reasons.append(str(error))
    assert reasons
    assert all(reason and reason.isprintable() for reason in reasons)


def test_prefetch_keeps_the_order_and_bounds_the_work_ahead():
    started, lock = [], threading.Lock()

    def work(item):
        with lock:
            started.append(item)
        return item * item

    results = prefetch(work, range(50), workers=4, ahead=5)
    assert next(results) == 0
    assert len(started) <= 6
    assert list(results) == [i * i for i in range(1, 50)]
    assert list(prefetch(work, [], 2, 3)) == []


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own here")
def test_prefetch_steps_back_behind_the_threads_that_compute():
    own = os.getpriority(os.PRIO_PROCESS, 0)
    found = prefetch(lambda _: os.getpriority(os.PRIO_PROCESS, 0), range(4), workers=2, ahead=2)
    assert set(found) == {min(19, own + 5)}
    assert os.getpriority(os.PRIO_PROCESS, 0) == own


@pytest.mark.parametrize(
    ("n_cores", "beside_cpu", "beside_gpu"), [(1, 1, 1), (2, 1, 2), (16, 6, 16), (64, 16, 16)]
)
def test_fewer_threads_decode_where_the_network_needs_the_cores(
    monkeypatch, n_cores, beside_cpu, beside_gpu
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(n_cores)))
    assert default_workers() == beside_cpu
    assert default_workers("cuda") == beside_gpu


def test_prefetch_hands_on_exceptions_in_their_turn():
    def work(item):
        if item == 3:
            raise KeyError(item)
        return item

    results = prefetch(work, range(9), workers=3, ahead=6)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(results)


def test_collect_gallery_lists_its_images_only_and_tells_the_missing(tmp_path: Path) -> None:
    make_pictures(tmp_path / "photos", 4)
    truth = {
        "imlist": ["003", "001", "gone"],
        "qimlist": ["000"],
        "gnd": [{"bbx": [0.0, 0.0, 9.0, 9.0], "easy": [0], "hard": [], "junk": []}],
    }
    (tmp_path / "gnd.pkl").write_bytes(pickle.dumps(truth, protocol=2))
    found = collect(str(tmp_path / "photos"), gallery_source=str(tmp_path / "gnd.pkl"))
    assert found.names == ["001.png", "003.png"]
    assert found.boxes == [None, None]
    assert [name for name, _ in found.skipped] == ["gone"]
    with pytest.raises(UsageError, match="--gallery"):
        collect(str(tmp_path / "photos"), str(tmp_path / "gnd.pkl"), str(tmp_path / "gnd.pkl"))
    (tmp_path / "other").mkdir()
    make_pictures(tmp_path / "other" / "photos", 1)
    with pytest.raises(UsageError, match="no image of the database is in this ground truth"):
        collect(str(tmp_path / "other"), gallery_source=str(tmp_path / "gnd.pkl"))
