"""Photos of every format, whole, damaged, dressed up as others, and with odd blocks in them."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from PIL import Image, ImageCms

from tests.fuzz.mutators import Mutator
from tests.fuzz.mutators.raw import EDITS, zeros
from tests.tiny import picture

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".jp2",
             ".avif", ".JPG", ".heic", ".cr2", ".mp4", ".txt", ".svg", "")  # fmt: skip
# Format, modes that it takes, and ways to save it.
_FORMS: dict[str, tuple[tuple[str, ...], tuple[dict, ...]]] = {
    "JPEG": (("RGB", "L", "CMYK"), ({}, {"progressive": True}, {"subsampling": 0})),
    "PNG": (("RGB", "RGBA", "L", "LA", "P", "1", "I;16"), ({}, {"transparency": 0})),
    "GIF": (("P", "L"), ({}, {"transparency": 0}, {"animated": True})),
    "BMP": (("RGB", "L", "P", "1"), ({},)),
    "TIFF": (("RGB", "L", "P", "CMYK", "I", "F", "I;16", "RGBA", "1", "LAB", "YCbCr"),
             ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"},
              {"compression": "jpeg"}, {"compression": "packbits"})),
    "WEBP": (("RGB", "RGBA"), ({}, {"lossless": True}, {"animated": True})),
    "PPM": (("RGB", "L", "1", "I"), ({},)),
    "JPEG2000": (("RGB", "L", "RGBA"), ({}, {"irreversible": True})),
    "AVIF": (("RGB", "RGBA"), ({},)),
    "ICO": (("RGBA",), ({},)), "ICNS": (("RGBA",), ({},)), "TGA": (("RGB",), ({},)),
    "PCX": (("RGB",), ({},)), "SGI": (("RGB",), ({},)), "DDS": (("RGB",), ({},)),
    "EPS": (("RGB",), ({},)), "PDF": (("RGB",), ({},)), "IM": (("RGB", "F"), ({},)),
    "MSP": (("1",), ({},)), "XBM": (("1",), ({},)), "SPIDER": (("F",), ({},)),
    "MPO": (("RGB",), ({},)),
}  # fmt: skip
_PHOTOS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
_FOREIGN: tuple[bytes, ...] = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(pwned) (w) file closefile showpage\n",
    b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">'
    b'<image href="file:///etc/passwd"/></svg>',
    b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(4000),
    b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(400),
    b"\0\0\0\x18ftypavif\0\0\0\0avifmif1" + bytes(400),
    b"II*\0\x10\0\0\0CR\x02\0" + bytes(400), b"FUJIFILMCCD-RAW " + bytes(400),
    b"<!DOCTYPE html><html><body>no photo</body></html>", b"PK\x03\x04" + bytes(100),
    b"SIMPLE  =                    T" + b" " * 2850, b"BUFR" + bytes(50), b"GRIB" + bytes(50),
    b"\x89HDF\r\n\x1a\n" + bytes(100), b"P6\n99999 99999\n255\n", b"P7\nWIDTH 2\n",
    b"P5\n3 3\n65535\n" + bytes(18), b"P3\n2 2\n255\n" + b"9" * 5000,
    b"Pf\n2 2\n-1.0\n" + bytes(16),
    b"\xff\xd8\xff\xd9", b"GIF89a" + b"\xff" * 7, b"RIFF\xff\xff\xff\xffWEBPVP8 ",
    b"qoif" + b"\0" * 10,
    b"%PDF-1.7\n", b"\xff\x4f\xff\x51" + b"\0" * 40, b"\0\0\1\0\1\0", b"8BPS\0\1" + bytes(30),
)  # fmt: skip


def _encoded(rng: Random, formats: tuple[str, ...] = tuple(_FORMS)) -> bytes:
    """A picture in some format."""
    kind = rng.choice(formats)
    modes, ways = _FORMS[kind]
    size = (rng.choice((1, 2, 17, 40, 64)), rng.choice((1, 3, 33, 64)))
    image = _in_mode(picture(rng.randrange(9), size), rng.choice(modes))
    more = dict(rng.choice(ways))
    if image.mode not in ("L", "P"):
        more.pop("transparency", None)
    if more.pop("animated", False):
        more |= {"save_all": True, "append_images": [image.copy()], "duration": 9}
    if kind in _PHOTOS[:6:5] and rng.random() < 0.3:  # JPEG, WEBP
        more["exif"] = _exif(rng)
    stream = io.BytesIO()
    image.save(stream, kind, **more)
    return stream.getvalue()


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    if mode == "LAB":
        profiles = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
        return ImageCms.profileToProfile(image, *profiles, outputMode="LAB") or image
    if mode == "I;16":
        return image.convert("I").point(lambda x: x * 257).convert("I;16")
    return image.convert(mode)


def _exif(rng: Random) -> bytes:
    """A block of EXIF: sound, noise, or with fields of odd types, counts and offsets."""
    head = b"Exif\0\0"
    if rng.random() < 0.25:
        return head + rng.randbytes(rng.choice((0, 4, 40, 400)))
    order = rng.choice("<>")
    n = rng.choice((0, 1, 3, 200))
    fields = b"".join(_field(order, rng) for _ in range(n))
    mark = b"II" if order == "<" else b"MM"
    start, following = rng.choice((8, 8, 8, 0, 2**32 - 1)), rng.choice((0, 8, 2**32 - 1))
    return (
        head + mark + struct.pack(order + "HIH", 42, start, rng.choice((n, n, 65535)))
        + fields + struct.pack(order + "I", following)
    )  # fmt: skip


def _field(order: str, rng: Random) -> bytes:
    tag = rng.choice((0x0112, 0x0112, 0x8769, 0x8825, 0x010E, 0x9286, 0xA005, rng.randrange(65536)))
    kind = rng.choice((0, 1, 2, 3, 4, 5, 7, 9, 10, 12, 13, 99))
    count = rng.choice((0, 1, 1, 4, 1000, 2**31, 2**32 - 1))
    value = rng.choice((0, 1, 3, 6, 8, 9, 2**16 * 6, 2**32 - 1, rng.randrange(2**32)))
    return struct.pack(order + "HHII", tag, kind, count, value)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 8
    while place + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8], data[place + 8 : place + 8 + size]
        place += size + 12


def _png(rng: Random) -> bytes:
    """A PNG of which one chunk is wrong though its checksum is right."""
    data = _encoded(rng, ("PNG",))
    chunks = list(_chunks(data))
    place = rng.randrange(len(chunks))
    kind, body = chunks[place]
    action = rng.choice(("header", "drop", "double", "edit", "add"))
    if action == "header":
        side = rng.choice((0, 1, 30_000, 2**31 - 1, 2**32 - 1))
        sides = rng.choice(((side, side), (side, 1), (1, side), (8, 8)))
        kinds = bytes(
            rng.choice(((8, 2, 0, 0, 0), (16, 6, 0, 0, 1), (1, 3, 0, 0, 0), (8, 7, 9, 9, 9)))
        )
        chunks[0] = (b"IHDR", struct.pack(">II", *sides) + kinds)
    elif action == "drop":
        del chunks[place]
    elif action == "double":
        chunks.insert(rng.randrange(len(chunks) + 1), chunks[place])
    elif action == "edit" and body:
        edit = bytearray(body)
        EDITS[rng.choice(("flip", "set", "truncate", "extend", "number"))](edit, rng)
        chunks[place] = (kind, bytes(edit))
    else:
        chunks.insert(1, _odd_chunk(rng))
    return data[:8] + b"".join(_chunk(*chunk) for chunk in chunks)


def _odd_chunk(rng: Random) -> tuple[bytes, bytes]:
    bomb = zeros(rng.choice((100, 80_000_000)))
    return rng.choice((
        (b"tRNS", rng.randbytes(rng.choice((0, 1, 2, 6, 300)))),
        (b"iCCP", b"profile\0\0" + rng.choice((bomb, zlib.compress(_profile(rng)), b"noise"))),
        (b"eXIf", _exif(rng)[6:]), (b"zTXt", b"key\0\0" + bomb), (b"iTXt", b"key\0\1\0\0\0" + bomb),
        (b"gAMA", rng.randbytes(4)), (b"cHRM", rng.randbytes(32)), (b"PLTE", rng.randbytes(30)),
        (b"acTL", rng.randbytes(8)), (b"fcTL", rng.randbytes(26)), (b"pHYs", rng.randbytes(9)),
        (b"IDAT", b""), (b"IEND", b""), (b"\xff\0ab", b"x"), (b"sRGB", b"\7"),
    ))  # fmt: skip


def _profile(rng: Random) -> bytes:
    """A colour profile: sound, damaged, or of another kind."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile(rng.choice(("sRGB", "LAB", "XYZ"))))
    data = bytearray(made.tobytes())
    if rng.random() < 0.7:
        EDITS[rng.choice(("flip", "set", "zeros", "truncate", "number", "several"))](data, rng)
    return bytes(data)


