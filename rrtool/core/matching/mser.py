"""Maximally stable extremal regions of activation maps (thesis §4.3.4).

The definitions are VLFeat 0.9.21's (``vl_mser``), applied to the inverted map so that only bright
regions are found. They are restated here on the map itself:

* An extremal region is an 8-connected component of ``{level >= l}``. Equal sets count once, at
  their highest ``l``, so the regions of a map form a tree whose root is the whole map.
* The variation of ``R`` at ``l`` is ``(|R_top| - |R|) / |R|``, where ``R_top`` is the largest
  region around ``R`` whose level is at least ``l - delta``.
* Where the parent's level is exactly ``l - 1``, the less stable of the two is no longer maximally
  stable; on equal variation the child is dropped. The root never is maximally stable.
* Of the maximally stable regions, from the outermost inwards, those are dropped, in this order,
  with variation >= max_variation, area > max_area, area < min_area, or diversity
  ``(|P| - |R|) / |P| < min_diversity``, where ``P`` is the nearest region around ``R`` that is
  still in, or else the root.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rrtool.core.blocks import in_threads
from rrtool.core.matching.mser_numba import (
    N_LEVELS,
    Limits,
    Output,
    detect_block,
    make_scratch,
    quantize_values,
)

MAX_DELTA = 12
DELTA_QUANTILE = 0.6

# Rows first set aside for a channel's regions; a channel that finds more has all run again.
_INITIAL_CAPACITY = 48

# Activations whose levels are worth a thread.
_FEWEST_VALUES = 1 << 16

# Mantissa bits kept by ActivationHistogram: bins are at most 2^-9 of their value wide.
_MANTISSA_BITS = 9
_SHIFT = 23 - _MANTISSA_BITS
_N_BINS = (255 << 23) >> _SHIFT  # up to the largest finite float32


@dataclass(frozen=True)
class Regions:
    """Regions of the channels of one activation map: by channel, falling strength, then seed.

    Attributes:
        channels: ``(n,)`` int32.
        levels: ``(n,)`` uint8, the smallest level inside the region.
        seeds: ``(n,)`` int32, ``y * w + x`` of the last pixel in raster order among those at
            ``levels``: the region is the 8-connected component of ``{level >= levels}`` there.
        areas: ``(n,)`` int32, pixels.
        means: ``(n, 2)`` float64, ``(x, y)`` in cells, pixel centres at integers.
        covariances: ``(n, 3)`` float64, ``(Σ_xx, Σ_xy, Σ_yy)`` of the pixel centres, divided by
            the area (population), positive definite.
        strengths: ``(n,)`` float32, the largest activation inside the region.
        boxes: ``(n, 4)`` int32, ``(x0, y0, x1, y1)``, inclusive.
    """

    channels: np.ndarray
    levels: np.ndarray
    seeds: np.ndarray
    areas: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    strengths: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.channels)


@dataclass(frozen=True, kw_only=True)
class Stability:
    """Which of a map's extremal regions are detected.

    The thesis gives ``min_diversity`` and ``max_variation`` (§4.4.1). Our choice: no minimum area
    (VLFeat drops regions under 3 pixels; those are lines anyway) and VLFeat's maximum of 0.75.

    Attributes:
        delta: levels, from 0 to 255.
        min_diversity: smallest relative difference of area to the surrounding kept region.
        max_variation: regions with at least this variation are dropped.
        min_area: smallest area, as a fraction of the map.
        max_area: largest area, as a fraction of the map.
    """

    delta: int
    min_diversity: float = 0.7
    max_variation: float = 0.5
    min_area: float = 0.0
    max_area: float = 0.75


def detect_regions(
    levels: np.ndarray,
    activations: np.ndarray,
    stability: Stability,
) -> Regions:
    """Finds the bright maximally stable extremal regions of every channel.

    Equal to VLFeat's ``vl_mser`` on ``255 - levels``, less the regions whose pixels lie on one
    line: their covariance is singular (thesis §4.3.4 fits an ellipse to each).

    Args:
        levels: ``(k, h, w)`` uint8.
        activations: ``(k, h, w)`` float32, read for the strengths alone.
        stability: which of the extremal regions.

    Returns:
        The same regions in the same order whatever the number of threads.

    Raises:
        ValueError: the arrays aren't of one ``(k, h, w)`` shape or of the wrong type, or delta is
            out of range.
    """
    check_maps(levels, activations, stability.delta)
    _, height, width = levels.shape
    n_elements = np.float32(height * width)
    limits = Limits(
        int(stability.delta),
        np.float32(stability.min_diversity),
        np.float32(stability.max_variation),
        np.float32(stability.min_area) * n_elements,
        np.float32(stability.max_area) * n_elements,
    )
    out, counts = _run(_plain(levels), _plain(activations), limits)
    filled = np.nonzero(np.arange(out.seeds.shape[1]) < counts[:, None])
    channels = filled[0].astype(np.int32)
    return Regions(channels, *(field[filled] for field in out))


def quantize(activations: np.ndarray, scale: float) -> np.ndarray:
    """Returns ``clip(rint(activations * scale), 0, 255)`` as uint8, of the same shape.

    Args:
        activations: float32 of any shape.
        scale: levels per unit of activation, from :meth:`ActivationHistogram.level_scale`.

    Raises:
        ValueError: an activation or the scale is NaN or infinite, or the scale is not positive.
    """
    if not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"the level scale is {scale}, expected a positive finite number")
    flat = _plain(np.asarray(activations, np.float32)).reshape(-1)
    levels = np.empty(flat.size, np.uint8)

    def fill(start: int, stop: int) -> int:
        return quantize_values(flat, np.float32(scale), levels, start, stop)

    n_bad = sum(in_threads(fill, flat.size, _FEWEST_VALUES))
    if n_bad:
        raise ValueError(_not_finite(n_bad, flat.size))
    return levels.reshape(np.shape(activations))


@dataclass(frozen=True)
class ActivationHistogram:
    """Counts of positive activations over a sample of maps, from which the levels are calibrated.

    The bins are the leading bits of the float32 numbers (the sign, the exponent and 9 bits of the
    mantissa), so they need no range in advance: one pass suffices, and a quantile is right to
    0.2 % of its value.

    Attributes:
        counts: ``(n_bins,)`` int64, of activations above zero.
        maximum: the largest activation seen, 0 where none was positive.
    """

    counts: np.ndarray
    maximum: float

    @classmethod
    def empty(cls) -> ActivationHistogram:
        return cls(np.zeros(_N_BINS, np.int64), 0.0)

    def update(self, activations: np.ndarray) -> ActivationHistogram:
        """Returns the histogram with the positive values of ``activations`` (float32) added.

        Raises:
            ValueError: an activation is NaN or infinite.
        """
        flat = np.ascontiguousarray(activations, dtype=np.float32).reshape(-1)
        n_bad = flat.size - np.count_nonzero(np.isfinite(flat))
        if n_bad:
            raise ValueError(_not_finite(n_bad, flat.size))
        positive = flat[flat > 0]
        bins = positive.view(np.int32) >> _SHIFT
        counts = self.counts + np.bincount(bins, minlength=_N_BINS)
        return ActivationHistogram(counts, max(self.maximum, float(positive.max(initial=0))))

    def quantile(self, fraction: float) -> float:
        """The lower edge of the bin that holds the ``fraction`` quantile; 0 where all is zero."""
        cumulative = np.cumsum(self.counts)
        if cumulative[-1] == 0:
            return 0.0
        index = np.searchsorted(cumulative, fraction * cumulative[-1])
        return float(np.array(index << _SHIFT, np.int32).view(np.float32))

    def level_scale(self) -> float:
        """Levels per unit of activation: 255 over the sample's maximum; 1 for an all-zero one."""
        scale = 255.0 / self.maximum if self.maximum > 0 else 1.0
        # Maxima among the subnormal numbers would overflow; such maps hold nothing to find.
        return min(scale, float(np.finfo(np.float32).max))

    def stability_delta(
        self, *, fraction: float = DELTA_QUANTILE, max_delta: int = MAX_DELTA
    ) -> int:
        """The level below which ``fraction`` of the non-zero activations lie (thesis §4.4.1).

        At most ``max_delta`` (12 in the authors' code) and at least 1.
        """
        level = round(self.quantile(fraction) * self.level_scale())
        return int(min(max(level, 1), max_delta))


