"""Figures 4.2 and 4.4: what channels respond to in several views, and the local features there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rrtool.artifacts import ActivationMaps, LocalFeaturesFile
from rrtool.core.discovery.saliency import channel_density, channel_weights
from rrtool.ground_truth.boxes import QueryBox
from rrtool.reports.drawing import Ellipses, ellipses_in_pixels
from rrtool.reports.figures_page import Figure, Outline, View
from rrtool.reports.overlay import combine_maps, lay_over
from rrtool.stages.reports.figures.given import Given

N_VIEWS, N_CHANNELS = 4, 2
_SIDE = 280
_COLOUR = "rgb(64, 224, 255)"


def figure(given: Given) -> Figure:
    """Photos of one object in columns; in each row the map of a channel, with its ellipses."""
    maps = given.first(ActivationMaps, "activation maps, from extract --save-maps")
    views = given.views(maps, N_VIEWS)
    names = [maps.names[row] for row in views]
    activations = [maps.of(row)[0] for row in views]
    boxes = given.boxes(maps.names) if given.has_boxes else [[]] * len(maps.names)
    local = _local_features(given, names, [boxes[row] for row in views])
    on_object = activations
    if given.has_boxes:
        on_object = [
            inside(values, boxes[row], maps.boxes[row].tolist())
            for values, row in zip(activations, views, strict=True)
        ]
    found = [set(each.channels[each.on_object].tolist()) for each in local]
    channels = shared_channels(activations, on_object, found)
    rows = [
        [
            _view(given, name, channel, values[channel], local[i] if local else None)
            for i, (name, values) in enumerate(zip(names, activations, strict=True))
        ]
        for channel in channels
    ]
    where = ", on the object," if given.has_boxes else ""
    drawn = (
        "Ellipses are its local features, fitted to the MSER of the map: where two views have them "
        "on the same thing, they can be matched."
        if local
        else "For the local features, give those of these photos, from detect-local."
    )
    return Figure(
        "4.2", "channels on several views of an object (with figure 4.4)",
        f"Columns are {len(views)} photos of the same object, rows are {len(channels)} of the "
        f"{maps.n_channels} channels of {maps.network.get('name')}: those that respond most{where} "
        "and most sparsely in all of these photos. What a channel responds to is bright. "
        f"{drawn}",
        rows, has_scale=True,
    )  # fmt: skip


def inside(
    activations: np.ndarray, boxes: Sequence[QueryBox], described: Sequence[float]
) -> np.ndarray:
    """Activations ``(k, h, w)`` in the cells that boxes touch, zero elsewhere; all without a box.

    Args:
        described: x0, y0, x1, y1 of what the map covers, in pixels as the boxes.
    """
    if not boxes:
        return activations
    height, width = activations.shape[1:]
    x0, y0, x1, y1 = described
    cell = np.array([(x1 - x0) / width, (y1 - y0) / height] * 2)
    kept = np.zeros((height, width), bool)
    for box in boxes:
        edges = (np.array(box.box) - [x0, y0, x0, y0]) / cell
        left, top = np.maximum(np.floor(edges[:2]), 0).astype(int)
        right, bottom = np.ceil(edges[2:]).astype(int)
        kept[top:bottom, left:right] = True
    return activations * kept


def shared_channels(
    activations: Sequence[np.ndarray],
    on_object: Sequence[np.ndarray],
    found: Sequence[set[int]],
    n: int = N_CHANNELS,
) -> list[int]:
    """The channels that respond most, and most sparsely, in all views.

    Args:
        activations: ``(k, h, w)`` of each view.
        on_object: the same, zero beside the object.
        found: channels with local features on the object in each view; of no view where they
            are not known.

    Returns:
        ``n`` channels by falling response: the largest activation of a channel on the object,
        relative to the largest of its view, in the view where that is least, by the weight of
        eq. 5.1. Channels with local features in more views come first.
    """
    peaks = np.array([maps.max(axis=(1, 2)) for maps in on_object])
    least = (peaks / np.maximum(peaks.max(axis=1, keepdims=True), 1e-12)).min(axis=0)
    density = np.mean([channel_density(maps) for maps in activations], axis=0)
    response = least * channel_weights(density)
    n_found = np.zeros(len(response), int)
    for channels in found:
        n_found[list(channels)] += 1
    order = np.lexsort((-response, -n_found))
    return order[:n].tolist()


@dataclass(frozen=True)
class _Local:
    """The local features of a photo at the scale of its first map.

    Attributes:
        channels: of each.
        ellipses: in pixels.
        on_object: whether its centre lies in a true box; True without boxes.
    """

    channels: np.ndarray
    ellipses: Ellipses
    on_object: np.ndarray


def _local_features(
    given: Given, names: Sequence[str], boxes: Sequence[Sequence[QueryBox]]
) -> list[_Local]:
    """Those of each photo; empty where they are not given."""
    for file in given.all(LocalFeaturesFile):
        if set(names) <= set(file.names):
            return [
                _read(file, file.names.index(name), own)
                for name, own in zip(names, boxes, strict=True)
            ]
    return []


def _read(file: LocalFeaturesFile, row: int, boxes: Sequence[QueryBox]) -> _Local:
    features = file.of(row)
    own = features.scales == 0
    width, height = file.read(LocalFeaturesFile.map_sizes, slice(row, row + 1))[0, 0].tolist()
    x0, y0, x1, y1 = file.boxes[row].tolist()
    ellipses = ellipses_in_pixels(
        features.means[own], features.covariances[own], (width, height), (x0, y0, x1, y1)
    )
    on_object = np.full(int(own.sum()), not boxes)
    for box in boxes:
        corners = np.array(box.box)
        inside_of = (ellipses.means >= corners[:2]) & (ellipses.means < corners[2:])
        on_object |= inside_of.all(axis=1)
    return _Local(features.channels[own], ellipses, on_object)


def _view(given: Given, name: str, channel: int, values: np.ndarray, local: _Local | None) -> View:
    caption = f"channel {channel}, {name}"
    loaded = given.pictures.load(name, _SIDE)
    if loaded is None:
        return View(caption, None)
    picture, shrunk = loaded
    drawn = lay_over(picture, combine_maps([values], picture.size))
    if local is None:
        return View(caption, drawn)
    own = local.channels == channel
    ellipses = Ellipses(local.ellipses.means[own], local.ellipses.covariances[own])
    outlines = [Outline(path, _COLOUR) for path in ellipses.resized(shrunk).outlines()]
    return View(caption, drawn, outlines)
