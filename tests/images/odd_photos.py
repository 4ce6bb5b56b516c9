"""Odd photos by the hundred, each with what is to become of it; a command tries them all.

``python -m tests.images.odd_photos 1000`` makes a folder of 1,000, runs ``extract`` over it, and
tells every photo whose outcome is not the expected one.
"""

from __future__ import annotations

import io
import re
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from tests.tiny import extract, picture, skipped_rows

SIZE = (72, 64)
_MODES = {
    "png": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "jpeg": ("L", "RGB", "CMYK"),
    "gif": ("L", "P", "RGB"),
    "webp": ("RGB", "RGBA"),
    "bmp": ("1", "L", "P", "RGB"),
    "tiff": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"),
    "ppm": ("1", "L", "RGB"),
    "jpeg2000": ("L", "RGB", "RGBA"),
    "avif": ("RGB", "RGBA"),
    "heif": ("RGB", "RGBA"),
}
_SUFFIXES = {"jpeg": ".jpg", "jpeg2000": ".jp2", "heif": ".heic"}


@dataclass(frozen=True)
class Odd:
    """A photo and what is to become of it.

    Attributes:
        name: of the file.
        content: its bytes.
        reason: pattern of the reason why it is skipped; empty for a good photo; ``any`` where
            chance decides, and a reason must be there if it is skipped.
    """

    name: str
    content: bytes
    reason: str = ""


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    """The bytes of a file."""
    if image_format == "heif":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def in_mode(image: Image.Image, mode: str) -> Image.Image:
    """An RGB image in a mode, which may have more bits."""
    if mode in ("I;16", "I"):
        factor = 257 if mode == "I;16" else 1 << 23
        samples = np.asarray(image.convert("L")).astype(np.int64) * factor
        return Image.fromarray(samples.astype(np.uint16 if mode == "I;16" else np.int32))
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.linear_gradient("L").resize(image.size))
        return image
    return image.convert(mode)


