"""Which files are photos: told by their first bytes; a name only says that one is expected."""

import os
import re

# Taken for photos whatever is in them: a damaged one keeps its row and says why.
IMAGE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif",
    ".tiff", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf", ".jpx", ".avif", ".heic",
    ".heif", ".hif",
})  # fmt: skip
_RAW_SUFFIXES = frozenset({
    ".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef",
    ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf",
    ".srw", ".x3f",
})  # fmt: skip

SNIFFED_BYTES = 64
RAW = "a camera's RAW photo, which rrtool does not read: export it as JPEG, HEIC or TIFF"
_JPEG_XL = "a JPEG XL photo, which rrtool does not read: export it as JPEG, HEIC or TIFF"

# Patterns longer than those of Pillow, so that a text which begins with "BM" or "P1" is none.
_SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II\*\0|MM\0\*|II\+\0|MM\0\+|MM\*\0|II\0\*",
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "PPM": rb"P[1-6]\s+(#|\d+\s+(#|\d))",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "AVIF": rb"....ftyp(avi[fs]|m[is]f1.{4}(.{4})*?avi[fs])",
    "HEIF": rb"....ftyp(hei[cxms]|hev[cxms]|m[is]f1)",
}
_PATTERNS = {name: re.compile(pattern, re.DOTALL) for name, pattern in _SIGNATURES.items()}
FORMATS = tuple(_SIGNATURES)
_UNREAD = {
    RAW: re.compile(rb"II\*\0....CR|....ftypcrx |FUJIFILMCCD-RAW|FOVb", re.DOTALL),
    _JPEG_XL: re.compile(rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", re.DOTALL),
}


def format_of(start: bytes) -> str | None:
    """Pillow's name of the format of a photo, of those that rrtool reads.

    Args:
        start: the first ``SNIFFED_BYTES`` of the file.
    """
    return next((name for name, pattern in _PATTERNS.items() if pattern.match(start)), None)


def why_unread(name: str, start: bytes) -> str | None:
    """The reason, if this is a photo of a format that rrtool does not read.

    RAW files are TIFF inside, of which Pillow reads a thumbnail; of some only the name tells.
    """
    if why := next((why for why, pattern in _UNREAD.items() if pattern.match(start)), None):
        return why
    is_raw = suffix_of(name) in _RAW_SUFFIXES and format_of(start) in (None, "TIFF")
    return RAW if is_raw else None


def suffix_of(name: str) -> str:
    """``.jpg`` of ``a/b.JPG``; empty where there is none."""
    return os.path.splitext(name)[1].lower()
