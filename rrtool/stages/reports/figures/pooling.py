"""Figure 2.7: what CroW weighs, and where R-MAC pools."""

import numpy as np
import torch

from rrtool.artifacts import ActivationMaps
from rrtool.core.retrieval.pooling import crow_weights, rmac_regions
from rrtool.reports.drawing import rectangle_outline
from rrtool.reports.figures_page import Figure, Outline, View
from rrtool.reports.line_chart import COLOURS
from rrtool.reports.overlay import combine_maps, lay_over
from rrtool.stages.reports.figures.given import Given

N_LEVELS = 3
_SIDE = 280


def figure(given: Given) -> Figure:
    """The photo, its spatial weights by CroW, and the regions of R-MAC at each level."""
    maps = given.first(ActivationMaps, "activation maps, from extract --save-maps")
    row = given.photo(maps)
    name = maps.names[row]
    activations = maps.of(row)[0]
    loaded = given.pictures.load(name, _SIDE)
    picture = None if loaded is None else loaded[0]
    weights = crow_weights(torch.from_numpy(activations)[None])[0, 0].numpy()
    weighed = picture and lay_over(picture, combine_maps([weights], picture.size))
    height, width = activations.shape[1:]
    levels = [
        View(
            f"R-MAC, level {level}: {len(boxes)} regions", picture,
            _outlines(boxes, (width, height), picture),
        )
        for level, boxes in enumerate(regions_by_level(height, width), start=1)
    ]  # fmt: skip
    return Figure(
        "2.7", "what CroW weighs, and where R-MAC pools",
        f"(a) {name}, and the weight that CroW gives to each of the {width} by {height} positions "
        "of its activation map: high where many channels respond at once, whatever it is that "
        f"they respond to. (b) The squares in which R-MAC pools, at {N_LEVELS} levels: they are "
        "laid out by the size of the map alone, and overlap by about two fifths.",
        [[View("photo", picture), View("CroW's weights", weighed), *levels]],
        has_scale=True,
    )  # fmt: skip


def regions_by_level(height: int, width: int) -> list[list[tuple[int, int, int, int]]]:
    """The squares ``(x, y, w, h)`` of each level of R-MAC, in cells."""
    found: list[list[tuple[int, int, int, int]]] = []
    before = 1  # the whole map
    for level in range(1, N_LEVELS + 1):
        regions = rmac_regions(height, width, level)
        found.append(regions[before:])
        before = len(regions)
    return found


def _outlines(boxes, size, picture) -> list[Outline]:
    if picture is None:
        return []
    scale = np.array(picture.size * 2) / np.array(size * 2)
    return [
        Outline(
            rectangle_outline(np.array([x, y, x + w, y + h]) * scale), COLOURS[i % len(COLOURS)]
        )
        for i, (x, y, w, h) in enumerate(boxes)
    ]