def with_exif(jpeg: bytes, block: bytes) -> bytes:
    """A JPEG with a block of EXIF, which may be any bytes, in front."""
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def with_chunk(png: bytes, kind: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk after its header."""
    return png[:33] + chunk(kind, body) + png[33:]


def flat_png(width: int, height: int, bits: int, colours: int, rows: bytes | None = None) -> bytes:
    """A PNG of any declared size; all black if no rows, with their filter bytes, are given."""
    header = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    packer = zlib.compressobj(9)
    if rows is None:
        samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colours]
        row = bytes(1 + (width * bits * samples + 7) // 8)
        packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    else:
        packed = packer.compress(rows) + packer.flush()
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return head + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def random_exif(rng: np.random.Generator) -> bytes:
    """A block that begins as EXIF does, more or less, and goes on at random."""
    kinds = (b"Exif\0\0", b"Exif\0\0II*\0\x08\0\0\0", b"Exif\0\0MM\0*\0\0\0\x08", b"Exif\0\0II*\0")
    block = kinds[rng.integers(len(kinds))] + rng.bytes(int(rng.integers(0, 200)))
    if rng.random() < 0.5 and len(block) > 30:  # a table of entries of plausible tags and types
        n = (len(block) - 16) // 12
        tags = rng.choice([0x0112, 0x011A, 0x0128, 0x8769, 0x8825, 0x0100, 0x927C], n)
        values = [(int(tag), *map(int, rng.integers(0, [14, 9, 1 << 32]))) for tag in tags]
        entries = b"".join(struct.pack("<HHLL", *value) for value in values)
        block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", n + int(rng.integers(3))) + entries
    return block


_Make = Callable[[np.random.Generator, Image.Image], tuple[str, bytes, str]]


def _good(image_format: str, mode: str) -> _Make:
    reason = "no defined range" if mode == "F" else ""

    def make(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
        return _suffix(image_format), encoded(in_mode(image, mode), image_format), reason

    return make


def _suffix(image_format: str) -> str:
    return _SUFFIXES.get(image_format, "." + image_format)


def _truncated(image_format: str) -> _Make:
    def make(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
        content = encoded(image, image_format)
        end = rng.integers(1, len(content) * 3 // 4)
        return _suffix(image_format), content[:end], "any" if image_format == "gif" else "."

    return make


def _flipped(image_format: str) -> _Make:
    def make(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
        content = bytearray(encoded(image, image_format))
        for _ in range(int(rng.integers(1, 9))):
            content[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
        return _suffix(image_format), bytes(content), "any"

    return make


def _exif(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    kind = ("jpeg", "png", "webp", "heif", "avif")[rng.integers(5)]
    block = random_exif(rng)
    if kind == "jpeg":
        return ".jpg", with_exif(encoded(image, "jpeg"), block), ""
    if kind == "png":
        return ".png", with_chunk(encoded(image, "png"), b"eXIf", block[6:]), ""
    content = encoded(image, kind, exif=b"Exif\0\0II*\0\x08\0\0\0" + bytes(400))
    start = content.index(b"II*\0\x08\0\0\0" + bytes(300))
    block = (block[6:] + bytes(408))[:408]
    return _suffix(kind), content[:start] + block + content[start + 408 :], ""


def _wrong_suffix(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    kinds = [kind for kind in _MODES if kind != "heif"]
    suffix = (".jpg", ".png", ".heic", ".dat", "", ".jfif", ".JPEG", ".mpo")[rng.integers(8)]
    return suffix, encoded(image, kinds[rng.integers(len(kinds))]), ""


def _no_photo(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    contents = (
        (b"", "empty"),
        (b"a text, no photo\n", "not a photo"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a photo"),
        (encoded(image, "ico"), "not a photo"),
        (encoded(image, "pcx"), "not a photo"),
        (b"\0\0\0\x18ftypmp42" + bytes(99), "not a photo"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "RAW"),
        (b"\xff\x0a" + bytes(99), "JPEG XL"),
        (rng.bytes(500), "not a photo"),
    )
    return (".jpg", ".png", ".tif")[rng.integers(3)], *contents[rng.integers(len(contents))]


def _size(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    sizes = (
        ((1, 1), "too few"), ((1, 5000), "too few"), ((5000, 1), "too few"), ((16, 90), "too few"),
        ((40, 40), ""), ((150, 40), ""), ((2000, 900), ""),
    )  # fmt: skip
    size, reason = sizes[rng.integers(len(sizes))]
    kind = ("png", "jpeg", "tiff", "webp", "jpeg2000")[rng.integers(5)]
    if kind == "jpeg2000" and min(size) == 1:
        kind = "bmp"
    return _suffix(kind), encoded(image.resize(size), kind), reason


def _declared_size(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    sizes = ((0, 9, "."), (9, 0, "."), (60_000, 60_000, "over the limit"), (1 << 30, 9, "over"))
    width, height, reason = sizes[rng.integers(len(sizes))]
    if rng.random() < 0.5 and width < 65536:
        content = bytearray(encoded(image, "jpeg"))
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = struct.pack(">HH", height, width)
        return ".jpg", bytes(content), reason if width and height else "."
    return ".png", flat_png(width, height, 8, 2, bytes(99)), reason


def _animation(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    kind = ("gif", "webp", "png", "tiff", "avif")[rng.integers(5)]
    frames = [picture(seed) for seed in range(3)]
    return _suffix(kind), encoded(image, kind, save_all=True, append_images=frames), ""


def _profile(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    damaged = bytearray(profile)
    for _ in range(int(rng.integers(1, 50))):
        damaged[int(rng.integers(len(damaged)))] = int(rng.integers(256))
    profiles = (profile, bytes(damaged), profile[: rng.integers(len(profile))], rng.bytes(300), b"")
    mode = ("RGB", "L", "CMYK")[rng.integers(3)]
    kind = "tiff" if mode == "CMYK" else ("jpeg", "png", "webp", "tiff")[rng.integers(4)]
    options = {"icc_profile": profiles[rng.integers(len(profiles))]}
    return _suffix(kind), encoded(image.convert(mode), kind, **options), ""


def _bomb(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    png, zeros = encoded(image, "png"), zlib.compress(bytes(1 << 23), 9)
    bodies = ((b"zTXt", b"a\0\0"), (b"iCCP", b"a\0\0"), (b"iTXt", b"a\0\1\0\0\0"))
    kind, head = bodies[rng.integers(len(bodies))]
    return ".png", with_chunk(png, kind, head + zeros), ""


def _transparent(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    depths = ((16, 0), (16, 2), (8, 0), (8, 2), (4, 0), (2, 0), (1, 0))
    bits, colours = depths[rng.integers(len(depths))]
    value = 6 if colours == 2 else 2
    return ".png", with_chunk(flat_png(64, 64, bits, colours), b"tRNS", bytes(value)), ""


def _turned_tiff(rng: np.random.Generator, image: Image.Image) -> tuple[str, bytes, str]:
    compression = (None, "tiff_lzw", "jpeg", "tiff_adobe_deflate")[rng.integers(4)]
    tags = {274: int(rng.integers(1, 9))}
    return ".tif", encoded(image, "tiff", compression=compression, tiffinfo=tags), ""


MAKERS: tuple[_Make, ...] = (
    *(_good(kind, mode) for kind, modes in _MODES.items() for mode in modes),
    *(_truncated(kind) for kind in _MODES),
    *(_flipped(kind) for kind in _MODES),
    *(_exif, _wrong_suffix, _no_photo, _size, _declared_size) * 4,
    *(_animation, _profile, _bomb, _transparent, _turned_tiff) * 2,
)


def make_odd(n: int, seed: int = 0) -> list[Odd]:
    """``n`` odd photos, all kinds of them in turn."""
    rng = np.random.default_rng(seed)
    order, made = rng.permutation(len(MAKERS)), []
    for i in range(n):
        suffix, content, reason = MAKERS[order[i % len(MAKERS)]](rng, picture(i, SIZE))
        made.append(Odd(f"{i:04d}{suffix}", content, reason))
    return made


def wrong_outcomes(odd: list[Odd], skipped: dict[str, str]) -> list[str]:
    """A line for each photo whose outcome is not the expected one."""
    wrong = []
    for photo in odd:
        found = skipped.get(photo.name, "")
        expected = photo.reason if photo.reason != "any" else "." if found else ""
        if bool(found) != bool(expected) or not re.search(expected, found):
            wrong.append(f"{photo.name}: expected {photo.reason or 'a good photo'!r}, {found!r}")
        elif found and not (found.isprintable() and len(found) < 300):
            wrong.append(f"{photo.name}: not a reason: {found!r}")
    return wrong


def main(n: int, seed: int) -> int:
    """Make them, extract, compare; the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        photos, output = Path(folder) / "photos", Path(folder) / "f.h5"
        photos.mkdir()
        odd = make_odd(n, seed)
        for photo in odd:
            (photos / photo.name).write_bytes(photo.content)
        result = extract(photos, output)
        skipped = skipped_rows(output)
    wrong = wrong_outcomes(odd, skipped)
    print(*wrong, sep="\n")
    print(f"exit code {result.exit_code}: {n} photos, {len(skipped)} skipped, {len(wrong)} wrong")
    return 0 if result.exit_code == 3 and not wrong else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
