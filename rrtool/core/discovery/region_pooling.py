"""Pooling of many rectangles, or of a window at every position, of one map (thesis §5.3.5, §5.3.8).

Rectangles are ``(x0, y0, x1, y1)`` in cells, half-open, inside the map and not empty.

No integral maps: a rectangle's sum as the difference of four large numbers loses the weak regions
of a channel (at a thousandth of its maximum, with ω = 3, all digits but three; where it is silent,
a root of rounding errors). Here only non-negative numbers are added, in float64, so any result is
right to rounding; windows are separable and cost 2a additions a position.
"""

import numba
import numpy as np

from rrtool.core.blocks import INNER, in_threads
from rrtool.core.discovery.saliency import check_values

GEM_EXPONENT = 3.0


def pool_regions(
    activation_map: np.ndarray, rectangles: np.ndarray, exponent: float = GEM_EXPONENT
) -> np.ndarray:
    """Generalized mean (eq. 5.10) of every channel over each rectangle, without normalisation.

    As in `core.retrieval.pooling.gem` the channel's maximum is factored out, here that over the
    whole map: powers of float64 underflow only below ``1e-300^(1/ω)`` of it.

    Args:
        activation_map: ``(k, h, w)`` float32, non-negative.
        rectangles: ``(r, 4)`` integers.
        exponent: ω; ``np.inf`` is max pooling.

    Returns:
        ``(r, k)`` float32. A channel that is zero in a rectangle gives zero.

    Raises:
        ValueError: the map isn't of that shape or holds negative, NaN or infinite values, a
            rectangle is empty or leaves the map, or the exponent is not positive.
    """
    maps = _checked_map(activation_map, exponent)
    _check_rectangles(rectangles, maps.shape[1:])
    boxes = np.ascontiguousarray(rectangles, np.int64)
    pooled = np.zeros((len(maps), len(boxes)), np.float32)
    if boxes.size:

        def pool(start: int, stop: int) -> None:
            powers = np.empty(maps.shape[1:])
            _pool_boxes(maps[start:stop], boxes, float(exponent), powers, pooled[start:stop])

        in_threads(pool, len(maps))
    return np.ascontiguousarray(pooled.T)


def pool_windows(
    activation_map: np.ndarray, side: int, exponent: float = GEM_EXPONENT
) -> np.ndarray:
    """Generalized mean (eq. 5.10) over the square window of ``side`` cells around each position.

    Windows are clipped at the borders, and the mean is over the cells that remain. An even side
    has one cell more above and to the left of the position.

    Args:
        activation_map, exponent: see `pool_regions`; §5.3.8 names max pooling.
        side: a, in cells.

    Returns:
        ``(h·w, k)`` float32, positions in raster order, without normalisation.

    Raises:
        ValueError: see :func:`pool_regions`, or the side is below 1.
    """
    maps = _checked_map(activation_map, exponent)
    if side < 1:
        raise ValueError(f"the window's side is {side} cells, expected at least 1")
    n_channels, height, width = maps.shape
    pooled = np.zeros((n_channels, height, width), np.float32)
    if maps.size:
        before, after = side // 2, (side - 1) // 2

        def pool(start: int, stop: int) -> None:
            powers, along_y = np.empty((2, height, width))
            turned, both = np.empty((2, width, height))
            _pool_around(
                maps[start:stop], before, after, float(exponent), powers, along_y, turned, both,
                pooled[start:stop],
            )  # fmt: skip

        in_threads(pool, n_channels)
    return np.ascontiguousarray(pooled.reshape(n_channels, height * width).T)


def region_saliency(saliency_map: np.ndarray, rectangles: np.ndarray) -> np.ndarray:
    """Mean saliency of each rectangle (eq. 5.9).

    Args:
        saliency_map: ``(h, w)`` float32.
        rectangles: ``(r, 4)`` integers.

    Returns:
        ``(r,)`` float32.

    Raises:
        ValueError: a rectangle is empty or leaves the map, or the map holds NaN.
    """
    _check_rectangles(rectangles, saliency_map.shape)
    if np.isnan(saliency_map).any():
        raise ValueError("the saliency map holds NaN")
    means = [
        saliency_map[y0:y1, x0:x1].mean(dtype=np.float64)
        for x0, y0, x1, y1 in np.asarray(rectangles).tolist()
    ]
    return np.array(means, np.float32)


def _checked_map(activation_map: np.ndarray, exponent: float) -> np.ndarray:
    """The map as the kernels take it: for another layout numba would compile them once more."""
    if activation_map.ndim != 3:
        raise ValueError(f"the activation map is {activation_map.shape}, expected (k, h, w)")
    if not exponent > 0:
        raise ValueError(f"the exponent is {exponent}, expected a positive number")
    maps = np.require(activation_map, np.float32, ["C", "W"])
    check_values("the activation map", maps)
    return maps


