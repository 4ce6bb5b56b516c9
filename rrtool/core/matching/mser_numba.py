"""Compiled kernels of `core.matching.mser`, one channel at a time. Whoever calls them
lets blocks of channels run in threads: numba's own parallel loops take seconds to compile. For the
same reason arrays are handed over one by one and nothing is allocated here. All of a kernel stands
in one file: by its changes numba sees that what it has kept compiled is out of date.

The map is handled with a frame one pixel wide, so that neighbours need no bounds check: pixel (x,
y) is y' * stride + x' with x' = x + 1, y' = y + 1, stride = w + 2. Only pixels above the map's
smallest level are touched: the others belong to the root alone. Framed index 0, a corner of the
frame, is no pixel and stands for none.
"""

from typing import NamedTuple

import numba
import numpy as np

from rrtool.core.blocks import INNER

N_LEVELS = 256

# A region whose correlation coefficient has 1 - r^2 below this is a line of pixels. Exact lines
# give rounding errors of 1e-16; the thinnest true region of 1000 pixels gives 1e-8.
COLLINEARITY_TOLERANCE = 1e-12

# The eight neighbours as (dy, dx), clockwise, so that successive ones touch.
_RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def _contacts(inside: int) -> list[int]:
    """One of ``_RING`` for each group that already hangs together, of those ``inside`` marks.

    Neighbours that touch one another are in one component before the pixel joins them, so one
    look-up serves them all; most pixels need a single one.
    """
    groups: list[list[int]] = []
    for i in (i for i in range(8) if inside >> i & 1):
        touching = [group for group in groups if any(_touch(i, j) for j in group)]
        groups = [group for group in groups if group not in touching]
        groups.append(sum(touching, [i]))
    return [group[0] for group in groups]


def _touch(i: int, j: int) -> bool:
    (y1, x1), (y2, x2) = _RING[i], _RING[j]
    return max(abs(y1 - y2), abs(x1 - x2)) <= 1


_CONTACTS = np.array([(_contacts(inside) + [-1] * 4)[:4] for inside in range(256)], np.int8)


class Limits(NamedTuple):
    """VLFeat's thresholds; areas in pixels, single precision as VLFeat computes them."""

    delta: int
    min_diversity: np.float32
    max_variation: np.float32
    min_area: np.float32
    max_area: np.float32


class Scratch(NamedTuple):
    """One thread's buffers. Pixels are framed indices; nodes are numbered parents first."""

    offsets: np.ndarray  # of the neighbours in _RING
    ends: np.ndarray  # level -> where its next pixel goes in order
    nonzero: np.ndarray  # pixels in raster order
    order: np.ndarray  # pixels by falling level, raster order within a level
    climb: np.ndarray  # pixel -> shortened way to the root of its component, 0 outside
    parent: np.ndarray  # pixel -> the later pixel that took it in, 0 for none
    area: np.ndarray  # pixel -> area of the component that it completes
    node: np.ndarray  # pixel -> its smallest extremal region
    value: np.ndarray  # pixel -> level
    node_parent: np.ndarray
    node_pixel: np.ndarray
    node_level: np.ndarray
    node_area: np.ndarray
    node_top: np.ndarray
    node_variation: np.ndarray
    node_stable: np.ndarray
    node_kept: np.ndarray  # node -> nearest kept node at or around it, 0 (the root) for none
    node_row: np.ndarray  # kept node -> its row below
    row_node: np.ndarray
    row_seed: np.ndarray
    row_order: np.ndarray
    row_sums: np.ndarray  # Σx, Σy, Σxx, Σxy, Σyy
    row_box: np.ndarray
    row_strength: np.ndarray


class Output(NamedTuple):
    """The fields of :class:`Regions`, with a fixed number of places for each channel."""

    levels: np.ndarray
    seeds: np.ndarray
    areas: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    strengths: np.ndarray
    boxes: np.ndarray


