"""What stands beside the pixels of a photo: its orientation, and how to do without the rest."""

import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_ORIENTATION = 0x0112
_UPRIGHT = 1
_EXIF = b"Exif\0\0"
_EXIF_ITEM = re.compile(rb"(infe[\x02\x03].{7}(?:..)?)Exif", re.DOTALL)
_INTEGERS = {1: "B", 3: "H", 4: "L"}  # TIFF types that an orientation is written in


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation 1..8 of an image before it is loaded; 5 to 8 swap width and height.

    Damaged EXIF counts as upright. A TIFF is turned by Pillow as it is loaded, and a HEIF by its
    decoder, so they are upright.
    """
    if image.format == "TIFF":
        _leave_orientation_only(image)
        return _UPRIGHT
    if image.format == "HEIF":
        return _UPRIGHT
    exif = image.info.get("exif")
    if isinstance(exif, bytes):
        return orientation_in(exif)
    return orientation_in(_hexadecimal(image.info.get("Raw profile type exif")))


def orientation_in(exif: bytes) -> int:
    """EXIF orientation 1..8 in a block of any bytes."""
    block = exif.removeprefix(_EXIF)
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 8:
        return _UPRIGHT
    start = struct.unpack_from(order + "L", block, 4)[0]
    if start + 2 > len(block):
        return _UPRIGHT
    n_entries = struct.unpack_from(order + "H", block, start)[0]
    for at in range(start + 2, min(start + 2 + 12 * n_entries, len(block) - 11), 12):
        tag, kind = struct.unpack_from(order + "HH", block, at)
        if tag == _ORIENTATION and kind in _INTEGERS:
            value = struct.unpack_from(order + _INTEGERS[kind], block, at + 8)[0]
            return value if 1 <= value <= 8 else _UPRIGHT
    return _UPRIGHT


def _hexadecimal(text: object) -> bytes:
    """EXIF as ImageMagick wrote it into PNG files: a name, a length and hexadecimal digits."""
    if not isinstance(text, str):
        return b""
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def _exif_block(orientation: int) -> bytes:
    entry = struct.pack("<HHLHH", _ORIENTATION, 3, 1, orientation, 0)
    return _EXIF + b"II*\0\x08\0\0\0\x01\0" + entry + bytes(4)


def _leave_orientation_only(image: Image.Image) -> None:
    """Pillow turns a TIFF by all of its EXIF, which may be damaged: give it the one tag."""
    found = getattr(image, "tag_v2", {}).get(_ORIENTATION)
    is_known = isinstance(found, int) and 1 <= found <= 8
    image.info["exif"] = _exif_block(found if is_known and found else _UPRIGHT)


def without_metadata(content: bytes, image_format: str) -> bytes | None:
    """The same photo without what Pillow may stumble over, but with its orientation.

    Args:
        content: the whole file.

    Returns:
        None for formats of which nothing can be left out.
    """
    if image_format == "JPEG":
        return _plain_jpeg(content)
    if image_format == "PNG":
        return _plain_png(content)
    if image_format in ("AVIF", "HEIF"):
        # An item of an unknown type is passed over; these formats turn by a property of their own.
        return _EXIF_ITEM.sub(rb"\1none", content)
    return None


def _plain_jpeg(content: bytes) -> bytes:
    """JFIF, Adobe and ICC stay; EXIF becomes the orientation alone."""
    kept, at = [content[:2]], 2
    while at + 4 <= len(content) and content[at] == 0xFF and content[at + 1] not in (0xFF, 0xDA):
        marker, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        segment = content[at : at + 2 + length]
        body = segment[4:]
        if marker == 0xE1 and body.startswith(_EXIF):
            block = _exif_block(orientation_in(body))
            kept.append(b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block)
        elif not _is_jpeg_metadata(marker, body):
            kept.append(segment)
        at += 2 + length
    return b"".join([*kept, content[at:]])


def _is_jpeg_metadata(marker: int, body: bytes) -> bool:
    is_icc = marker == 0xE2 and body.startswith(b"ICC_PROFILE\0")
    is_jfif = marker == 0xE0 and body.startswith(b"JFIF\0") and len(body) >= 12
    is_adobe = marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12
    return (0xE0 <= marker <= 0xEF or marker == 0xFE) and not (is_icc or is_jfif or is_adobe)


def _plain_png(content: bytes) -> bytes:
    """The chunks that make the pixels, and the orientation where it is sound."""
    kept = [content[:8]]
    for kind, chunk in _png_chunks(content):
        is_sound = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if kind[:1].isupper() or (kind in (b"tRNS", b"eXIf") and is_sound):
            kept.append(chunk)
    return b"".join(kept)


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and the whole of each chunk: length, kind, body and checksum."""
    at = 8
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        yield content[at + 4 : at + 8], content[at:end]
        at = end