def _with_profile(rng: Random) -> bytes:
    image = _in_mode(picture(3, (40, 30)), rng.choice(("RGB", "L")))
    stream = io.BytesIO()
    kind = rng.choice(("JPEG", "PNG", "WEBP", "TIFF"))
    image.save(stream, kind, icc_profile=_profile(rng))
    return stream.getvalue()


def _with_exif(rng: Random) -> bytes:
    kind = rng.choice(("JPEG", "WEBP", "PNG"))
    stream = io.BytesIO()
    picture(4, (48, 32)).save(stream, kind, **({} if kind == "PNG" else {"exif": _exif(rng)}))
    data = stream.getvalue()
    if kind == "PNG":
        data = data[:33] + _chunk(b"eXIf", _exif(rng)[6:]) + data[33:]
    return data


def _tiff(rng: Random) -> bytes:
    """A TIFF of which some tags have other types, counts or values."""
    data = bytearray(_encoded(rng, ("TIFF",)))
    (start,) = struct.unpack_from("<I", data, 4)
    (n,) = struct.unpack_from("<H", data, start)
    for _ in range(rng.choice((1, 1, 3))):
        place = start + 2 + 12 * rng.randrange(n)
        offset, form = rng.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "H")))
        odd = (0, 1, 2, 3, 8, 274, 32767, 50_000, 2**16 - 1, 2**31, 2**32 - 1)
        value = rng.choice([x for x in odd if x < 256 ** struct.calcsize(form)])
        struct.pack_into("<" + form, data, place + offset, value)
    return bytes(data)