def check_maps(levels: np.ndarray, activations: np.ndarray, delta: int) -> None:
    """What a detector is given.

    Raises:
        ValueError: the arrays aren't of one ``(k, h, w)`` shape or of the wrong type, or delta is
            out of range.
    """
    if levels.ndim != 3 or levels.shape != activations.shape:
        raise ValueError(
            f"levels are {levels.shape} and activations {activations.shape}, expected one shape"
            " (k, h, w)"
        )
    if levels.dtype != np.uint8 or activations.dtype != np.float32:
        raise ValueError(
            f"levels are {levels.dtype}, expected uint8; activations are {activations.dtype},"
            " expected float32"
        )
    if not 0 <= delta < N_LEVELS:
        raise ValueError(f"delta is {delta}, expected 0 to 255 levels")


def _plain(array: np.ndarray) -> np.ndarray:
    """Contiguous and writeable: for any other layout numba would compile the kernels once more."""
    return np.require(array, requirements=["C", "W"])


def _not_finite(n_bad: int, n_values: int) -> str:
    return f"{n_bad} of {n_values} activations are NaN or infinite, expected finite numbers"


def _run(levels: np.ndarray, activations: np.ndarray, limits: Limits) -> tuple[Output, np.ndarray]:
    """Runs the kernel with room enough; returns its output and the regions of each channel."""
    out, counts = _run_with(_INITIAL_CAPACITY, levels, activations, limits)
    needed = int(counts.max(initial=0))
    if needed <= _INITIAL_CAPACITY:
        return out, counts
    return _run_with(needed, levels, activations, limits)


def _run_with(
    capacity: int, levels: np.ndarray, activations: np.ndarray, limits: Limits
) -> tuple[Output, np.ndarray]:
    """Channels that have more regions than there is room for give their number only."""
    out, counts = _make_output(len(levels), capacity), np.zeros(len(levels), np.int64)
    _, height, width = levels.shape

    def detect(start: int, stop: int) -> None:
        scratch = make_scratch(height, width, capacity)
        detect_block(levels, activations, limits, start, stop, counts, *scratch, *out)

    in_threads(detect, len(levels) if levels.size else 0)
    return out, counts


def _make_output(n_channels: int, capacity: int) -> Output:
    places = (n_channels, capacity)
    return Output(
        levels=np.empty(places, np.uint8),
        seeds=np.empty(places, np.int32),
        areas=np.empty(places, np.int32),
        means=np.empty((*places, 2)),
        covariances=np.empty((*places, 3)),
        strengths=np.empty(places, np.float32),
        boxes=np.empty((*places, 4), np.int32),
    )
