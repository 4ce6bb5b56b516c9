"""VLFeat as a detector: the same regions as ours, in every field, and clear words without it."""

from __future__ import annotations

import ctypes
import ctypes.util
from dataclasses import fields

import numpy as np
import pytest

from rrtool.core.matching import vlfeat
from rrtool.core.matching.detection import DetectionOptions, detect
from rrtool.core.matching.mser import Stability, detect_regions, quantize
from rrtool.errors import WorkFailed
from tests.core.matching.test_mser import smooth_maps
from tests.vlfeat import needs_vlfeat


@pytest.fixture
def unknown_library(monkeypatch):
    vlfeat.library.cache_clear()
    yield monkeypatch
    vlfeat.library.cache_clear()


@needs_vlfeat
@pytest.mark.parametrize(
    "limits", [{"delta": 5}, {"delta": 2, "min_diversity": 0.2, "max_variation": 2.0}], ids=str
)
def test_regions_equal_ours_in_every_field(limits):
    activations = smooth_maps(np.random.default_rng(4), 40, 17, 23)
    activations[3] = 0
    levels = quantize(activations, 255.0)
    ours = detect_regions(levels, activations, Stability(**limits))
    theirs = vlfeat.detect_regions(levels, activations, Stability(**limits))
    assert len(ours) > 20
    for field in fields(ours):
        expected, found = getattr(ours, field.name), getattr(theirs, field.name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected, err_msg=field.name)


@needs_vlfeat
def test_maps_without_a_region_give_none():
    empty = np.zeros((3, 6, 5), np.float32)
    ours = detect(empty, scale=1.0, delta=5)
    theirs = detect(empty, scale=1.0, delta=5, options=DetectionOptions(detector="vlfeat"))
    assert len(theirs) == 0
    for field in fields(ours):
        expected, found = getattr(ours, field.name), getattr(theirs, field.name)
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


@needs_vlfeat
def test_detect_takes_the_detector_that_is_asked_for(monkeypatch):
    asked = []
    monkeypatch.setattr(vlfeat, "detect_regions", lambda *given: asked.append(given[2]))
    maps = np.ones((1, 4, 4), np.float32)
    detect(maps, scale=1.0, delta=5)
    assert not asked
    detect(maps, scale=1.0, delta=5, options=DetectionOptions(detector="vlfeat"))
    assert asked == [Stability(delta=5, min_diversity=0.7, max_variation=0.5)]


def test_without_the_library_one_line_says_what_to_do(unknown_library):
    unknown_library.setenv(vlfeat.VARIABLE, "/no/such/libvl.so")
    with pytest.raises(WorkFailed, match=r"^RRTOOL_VLFEAT: VLFeat's library .*apt install libvlfe"):
        vlfeat.library()


def test_a_library_that_is_another_is_none(unknown_library):
    unknown_library.setenv(vlfeat.VARIABLE, ctypes.util.find_library("c") or "libc.so.6")
    with pytest.raises(WorkFailed, match="libvl is not here"):
        vlfeat.library()


@needs_vlfeat
def test_a_library_of_another_version_is_refused(unknown_library):
    class Shifted(ctypes.Structure):
        _fields_ = (("new", ctypes.c_double), *vlfeat._Filter._fields_)

    unknown_library.setattr(vlfeat, "_Filter", Shifted)
    with pytest.raises(WorkFailed, match="of another version"):
        vlfeat.library()
