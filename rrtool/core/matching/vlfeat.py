"""VLFeat's own MSER, the detector of the thesis, through ctypes (docs/engines.md).

VLFeat finds the seeds; what is measured of a region, and the order of regions, are those of
``core.matching.mser``, which finds the same regions (tests say so) in a tenth of the time.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from scipy import ndimage

from rrtool.core.blocks import in_threads
from rrtool.core.matching.mser import Regions, Stability, check_maps
from rrtool.core.matching.mser_numba import COLLINEARITY_TOLERANCE
from rrtool.errors import WorkFailed

VARIABLE = "RRTOOL_VLFEAT"
_NAMES = ("libvl.so.1", "libvl.so", "libvl.dylib", "vl.dll")
_EIGHT = np.ones((3, 3), int)
_INT = ctypes.c_int
_POINTER = ctypes.c_void_p


class _Filter(ctypes.Structure):
    """``struct _VlMserFilt`` of VLFeat 0.9.21: its getters and setters are inline in the header."""

    _fields_ = (
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
    )


@cache
def library() -> ctypes.CDLL:
    """VLFeat as it is installed: what ``RRTOOL_VLFEAT`` names, the system's, conda's, cyvlfeat's.

    Raises:
        WorkFailed: there is none, or it is not VLFeat 0.9.21's.
    """
    named = os.environ.get(VARIABLE)
    for candidate in [named] if named else _candidates():
        try:
            found = ctypes.CDLL(candidate)
            found.vl_mser_new.argtypes = [_INT, ctypes.POINTER(_INT)]
        except (OSError, AttributeError):
            continue
        found.vl_mser_new.restype = ctypes.POINTER(_Filter)
        found.vl_mser_process.argtypes = [ctypes.POINTER(_Filter), ctypes.c_void_p]
        found.vl_mser_process.restype = None
        found.vl_mser_delete.argtypes = [ctypes.POINTER(_Filter)]
        found.vl_mser_delete.restype = None
        _check_structure(found)
        return found
    raise WorkFailed(
        "VLFeat's library libvl is not here",
        where=None if named is None else VARIABLE,
        found=named,
        todo="install it (Debian, Ubuntu: apt install libvlfeat1; conda: vlfeat), let "
        f"{VARIABLE} name it, or leave out --detector vlfeat, which finds the same regions",
    )


def _candidates() -> list[str]:
    folders = [Path(sys.prefix, "lib"), Path(sys.prefix, "Library", "bin")]
    wrapper = find_spec("cyvlfeat")
    for place in wrapper.submodule_search_locations or () if wrapper else ():
        folders += [Path(place), Path(place).with_name("cyvlfeat.libs")]
    paths = [path for folder in folders for name in _NAMES for path in folder.glob(f"*{name}*")]
    system = ctypes.util.find_library("vl")
    return [*_NAMES, *([system] if system else []), *map(str, paths)]


def _check_structure(found: ctypes.CDLL) -> None:
    """The defaults tell whether the structure above is the library's.

    Raises:
        WorkFailed: it is not.
    """
    with _filter(found, 2, 2) as handle:
        mser = handle.contents
        defaults = mser.delta, mser.max_area, mser.min_diversity
    if defaults != (5, 0.75, 0.2):
        raise WorkFailed(
            "VLFeat's library is of another version", expected="0.9.21, with defaults 5, 0.75, 0.2",
            found=defaults, todo=f"let {VARIABLE} name another, or leave out --detector vlfeat",
        )  # fmt: skip


@contextmanager
def _filter(found: ctypes.CDLL, height: int, width: int) -> Iterator[ctypes._Pointer[_Filter]]:
    # VLFeat's first dimension runs fastest.
    handle = found.vl_mser_new(2, (_INT * 2)(width, height))
    try:
        yield handle
    finally:
        found.vl_mser_delete(handle)


def bright_seeds(levels: np.ndarray, stability: Stability) -> np.ndarray:
    """VLFeat's seeds ``y * w + x`` (int64) of the bright regions of ``levels`` ``(h, w)`` uint8."""
    dark = np.ascontiguousarray(255 - levels)
    with _filter(library(), *levels.shape) as handle:
        mser = handle.contents
        for name, value in vars(stability).items():
            setattr(mser, name, value)
        library().vl_mser_process(handle, dark.ctypes.data)
        return np.array(mser.mer[: mser.nmer], dtype=np.int64)


def detect_regions(levels: np.ndarray, activations: np.ndarray, stability: Stability) -> Regions:
    """As :func:`rrtool.core.matching.mser.detect_regions`, by VLFeat.

    Raises:
        ValueError: see there.
        WorkFailed: VLFeat is not installed.
    """
    check_maps(levels, activations, stability.delta)

    def detect(start: int, stop: int) -> list[tuple]:
        return [
            region
            for channel in range(start, stop)
            for region in _of_channel(channel, levels[channel], activations[channel], stability)
        ]

    blocks = in_threads(detect, len(levels) if levels.size else 0)
    return _as_regions([region for block in blocks for region in block])


def _of_channel(
    channel: int, levels: np.ndarray, activations: np.ndarray, stability: Stability
) -> list[tuple]:
    """The regions of one channel by falling strength, then seed; none of one line of pixels."""
    found = []
    for seed in bright_seeds(levels, stability).tolist():
        level = int(levels.flat[seed])
        labels, _ = ndimage.label(levels >= level, _EIGHT)
        pixels = np.flatnonzero(labels == labels.flat[seed])
        own = pixels[levels.flat[pixels] == level][-1]
        y, x = np.divmod(pixels, levels.shape[1])
        area, sums = len(pixels), (int(x.sum()), int(y.sum()))
        products = int((x * x).sum()), int((x * y).sum()), int((y * y).sum())
        # Exact integers, area squared times the covariance: lines stay lines.
        xx, xy, yy = (
            float(area * product - sums[i] * sums[j])
            for product, (i, j) in zip(products, ((0, 0), (0, 1), (1, 1)), strict=True)
        )
        if xx * yy - xy * xy <= COLLINEARITY_TOLERANCE * xx * yy:
            continue
        square = float(area) * float(area)
        found.append((
            channel, level, int(own), area, (sums[0] / area, sums[1] / area),
            (xx / square, xy / square, yy / square), activations.flat[pixels].max(),
            (x.min(), y.min(), x.max(), y.max()),
        ))  # fmt: skip
    return sorted(found, key=lambda region: (-region[6], region[2]))


def _as_regions(found: list[tuple]) -> Regions:
    kinds = (np.int32, np.uint8, np.int32, np.int32, float, float, np.float32, np.int32)
    columns = list(zip(*found, strict=True)) if found else [()] * len(kinds)
    arrays = [np.array(column, kind) for column, kind in zip(columns, kinds, strict=True)]
    for place, width in ((4, 2), (5, 3), (7, 4)):
        arrays[place] = arrays[place].reshape(-1, width)
    return Regions(*arrays)
