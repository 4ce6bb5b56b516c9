"""VLFeat's own MSER through ctypes: the reference for tests and benchmarks, never for rrtool."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

_INT = ctypes.c_int
_POINTER = ctypes.c_void_p


class _Filter(ctypes.Structure):
    """``struct _VlMserFilt`` of VLFeat 0.9.21: its getters and setters are inline in the header."""

    _fields_ = [
        ("ndims", _INT),
        ("dims", _POINTER),
        ("nel", _INT),
        ("subs", _POINTER),
        ("dsubs", _POINTER),
        ("strides", _POINTER),
        ("perm", _POINTER),
        ("joins", _POINTER),
        ("njoins", _INT),
        ("r", _POINTER),
        ("er", _POINTER),
        ("mer", ctypes.POINTER(ctypes.c_uint32)),
        ("ner", _INT),
        ("nmer", _INT),
        ("rer", _INT),
        ("rmer", _INT),
        ("acc", _POINTER),
        ("ell", _POINTER),
        ("rell", _INT),
        ("nell", _INT),
        ("dof", _INT),
        ("verbose", _INT),
        ("delta", _INT),
        ("max_area", ctypes.c_double),
        ("min_area", ctypes.c_double),
        ("max_variation", ctypes.c_double),
        ("min_diversity", ctypes.c_double),
    ]


def _load() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libvl.so.1")
    except OSError:
        return None
    library.vl_mser_new.argtypes = [_INT, ctypes.POINTER(_INT)]
    library.vl_mser_new.restype = ctypes.POINTER(_Filter)
    library.vl_mser_process.argtypes = [ctypes.POINTER(_Filter), ctypes.c_void_p]
    library.vl_mser_process.restype = None
    library.vl_mser_delete.argtypes = [ctypes.POINTER(_Filter)]
    library.vl_mser_delete.restype = None
    return library


LIBRARY = _load()

needs_vlfeat = pytest.mark.skipif(
    LIBRARY is None, reason="VLFeat is not here (Debian and Ubuntu: apt install libvlfeat1)"
)


@contextmanager
def _filter(height: int, width: int) -> Iterator[tuple[ctypes.CDLL, ctypes._Pointer[_Filter]]]:
    library = LIBRARY
    if library is None:
        raise RuntimeError("libvl.so.1 is not here")
    # VLFeat's first dimension runs fastest.
    handle = library.vl_mser_new(2, (_INT * 2)(width, height))
    try:
        # The defaults tell whether the structure above is the library's.
        found = (handle.contents.delta, handle.contents.max_area, handle.contents.min_diversity)
        if found != (5, 0.75, 0.2):
            raise RuntimeError(
                f"libvl's vl_mser structure is another one: its defaults read {found}"
            )
        yield library, handle
    finally:
        library.vl_mser_delete(handle)


def bright_seeds(
    levels: np.ndarray,
    *,
    delta: int,
    min_diversity: float = 0.7,
    max_variation: float = 0.5,
    min_area: float = 0.0,
    max_area: float = 0.75,
) -> np.ndarray:
    """VLFeat's seeds ``y * w + x`` (int64) of the bright regions of ``levels`` ``(h, w)`` uint8."""
    dark = np.ascontiguousarray(255 - levels)
    with _filter(*levels.shape) as (library, handle):
        mser = handle.contents
        mser.delta, mser.min_area, mser.max_area = delta, min_area, max_area
        mser.max_variation, mser.min_diversity = max_variation, min_diversity
        library.vl_mser_process(handle, dark.ctypes.data)
        n_regions = mser.nmer
        return np.array(mser.mer[:n_regions], dtype=np.int64)