def _large(rng: Random) -> bytes:
    """Many pixels in few bytes."""
    if rng.random() < 0.5:
        side = rng.choice((12_000, 20_000, 60_000))
        header = struct.pack(">II", side, side) + bytes((8, rng.choice((2, 6, 0)), 0, 0, 0))
        rows = zeros(rng.choice((1000, 50_000_000)))
        return (b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows)
                + _chunk(b"IEND", b""))  # fmt: skip
    data = bytearray(_encoded(rng, ("JPEG", "GIF", "BMP", "WEBP", "JPEG2000")))
    for magic, skip, form in ((b"\xff\xc0", 5, ">HH"), (b"\xff\xc2", 5, ">HH"), (b"GIF8", 6, "<HH"),
                              (b"BM", 18, "<ii"), (b"ihdr", 4, ">II")):  # fmt: skip
        place = data.find(magic)
        if place >= 0 and place + skip + struct.calcsize(form) <= len(data):
            side = rng.choice((12_000, 30_000))
            struct.pack_into(form, data, place + skip, side, side)
    return bytes(data)


def _damaged(rng: Random) -> bytes:
    data = bytearray(_encoded(rng, _PHOTOS))
    for _ in range(rng.choice((1, 1, 2, 4))):
        if data:
            rng.choice(list(EDITS.values()))(data, rng)
    return bytes(data)


_MAKERS: dict[str, Callable[[Random], bytes]] = {
    "damaged": _damaged, "damaged again": _damaged, "of any format": _encoded, "png": _png,
    "tiff": _tiff, "profile": _with_profile, "exif": _with_exif, "large": _large,
    "foreign": lambda rng: rng.choice(_FOREIGN),
    "noise": lambda rng: rng.randbytes(rng.choice((0, 1, 100, 5000))),
}  # fmt: skip
_NAMES = (
    "new\nline", "tab\tin", "\x1b[31mred", "=1+1", "-o", "--help", "é", "e\u0301", "\u202egnp",
    "a,b", "a;b", '"quoted"', "'", "x" * 240, " space ", "\udcff\udcfe", "😀", "..x", "#", "%s",
    "<b>", "&amp;", "a\\b", "~", "*", "CON", "\u2028",
)  # fmt: skip


def _added(maker: Callable[[Random], bytes]) -> Mutator:
    """Three photos more in a folder, so that a case tries several."""

    def mutate(folder: Path, rng: Random) -> None:
        for number in range(3):
            data = maker(rng)
            (folder / f"p{number}{rng.choice(_SUFFIXES)}").write_bytes(data)

    return mutate


def _names(folder: Path, rng: Random) -> None:
    """Odd names of good photos, and one folder more."""
    data = (folder / "a_0.png").read_bytes()
    for name in rng.sample(_NAMES, 4):
        (folder / f"{name}.png").write_bytes(data)
    inner = folder / rng.choice(_NAMES[:9])
    inner.mkdir(exist_ok=True)
    (inner / "x.png").write_bytes(data)


def _links(folder: Path, rng: Random) -> None:
    """Links, folders and pipes among the photos."""
    kinds = {
        "circle": lambda at: at.symlink_to("."),
        "up": lambda at: at.symlink_to(".."),
        "other.png": lambda at: at.symlink_to("a_0.png"),
        "dangling.png": lambda at: at.symlink_to("nowhere.png"),
        "self.png": lambda at: at.symlink_to("self.png"),
        "pipe.png": os.mkfifo,
        "zero.png": lambda at: at.symlink_to("/dev/zero"),
        "folder.png": lambda at: at.mkdir(),
        "outside.png": lambda at: at.symlink_to("../../elsewhere/victim"),
        "hidden": lambda at: (at.mkdir(), at.chmod(0)),
    }
    for name in rng.sample(sorted(kinds), 3):
        kinds[name](folder / name)


MUTATORS: dict[str, Mutator] = {
    **{title: _added(maker) for title, maker in _MAKERS.items()}, "names": _names, "links": _links,
}  # fmt: skip