def make_scratch(height: int, width: int, capacity: int) -> Scratch:
    """For maps of one size, with room for ``capacity`` regions of a channel."""
    n_framed, n_nodes = (height + 2) * (width + 2), height * width + 1
    return Scratch(
        offsets=np.array([dy * (width + 2) + dx for dy, dx in _RING], np.int32),
        ends=np.empty(N_LEVELS, np.int32),
        nonzero=np.empty(n_nodes, np.uint32),
        order=np.empty(n_nodes, np.uint32),
        climb=np.zeros(n_framed, np.uint32),
        parent=np.empty(n_framed, np.uint32),
        area=np.empty(n_framed, np.int32),
        node=np.empty(n_framed, np.uint32),
        value=np.empty(n_framed, np.int32),
        node_parent=np.empty(n_nodes, np.uint32),
        node_pixel=np.empty(n_nodes, np.uint32),
        node_level=np.empty(n_nodes, np.int32),
        node_area=np.empty(n_nodes, np.int32),
        node_top=np.empty(n_nodes, np.uint32),
        node_variation=np.empty(n_nodes, np.float32),
        node_stable=np.empty(n_nodes, np.bool_),
        node_kept=np.empty(n_nodes, np.uint32),
        node_row=np.empty(n_nodes, np.uint32),
        row_node=np.empty(n_nodes, np.uint32),
        row_seed=np.empty(capacity, np.int32),
        row_order=np.empty(capacity, np.uint32),
        row_sums=np.empty((capacity, 5), np.int64),
        row_box=np.empty((capacity, 4), np.int32),
        row_strength=np.empty(capacity, np.float32),
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def detect_block(
    levels, activations, limits, start, stop, counts,
    offsets, ends, nonzero, order, climb, pixel_parent, pixel_area, pixel_node, pixel_level,
    node_parent, node_pixel, node_level, node_area, node_top, node_variation, node_stable,
    node_kept, node_row, row_node, row_seed, row_order, row_sums, row_box, row_strength,
    out_levels, out_seeds, out_areas, out_means, out_covariances, out_strengths, out_boxes,
):  # fmt: skip
    """Finds the regions of the channels ``start … stop - 1``.

    After ``counts`` follow the fields of a :class:`Scratch` and those of an :class:`Output`. Handed
    over as such, each use of one field took the compiler through all of them: three times as long.
    """
    height, width = levels.shape[1], levels.shape[2]
    capacity = out_seeds.shape[1]
    for channel in range(start, stop):
        background, n_nonzero, n_pixels = _sort_pixels(
            levels[channel], ends, nonzero, order, pixel_node, pixel_level
        )
        _grow_forest(order, n_pixels, width + 2, climb, pixel_parent, pixel_area, offsets)
        n_nodes = _number_nodes(
            order, n_pixels, background, height * width, pixel_parent, pixel_area, pixel_level,
            pixel_node, node_parent, node_pixel, node_level, node_area,
        )  # fmt: skip
        _measure_variation(
            n_nodes, limits.delta, node_parent, node_level, node_area, node_top, node_variation
        )
        n_kept = _select(
            n_nodes, limits, node_parent, node_level, node_area, node_variation, node_stable,
            node_kept, node_row, row_node,
        )  # fmt: skip
        counts[channel] = n_kept
        if 0 < n_kept <= capacity:
            _measure_regions(
                n_nonzero, n_nodes, n_kept, activations[channel], nonzero, pixel_node,
                node_parent, node_kept, node_row, row_sums, row_box, row_strength,
            )  # fmt: skip
            _sort_rows(n_kept, width, node_pixel, row_node, row_seed, row_order, row_strength)
            counts[channel] = _emit(
                channel, n_kept, node_level, node_area, row_node, row_seed, row_order, row_sums,
                row_box, row_strength, out_levels, out_seeds, out_areas, out_means,
                out_covariances, out_strengths, out_boxes,
            )  # fmt: skip


@numba.njit(**INNER)
def _sort_pixels(levels, ends, nonzero, order, pixel_node, pixel_level):
    """Counting sort of the pixels above the smallest level, the background.

    Returns:
        The background's level, the number of pixels above zero, that of pixels above background.
    """
    height, width = levels.shape
    n_nonzero = 0
    for y in range(height):
        first = (y + 1) * (width + 2) + 1
        for x in range(width):
            # A zero is written too, and overwritten by the next pixel: cheaper than a branch.
            nonzero[n_nonzero], pixel_level[first + x] = first + x, levels[y, x]
            n_nonzero += levels[y, x] != 0
    for level in range(N_LEVELS):
        ends[level] = 0
    for i in range(n_nonzero):
        ends[pixel_level[nonzero[i]]] += 1
    background = 0
    if n_nonzero == height * width:
        while ends[background] == 0:
            background += 1
    n_pixels = 0
    for level in range(N_LEVELS - 1, background, -1):
        n_pixels, ends[level] = n_pixels + ends[level], n_pixels
    for i in range(n_nonzero):
        pixel = nonzero[i]
        level = pixel_level[pixel]
        if level == background:
            pixel_node[pixel] = 0
        else:
            order[ends[level]] = pixel
            ends[level] += 1
    return background, n_nonzero, n_pixels


@numba.njit(inline="always")
def _neighbors_inside(climb, pixel, stride):
    """Bit i tells whether ``_RING[i]`` around the pixel is in the forest."""
    # Unsigned indices spare numba's test for negative ones, a third of the whole loop's time.
    here, one = np.uint64(pixel), np.uint64(1)
    above, below = here - np.uint64(stride), here + np.uint64(stride)
    return (
        np.int64(climb[above - one] != 0)
        | np.int64(climb[above] != 0) << 1
        | np.int64(climb[above + one] != 0) << 2
        | np.int64(climb[here + one] != 0) << 3
        | np.int64(climb[below + one] != 0) << 4
        | np.int64(climb[below] != 0) << 5
        | np.int64(climb[below - one] != 0) << 6
        | np.int64(climb[here - one] != 0) << 7
    )


@numba.njit(inline="always")
def _find(climb, pixel):
    """The root of the pixel's component; shortens the way for the next one."""
    root = climb[pixel]
    while root != pixel:
        climb[pixel] = climb[root]
        pixel = climb[root]
        root = climb[pixel]
    return root


@numba.njit(**INNER)
def _grow_forest(order, n_pixels, stride, climb, pixel_parent, pixel_area, offsets):
    """Union-find over falling levels: the newest pixel always becomes its component's root.

    Without union by rank the roots stand in the order of the sort, which makes every later pass a
    plain scan; halving the climbs keeps them short.
    """
    for i in range(n_pixels):
        pixel = order[i]
        inside = _neighbors_inside(climb, pixel, stride)
        climb[pixel], pixel_parent[pixel] = pixel, 0
        total = 1
        for slot in range(4):  # four corners at most stand apart
            contact = _CONTACTS[inside, slot]
            if contact < 0:
                break
            root = _find(climb, np.uint32(pixel + offsets[contact]))
            if root != pixel:
                climb[root], pixel_parent[root] = pixel, pixel
                total += pixel_area[root]
        pixel_area[pixel] = total
    for i in range(n_pixels):
        climb[order[i]] = 0


@numba.njit(**INNER)
def _number_nodes(
    order, n_pixels, background, n_elements, pixel_parent, pixel_area, pixel_level,
    pixel_node, node_parent, node_pixel, node_level, node_area,
):  # fmt: skip
    """Numbers the extremal regions, parents first; node 0 is the whole map."""
    node_parent[0], node_pixel[0] = 0, 0
    node_level[0], node_area[0] = background, n_elements
    n_nodes = 1
    for i in range(n_pixels - 1, -1, -1):
        pixel = order[i]
        parent = pixel_parent[pixel]
        outer = np.uint32(0) if parent == 0 else pixel_node[parent]
        if parent != 0 and pixel_level[parent] == pixel_level[pixel]:
            pixel_node[pixel] = outer
            continue
        pixel_node[pixel] = n_nodes
        node_parent[n_nodes], node_pixel[n_nodes] = outer, pixel
        node_level[n_nodes], node_area[n_nodes] = pixel_level[pixel], pixel_area[pixel]
        n_nodes += 1
    return n_nodes


@numba.njit(**INNER)
def _measure_variation(
    n_nodes, delta, node_parent, node_level, node_area, node_top, node_variation
):
    """Growth of each region over ``delta`` levels down; children first.

    A parent's search starts where the search of its children ended: its level is lower, so it
    reaches at least as far.
    """
    for node in range(n_nodes):
        node_top[node] = node
    for node in range(n_nodes - 1, -1, -1):
        floor = node_level[node] - delta
        top = node_top[node]
        while top != 0 and node_level[node_parent[top]] >= floor:
            top = node_parent[top]
        area = node_area[node]
        node_variation[node] = np.float32(node_area[top] - area) / np.float32(area)
        outer = node_parent[node]
        # Of two nodes on one branch the outer one has the lower number.
        node_top[outer] = min(node_top[outer], top)


@numba.njit(**INNER)
def _select(
    n_nodes, limits, node_parent, node_level, node_area, node_variation, node_stable, node_kept,
    node_row, row_node,
):  # fmt: skip
    """VLFeat's filters; fills ``node_kept`` and ``node_row`` and returns how many are kept."""
    for node in range(n_nodes):
        node_stable[node] = True
    for node in range(n_nodes):
        outer = node_parent[node]
        if node_level[outer] < node_level[node] - 1:
            continue
        child_wins = node_variation[node] < node_variation[outer]
        node_stable[outer if child_wins else node] = False
    node_kept[0] = 0
    n_kept = 0
    for node in range(1, n_nodes):
        around = node_kept[node_parent[node]]
        node_kept[node] = around
        if node_stable[node] and _passes(node, around, limits, node_area, node_variation):
            node_kept[node], node_row[node] = node, n_kept
            row_node[n_kept] = node
            n_kept += 1
    return n_kept


@numba.njit(inline="always")
def _passes(node, around, limits, node_area, node_variation):
    area, area_around = node_area[node], node_area[around]
    if node_variation[node] >= limits.max_variation:
        return False
    if np.float32(area) > limits.max_area or np.float32(area) < limits.min_area:
        return False
    # VLFeat looks for duplicates only below 1: at 1 and above its own test would drop all.
    if limits.min_diversity >= np.float32(1):
        return True
    diversity = np.float32(area_around - area) / np.float32(area_around)
    return diversity >= limits.min_diversity


@numba.njit(**INNER)
def _measure_regions(
    n_nonzero, n_nodes, n_kept, activations, nonzero, pixel_node, node_parent, node_kept, node_row,
    row_sums, row_box, row_strength,
):  # fmt: skip
    """Sums each pixel into the smallest kept region around it, then regions into those outside."""
    stride = activations.shape[1] + 2
    for row in range(n_kept):
        for column in range(5):
            row_sums[row, column] = 0
        row_box[row, 0] = row_box[row, 1] = stride * activations.shape[0]
        row_box[row, 2] = row_box[row, 3] = -1
        row_strength[row] = -np.inf
    y = -1
    row_start, row_end = 0, stride
    for i in range(n_nonzero):
        pixel = nonzero[i]
        while pixel >= row_end:  # pixels come in raster order: no division
            y, row_start, row_end = y + 1, row_end, row_end + stride
        kept = node_kept[pixel_node[pixel]]
        if kept != 0:
            x, row = pixel - row_start - 1, node_row[kept]
            row_sums[row, 0] += x
            row_sums[row, 1] += y
            row_sums[row, 2] += x * x
            row_sums[row, 3] += x * y
            row_sums[row, 4] += y * y
            row_box[row, 0], row_box[row, 1] = min(row_box[row, 0], x), min(row_box[row, 1], y)
            row_box[row, 2], row_box[row, 3] = max(row_box[row, 2], x), max(row_box[row, 3], y)
            row_strength[row] = max(row_strength[row], activations[y, x])
    for node in range(n_nodes - 1, 0, -1):
        outer = node_kept[node_parent[node]]
        if node_kept[node] == node and outer != 0:
            row, inner = node_row[outer], node_row[node]
            for column in range(5):
                row_sums[row, column] += row_sums[inner, column]
            for side in range(2):
                row_box[row, side] = min(row_box[row, side], row_box[inner, side])
                row_box[row, 2 + side] = max(row_box[row, 2 + side], row_box[inner, 2 + side])
            row_strength[row] = max(row_strength[row], row_strength[inner])


@numba.njit(**INNER)
def _emit(
    channel, n_kept, node_level, node_area, row_node, row_seed, row_order, row_sums, row_box,
    row_strength, out_levels, out_seeds, out_areas, out_means, out_covariances, out_strengths,
    out_boxes,
):  # fmt: skip
    """Writes the channel's regions in the order of ``row_order``, less lines; returns how many."""
    n_out = 0
    for i in range(n_kept):
        row = row_order[i]
        node = row_node[row]
        area = np.int64(node_area[node])
        x, y = row_sums[row, 0], row_sums[row, 1]
        # Exact integers until here (area squared times the covariance), so lines stay lines.
        xx = np.float64(area * row_sums[row, 2] - x * x)
        xy = np.float64(area * row_sums[row, 3] - x * y)
        yy = np.float64(area * row_sums[row, 4] - y * y)
        if xx * yy - xy * xy <= COLLINEARITY_TOLERANCE * xx * yy:
            continue
        square = np.float64(area) * np.float64(area)
        out_levels[channel, n_out] = node_level[node]
        out_seeds[channel, n_out] = row_seed[row]
        out_areas[channel, n_out] = area
        out_means[channel, n_out, 0] = x / area
        out_means[channel, n_out, 1] = y / area
        out_covariances[channel, n_out, 0] = xx / square
        out_covariances[channel, n_out, 1] = xy / square
        out_covariances[channel, n_out, 2] = yy / square
        out_strengths[channel, n_out] = row_strength[row]
        for side in range(4):
            out_boxes[channel, n_out, side] = row_box[row, side]
        n_out += 1
    return n_out


@numba.njit(**INNER)
def _sort_rows(n_kept, width, node_pixel, row_node, row_seed, row_order, row_strength):
    """By falling strength, then seed; fills ``row_seed`` and ``row_order``.

    Insertion sort: a channel keeps a handful of regions (those with more than 20 go unused).
    """
    for row in range(n_kept):
        pixel = node_pixel[row_node[row]]
        row_seed[row] = (pixel // (width + 2) - 1) * width + pixel % (width + 2) - 1
        position = row
        while position > 0 and _goes_before(row, row_order[position - 1], row_strength, row_seed):
            row_order[position] = row_order[position - 1]
            position -= 1
        row_order[position] = row


@numba.njit(inline="always")
def _goes_before(row, other, row_strength, row_seed):
    strength, other_strength = row_strength[row], row_strength[other]
    if strength != other_strength:
        return strength > other_strength
    return row_seed[row] < row_seed[other]


@numba.njit(cache=True, nogil=True, error_model="numpy")
def quantize_values(activations, scale, levels, start, stop):
    """Fills ``levels[start:stop]``; returns how many of the activations are not finite."""
    n_bad = 0
    top = np.float32(N_LEVELS - 1)
    for i in range(start, stop):
        value = activations[i]
        n_bad += not np.isfinite(value)
        level = min(max(np.rint(value * scale), np.float32(0)), top)
        levels[i] = np.uint8(level)
    return n_bad
