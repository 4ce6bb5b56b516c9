"""What tells the content of a photo's file from others': its digest."""

import hashlib
import os

import numpy as np

from rrtool.files import open_regular
from rrtool.images.opening import BYTES_PER_PIXEL, DEFAULT_MAX_PIXELS

DIGEST_BYTES = 16
UNKNOWN = bytes(DIGEST_BYTES)
_BLOCK = 1 << 20  # bytes


def digest_of_photo(path: str, max_pixels: int = DEFAULT_MAX_PIXELS) -> bytes:
    """BLAKE2b-128 of a file's bytes; ``UNKNOWN`` where it cannot be read or no photo is so large.

    Who decodes the file next finds its bytes in the system's cache: the disk gives them once.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > BYTES_PER_PIXEL * max_pixels:
                return UNKNOWN
            while block := file.read(_BLOCK):
                digest.update(block)
    except (OSError, ValueError):  # or a NUL in its name
        return UNKNOWN
    return digest.digest()


def as_row(digest: bytes) -> np.ndarray:
    """``(16,)`` uint8, as artifacts store it."""
    return np.frombuffer(digest, np.uint8)
