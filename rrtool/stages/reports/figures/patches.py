"""Figure 5.4: where object saliency comes from: patches of a photo, and what resembles them."""

from typing import NamedTuple

import numpy as np
from PIL import Image

from rrtool.artifacts import ActivationMaps, Centrality, Regions, Saliency
from rrtool.core.discovery.region_pooling import pool_windows
from rrtool.core.discovery.saliency import unit_maximum
from rrtool.core.retrieval.whitening import l2_normalize
from rrtool.reports.drawing import rectangle_outline
from rrtool.reports.figures_page import Figure, Outline, View
from rrtool.reports.line_chart import COLOURS
from rrtool.reports.overlay import combine_maps, lay_over
from rrtool.stages.reports.figures.given import Given, Missing

N_PATCHES, N_NEIGHBOURS = 3, 8
_SIDE, _CROP, _CROPPED_FROM = 280, 108, 1024
_CENTRAL, _OUTLIER = "rgb(46, 170, 80)", "rgb(215, 60, 50)"


class Neighbour(NamedTuple):
    """A region that resembles a patch: its place, its similarity and its centrality."""

    place: int
    similarity: float
    centrality: float


def figure(given: Given) -> Figure:
    """A photo, its maps, and of three patches the nearest regions of other photos."""
    saliency = given.first(Saliency, "object saliency, from saliency os")
    maps = given.first(ActivationMaps, "activation maps, from extract --save-maps")
    regions = given.made_from(saliency, "regions", Regions)
    centrality = given.made_from(saliency, "centrality", Centrality)
    if regions is None or centrality is None or not regions.has_maps:
        raise Missing("the regions, with maps, and the centrality that the saliency was made with")
    if saliency.options["whitening"] != "none":
        raise Missing("saliency of regions that are not whitened")
    row = given.photo(saliency)
    name = saliency.names[row]
    activations = maps.of(maps.names.index(name))[0]
    features, objects = (each.saliency_maps(row)[0] for each in (regions, saliency))
    side = saliency.options["patch"] or max(1, round(min(features.shape) / 3))
    patches = chosen_patches(features, objects, side, saliency.options["theta"])
    exponent = saliency.options["gem_exponent"]
    pooled = pool_windows(
        activations, side, exponent if saliency.options["patch_pooling"] == "gem" else np.inf
    )
    vectors = l2_normalize(pooled)
    boxes = [box_of(position, side, features.shape) for position in patches]
    rows = [
        _row(
            given, regions, _Patch(name, box, colour),
            neighbours(vectors[position], regions, row, centrality.centrality),
        )
        for position, box, colour in zip(patches, boxes, COLOURS, strict=False)
    ]  # fmt: skip
    return Figure(
        "5.4", "patches, and what resembles them in the collection",
        f"{name} with three patches, its feature saliency and its object saliency. Below, a patch "
        "a row: first the two where object saliency is highest, then one that stands out in this "
        "photo but not in the collection. Right of each are the regions of other photos that "
        "resemble it most, with their similarity s and centrality u; in a green frame those that "
        "are more central than the mean (u > 1), in a red one the outliers. Object saliency is "
        "high where a patch resembles many central regions.",
        [_maps(given, name, boxes, (features, objects)), *rows], has_scale=True,
    )  # fmt: skip


def chosen_patches(features: np.ndarray, objects: np.ndarray, side: int, theta: float) -> list[int]:
    """Positions, in raster order, of the patches that are shown, none within ``side`` of another.

    The first two where object saliency is highest; then where what object saliency takes away from
    feature saliency is most.
    """
    lost = unit_maximum(features.astype(np.float64) ** theta) - objects
    height, width = features.shape
    ys, xs = np.divmod(np.arange(height * width), width)
    free, found = np.ones(height * width, bool), []
    for values in (objects, objects, lost)[:N_PATCHES]:
        if not free.any():
            break
        position = int(np.argmax(np.where(free, values.ravel(), -np.inf)))
        found.append(position)
        y, x = divmod(position, width)
        free &= np.maximum(abs(ys - y), abs(xs - x)) >= side
    return found


def box_of(position: int, side: int, shape: tuple[int, ...]) -> np.ndarray:
    """The window of ``pool_windows`` at a position, as shares x0, y0, x1, y1 of the map."""
    height, width = shape
    y, x = divmod(position, width)
    before = side // 2
    box = np.array([x - before, y - before, x - before + side, y - before + side], float)
    return np.clip(box, 0, [width, height, width, height]) / [width, height, width, height]


def neighbours(
    vector: np.ndarray, regions: Regions, row: int, centrality: np.ndarray
) -> list[Neighbour]:
    """The regions of other photos nearest to a patch, nearest first."""
    similarities = regions.descriptors.astype(np.float32) @ vector
    similarities[regions.of(row)] = -np.inf
    nearest = np.argsort(-similarities, kind="stable")[:N_NEIGHBOURS].tolist()
    return [
        Neighbour(place, float(similarities[place]), float(centrality[place]))
        for place in nearest
        if np.isfinite(similarities[place])
    ]


class _Patch(NamedTuple):
    """Where a patch is, as shares of the photo, and the colour of its frame."""

    name: str
    box: np.ndarray
    colour: str


def _maps(
    given: Given, name: str, boxes: list[np.ndarray], maps: tuple[np.ndarray, np.ndarray]
) -> list[View]:
    """The photo with the patches, and its two maps."""
    loaded = given.pictures.load(name, _SIDE)
    if loaded is None:
        return [View("photo", None)]
    picture = loaded[0]
    outlines = [
        Outline(rectangle_outline(box * np.array(picture.size * 2)), colour)
        for box, colour in zip(boxes, COLOURS, strict=False)
    ]
    captions = ("feature saliency", "object saliency")
    over = [lay_over(picture, combine_maps([each], picture.size)) for each in maps]
    return [
        View("photo", picture, outlines),
        *(View(caption, each) for caption, each in zip(captions, over, strict=True)),
    ]


def _row(given: Given, regions: Regions, patch: _Patch, found: list[Neighbour]) -> list[View]:
    """The patch, and the crops of its neighbours."""
    size = regions.image_sizes[regions.names.index(patch.name)]
    own = _crop(given, patch.name, patch.box * np.tile(size, 2))
    views = [View("patch", own, frame=patch.colour)]
    names, offsets = regions.names, regions.offsets
    for place, similarity, central in found:
        other = names[int(np.searchsorted(offsets, place, side="right")) - 1]
        caption = f"s {similarity:.2f}, u {central:.2f}"
        frame = _CENTRAL if central > 1 else _OUTLIER
        views.append(View(caption, _crop(given, other, regions.region_boxes[place]), frame=frame))
    return views


def _crop(given: Given, name: str, box: np.ndarray) -> Image.Image | None:
    return given.pictures.crop(name, box, _CROPPED_FROM, _CROP)