def _check_rectangles(rectangles: np.ndarray, shape: tuple[int, ...]) -> None:
    boxes = np.asarray(rectangles)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.issubdtype(boxes.dtype, np.integer):
        raise ValueError(f"rectangles are {boxes.shape} {boxes.dtype}, expected (r, 4) integers")
    height, width = shape
    inside = (boxes[:, :2] >= 0).all(axis=1) & (boxes[:, 2:] <= (width, height)).all(axis=1)
    good = inside & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    if not good.all():
        bad = boxes[np.argmin(good)].tolist()
        raise ValueError(f"rectangle {bad} is empty or leaves the map of {width}×{height} cells")


# Only the next two are called from Python; allocations and expressions of whole arrays would take
# numba longer to compile than all the rest.
@numba.njit(cache=True, nogil=True, error_model="numpy")
def _pool_boxes(maps, boxes, exponent, powers, pooled):
    """Fills ``pooled (k, r)``; ``powers (h, w)`` is room."""
    for channel in range(maps.shape[0]):
        largest = _fill_powers(maps[channel], exponent, powers)
        if largest > 0:
            for i in range(boxes.shape[0]):
                x0, y0, x1, y1 = boxes[i, 0], boxes[i, 1], boxes[i, 2], boxes[i, 3]
                total = 0.0
                for y in range(y0, y1):
                    for x in range(x0, x1):
                        if np.isinf(exponent):
                            total = max(total, powers[y, x])
                        else:
                            total += powers[y, x]
                n_cells = 1 if np.isinf(exponent) else (y1 - y0) * (x1 - x0)
                pooled[channel, i] = largest * _root(total / n_cells, exponent)


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _pool_around(maps, before, after, exponent, powers, along_y, turned, both, pooled):
    """Fills ``pooled (k, h, w)``; the four arrays before it are room: two of ``(h, w)``, then two
    of ``(w, h)``."""
    height, width = powers.shape
    for channel in range(maps.shape[0]):
        largest = _fill_powers(maps[channel], exponent, powers)
        if largest == 0:
            continue
        _combine_rows(powers, before, after, np.isinf(exponent), along_y)
        for x in range(width):
            for y in range(height):
                turned[x, y] = along_y[y, x]
        _combine_rows(turned, before, after, np.isinf(exponent), both)
        if np.isfinite(exponent):
            for x in range(width):
                n_columns = min(x + after, width - 1) - max(x - before, 0) + 1
                for y in range(height):
                    n_rows = min(y + after, height - 1) - max(y - before, 0) + 1
                    both[x, y] /= n_rows * n_columns
            _take_roots(both, exponent, turned)
        for y in range(height):
            for x in range(width):
                pooled[channel, y, x] = largest * both[x, y]


@numba.njit(**INNER)
def _combine_rows(values, before, after, takes_maximum, out):
    """Sum or maximum of the rows ``y − before … y + after`` of non-negative values."""
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            out[y, x] = 0
        for other in range(max(y - before, 0), min(y + after, values.shape[0] - 1) + 1):
            if takes_maximum:
                for x in range(values.shape[1]):
                    out[y, x] = max(out[y, x], values[other, x])
            else:
                for x in range(values.shape[1]):
                    out[y, x] += values[other, x]


@numba.njit(**INNER)
def _fill_powers(values, exponent, powers):
    """Fills in the powers of the values over their maximum, unless it is 0; returns it."""
    largest = 0.0
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            largest = max(largest, np.float64(values[y, x]))
    if largest > 0:
        for y in range(values.shape[0]):
            for x in range(values.shape[1]):
                powers[y, x] = _power(values[y, x] / largest, exponent)
    return largest


@numba.njit(inline="always")
def _power(value, exponent):
    if exponent == 3:  # the default, twenty times faster than the general power
        return value * value * value
    return value if np.isinf(exponent) else value**exponent


@numba.njit(**INNER)
def _take_roots(values, exponent, guesses):
    """Of ``values``, in place; ``guesses`` is room for as many."""
    if exponent != 3:
        for x in range(values.shape[0]):
            for y in range(values.shape[1]):
                values[x, y] = _root(values[x, y], exponent)
        return
    # By Halley's iteration, four at a time where the library's cube root takes one: a third of the
    # bits as a number is a third of the exponent, and right to 1/20; then 1e-4, 1e-12, all digits.
    bits, guessed_bits = values.view(np.int64), guesses.view(np.int64)
    for x in range(values.shape[0]):
        for y in range(values.shape[1]):
            guessed_bits[x, y] = np.int64(bits[x, y] * (1 / 3)) + 0x2A9F7893782DA1CE
        for y in range(values.shape[1]):
            value, root = values[x, y], guesses[x, y]
            for _ in range(3):
                cube = root * root * root
                root *= (cube + 2 * value) / (2 * cube + value)
            values[x, y] = root if value > 0 else 0.0


@numba.njit(inline="always")
def _root(value, exponent):
    if exponent == 3:
        return np.cbrt(value)
    return value if np.isinf(exponent) else value ** (1 / exponent)
