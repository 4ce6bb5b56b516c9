"""JPEGs decoded at a smaller scale, against a full decode that Pillow shrinks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from rrtool.images import decode
from rrtool.images.decode import decode_image
from tests.images.odd_photos import encoded
from tests.images.test_odd_photos import _grey_profile
from tests.tiny import picture

WIDTH, MAX_SIZE = 800, 200


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _wide_profile() -> bytes:
    """Colours far outside sRGB (ProPhoto's primaries), linear."""
    tags = {
        b"rXYZ": (0.7977, 0.2880, 0.0), b"gXYZ": (0.1352, 0.7119, 0.0),
        b"bXYZ": (0.0313, 0.0001, 0.8249), b"wtpt": (0.9642, 1.0, 0.8249),
    }  # fmt: skip
    blocks = {
        tag: b"XYZ \0\0\0\0" + b"".join(int(x * 65536).to_bytes(4, "big") for x in xyz)
        for tag, xyz in tags.items()
    }
    blocks |= {tag: b"curv" + bytes(8) for tag in (b"rTRC", b"gTRC", b"bTRC")}
    blocks[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    table, body, start = len(blocks).to_bytes(4, "big"), b"", 128 + 4 + 12 * len(blocks)
    for tag, block in blocks.items():
        table += tag + (start + len(body)).to_bytes(4, "big") + len(block).to_bytes(4, "big")
        body += block
    size = 128 + len(table) + len(body)
    head = size.to_bytes(4, "big") + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp"
    return (head + bytes(28) + blocks[b"wtpt"][8:]).ljust(128, b"\0") + table + body


PHOTO = picture(7, (WIDTH, 600))
KINDS = {
    "plain": encoded(PHOTO, "jpeg"),
    "without subsampling": encoded(PHOTO, "jpeg", subsampling=0),
    "progressive": encoded(PHOTO, "jpeg", progressive=True),
    "turned": encoded(PHOTO, "jpeg", exif=_exif(6)),
    "mirrored": encoded(PHOTO, "jpeg", exif=_exif(2)),
    "grey": encoded(PHOTO.convert("L"), "jpeg"),
    "grey with a profile": encoded(PHOTO.convert("L"), "jpeg", icc_profile=_grey_profile()),
    "CMYK": encoded(PHOTO.convert("CMYK"), "jpeg"),
    "wide colours": encoded(PHOTO, "jpeg", icc_profile=_wide_profile()),
    "MPO": encoded(PHOTO, "mpo", save_all=True, append_images=[picture(8, (WIDTH, 600))]),
    "odd size": encoded(picture(7, (797, 603)), "jpeg"),
    "upright": encoded(picture(7, (600, WIDTH)), "jpeg"),
}


@pytest.fixture
def decoded(tmp_path, monkeypatch):
    """The pixels of a JPEG, and the size at which libjpeg gave them."""

    def run(content: bytes, max_size: int, *, full: bool = False, box=None):
        path, sizes = tmp_path / "a.jpg", []
        path.write_bytes(content)
        with monkeypatch.context() as patch:
            if full:
                patch.setattr(decode, "_MARGIN", 1e9)
            original = decode._opaque
            patch.setattr(
                decode, "_opaque", lambda image, *a: sizes.append(image.size) or original(image, *a)
            )
            return decode_image(str(path), max_size, box), sizes[0]

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_large_jpeg_is_decoded_at_half_and_looks_the_same(decoded, kind):
    found, size = decoded(KINDS[kind], MAX_SIZE)
    exact, full_size = decoded(KINDS[kind], MAX_SIZE, full=True)
    assert max(full_size) in (WIDTH, 797)
    assert max(size) == -(-max(full_size) // 2)
    assert found.full_size == exact.full_size
    assert found.box == exact.box
    assert found.pixels.shape == exact.pixels.shape
    difference = np.abs(found.pixels.astype(int) - exact.pixels)
    assert difference.mean() < 1  # of 255 levels
    # Linear profiles make thirteen levels of one where it is dark.
    assert difference.max() <= (26 if kind in ("wide colours", "grey with a profile") else 12)
    assert found.pixels.std() > 20


@pytest.mark.parametrize("kind", ["plain", "turned", "grey", "CMYK", "odd size", "MPO"])
def test_large_jpeg_looks_as_pillow_shrinks_it(decoded, kind):
    with Image.open(io.BytesIO(KINDS[kind])) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((MAX_SIZE, MAX_SIZE), Image.Resampling.LANCZOS, reducing_gap=None)
    found, _ = decoded(KINDS[kind], MAX_SIZE)
    assert found.pixels.shape[:2] == upright.size[::-1]
    difference = np.abs(found.pixels.astype(int) - np.asarray(upright))
    assert difference.mean() < 1


@pytest.mark.parametrize("kind", KINDS)
def test_jpeg_below_the_margin_is_decoded_in_full(decoded, kind):
    max_size = 250  # a half would be 1.6 times that
    found, size = decoded(KINDS[kind], max_size)
    exact, full_size = decoded(KINDS[kind], max_size, full=True)
    assert size == full_size
    np.testing.assert_array_equal(found.pixels, exact.pixels)


@pytest.mark.parametrize(("max_size", "scale"), [(450, 1), (228, 2), (114, 4), (57, 8), (10, 8)])
def test_scale_is_the_smallest_that_keeps_the_margin(decoded, max_size, scale):
    content = encoded(Image.new("RGB", (WIDTH, 100)), "jpeg")
    _, size = decoded(content, max_size)
    assert size == (WIDTH // scale, -(-100 // scale))


def test_box_of_a_large_jpeg_is_cut_from_all_of_its_pixels(decoded):
    found, size = decoded(KINDS["plain"], MAX_SIZE, box=(80, 40, 240, 200))
    assert size == (WIDTH, 600)
    assert found.pixels.shape == (40, 40, 3)
