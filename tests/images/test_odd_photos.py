"""Odd photos: each is seen as a browser shows it, or skipped with its reason."""

from __future__ import annotations

import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms, TiffImagePlugin

from rrtool.images.decode import ImageError, decode_image
from rrtool.images.metadata import orientation_in
from tests.images.odd_photos import (
    encoded,
    flat_png,
    in_mode,
    make_odd,
    random_exif,
    with_chunk,
    with_exif,
    wrong_outcomes,
)
from tests.tiny import assert_done, extract, picture, skipped_rows


@pytest.fixture
def decoded(tmp_path):
    """Decode these bytes."""

    def decode(content, *args, name="a.jpg"):
        (tmp_path / name).write_bytes(content)
        return decode_image(str(tmp_path / name), *(args or (200,)))

    return decode


def test_extract_of_odd_photos_gives_each_its_due(tmp_path):
    odd = make_odd(60)
    (tmp_path / "photos").mkdir()
    for photo in odd:
        (tmp_path / "photos" / photo.name).write_bytes(photo.content)
    assert_done(extract(tmp_path / "photos", tmp_path / "f.h5"), 3)
    assert wrong_outcomes(odd, skipped_rows(tmp_path / "f.h5")) == []


def test_exif_never_costs_a_photo(decoded):
    image = picture(1, (24, 20))
    jpeg, png = encoded(image, "jpeg"), encoded(image, "png")
    exact, generator = decoded(jpeg).pixels, np.random.default_rng(0)
    for _ in range(300):
        block = random_exif(generator)
        pixels = decoded(with_exif(jpeg, block)).pixels
        if orientation_in(block) == 1:
            np.testing.assert_array_equal(pixels, exact)
        assert sorted(decoded(with_chunk(png, b"eXIf", block[6:])).pixels.shape) == [3, 20, 24]


def test_damaged_exif_of_avif_heif_and_tiff(decoded):
    for kind in ("avif", "heif"):
        content = encoded(picture(1), kind, exif=b"Exif\0\0II*\0\x08\0\0\0" + bytes(300))
        assert decoded(content.replace(b"II*\0\x08\0\0\0", b"II*\0\xff\xff\xff\xff")).full_size
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[274] = 6
    tags.tagtype[34665], tags[34665] = 4, 0xFFFFFF00  # a sub-directory beyond the end
    assert decoded(encoded(picture(1), "tiff", tiffinfo=tags)).full_size == (64, 72)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["tiff", "jpeg", "webp", "avif"])
def test_boxes_are_in_upright_pixels(decoded, kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"quality": 100} if kind in ("jpeg", "avif") else {"lossless": True}
    options = {"tiffinfo": {274: orientation}} if kind == "tiff" else {"exif": exif, **lossless}
    content = encoded(picture(3, (48, 32)), kind, **options)
    whole = decoded(content)
    assert whole.full_size == ((48, 32) if orientation < 5 else (32, 48))
    assert whole.full_size == whole.pixels.shape[1::-1]
    part = decoded(content, 200, (4, 2, 30, 20))
    np.testing.assert_array_equal(part.pixels, whole.pixels[2:20, 4:30])


def test_box_outside_its_photo_is_said_with_both(decoded):
    with pytest.raises(ImageError, match=r"box \(80, 5, 99, 9\) lies outside the image of 72×64"):
        decoded(encoded(picture(1), "png"), 200, (80, 5, 99, 9))


@pytest.mark.parametrize(
    ("bits", "colours", "transparent"),
    [
        (16, 0, b"\x12\x34"), (8, 0, b"\0\x12"), (4, 0, b"\0\x03"), (2, 0, b"\0\x02"),
        (1, 0, b"\0\x01"), (16, 2, b"\x12\x34\xf0\x01\0\xff"), (8, 2, b"\0\x12\0\xf0\0\x01"),
    ],
)  # fmt: skip
def test_transparent_colour_of_a_png_is_white(decoded, bits, colours, transparent):
    samples = transparent if bits == 16 else transparent[1::2]
    if bits < 8:  # a byte full of them
        samples = bytes([sum(samples[0] << shift for shift in range(0, 8, bits))])
    rows = (b"\0" + samples * min(8, bits)) * 2
    content = with_chunk(flat_png(8, 2, bits, colours, rows), b"tRNS", transparent)
    assert (decoded(content).pixels == 255).all()
    black = with_chunk(flat_png(8, 2, bits, colours), b"tRNS", transparent)
    assert (decoded(black).pixels == 0).all()


@pytest.mark.parametrize("white", [255, 65535, (1 << 31) - 1])
def test_grey_tiff_of_32_bits(decoded, white):
    samples = (np.linspace(0, 1, 64)[None] * np.ones((8, 1)) * white).astype(np.int32)
    pixels = decoded(encoded(Image.fromarray(samples), "tiff")).pixels
    expected = np.linspace(0, 255, 64)[None, :, None]
    assert np.abs(pixels - expected).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_modes_look_like_the_picture(decoded, mode):
    image = picture(5).convert("L") if mode in ("L", "LA", "I;16") else picture(5)
    shown = in_mode(image, mode)
    expected = Image.new("RGBA", image.size, "white")
    layer = (shown if mode in ("1", "P") else image).convert("RGB").convert("RGBA")
    if mode in ("LA", "RGBA"):
        layer.putalpha(shown.getchannel("A"))
    expected.alpha_composite(layer)
    kind = "tiff" if mode == "CMYK" else "png"
    found = decoded(encoded(shown, kind)).pixels.astype(int)
    assert np.abs(found - np.asarray(expected.convert("RGB"))).mean() < 1


def _grey_profile() -> bytes:
    """A grey profile of gamma 1."""
    white = b"XYZ \0\0\0\0" + b"".join(
        int(x * 65536).to_bytes(4, "big") for x in (0.9642, 1, 0.8249)
    )
    curve, text = b"curv" + bytes(8), b"text\0\0\0\0none\0\0\0\0"
    body, table = white + curve + text, (3).to_bytes(4, "big")
    start = 128 + 4 + 36
    for tag, data in ((b"wtpt", white), (b"kTRC", curve), (b"cprt", text)):
        table += tag + start.to_bytes(4, "big") + len(data).to_bytes(4, "big")
        start += len(data)
    head = start.to_bytes(4, "big") + bytes(4) + b"\x02\x10\0\0mntrGRAYXYZ " + bytes(12) + b"acsp"
    return (head + bytes(28) + white[8:]).ljust(128, b"\0") + table + body


def test_grey_profile_is_brought_to_srgb(decoded):
    image = Image.new("L", (40, 40), 55)  # 0.2157 of the light, which sRGB writes as 128
    pixels = decoded(encoded(image, "jpeg", icc_profile=_grey_profile())).pixels
    assert np.abs(pixels.astype(int) - 128).max() <= 2


def test_profiles_that_do_not_fit_or_are_damaged_change_nothing(decoded):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    grey, image = _grey_profile(), picture(4)
    for kind in ("png", "jpeg", "webp", "tiff"):
        plain = decoded(encoded(image, kind)).pixels
        for profile in (srgb, grey, srgb[:200], b"no profile"):
            shown = decoded(encoded(image, kind, icc_profile=profile)).pixels
            np.testing.assert_array_equal(shown, plain)


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
def test_text_that_unfolds_without_end_costs_no_photo(decoded, kind):
    head = {b"zTXt": b"a\0\0", b"iCCP": b"a\0\0", b"iTXt": b"a\0\1\0\0\0"}[kind]
    content = encoded(picture(1), "png")
    bomb = with_chunk(content, kind, head + zlib.compress(bytes(1 << 22)))
    np.testing.assert_array_equal(decoded(bomb).pixels, decoded(content).pixels)


def test_postscript_named_jpg_starts_nothing(decoded, tmp_path, monkeypatch):
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/called\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(ImageError, match="not a photo"):
        decoded(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    assert not (tmp_path / "called").exists()


def test_raw_tiff_and_damaged_avif_are_reasons(decoded):
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags.tagtype[50706], tags[50706] = 1, b"\1\4\0\0"
    with pytest.raises(ImageError, match="RAW"):
        decoded(encoded(picture(1), "tiff", tiffinfo=tags), name="a.tif")
    avif = encoded(picture(1), "avif")
    with pytest.raises(ImageError):
        decoded(avif[: len(avif) * 2 // 3])


def test_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ImageError, match="a pipe, a socket or a device"):
        decode_image(str(tmp_path / "a.jpg"), 100)
    with pytest.raises(ImageError, match="a pipe, a socket or a device"):
        decode_image("/dev/zero", 100)


_PEAK = """
import sys
from rrtool.images.decode import decode_image
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if "VmHWM" in line) << 10
before = peak()
decode_image(sys.argv[1], 512, max_pixels=20_250_000)
print((peak() - before) / 20_250_000)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_stays_within_its_bound(tmp_path):
    (tmp_path / "a.png").write_bytes(flat_png(4500, 4500, 8, 6))
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, str(tmp_path / "a.png")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(done.stdout) < 10  # bytes a pixel; 20 when whole images were converted


def test_large_images_are_reduced_alike(decoded, monkeypatch):
    content = encoded(picture(6, (700, 500)), "png")
    exact = decoded(content, 60).pixels.astype(int)
    monkeypatch.setattr("rrtool.images.decode._LARGE", 1000)
    monkeypatch.setattr("rrtool.images.decode._STRIP", 10_000)
    reduced = decoded(content, 60)
    assert reduced.full_size == (700, 500)
    assert np.abs(reduced.pixels - exact).max() <= 3


def test_formats_that_take_more_memory_have_lower_limits(decoded):
    content = encoded(picture(1), "jpeg2000")
    with pytest.raises(ImageError, match="over the limit of 2211 pixels in JPEG2000"):
        decoded(content, 200, None, 72 * 64)


def test_strips_are_the_same_as_the_whole(decoded, monkeypatch):
    contents = [encoded(in_mode(picture(7), mode), "png") for mode in ("P", "RGBA", "I;16", "LA")]
    whole = [decoded(content, 50).pixels for content in contents]
    monkeypatch.setattr("rrtool.images.decode._STRIP", 300)
    for content, expected in zip(contents, whole, strict=True):
        np.testing.assert_array_equal(decoded(content, 50).pixels, expected)
