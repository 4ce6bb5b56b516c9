"""Figure 5.3: how regions form on a saliency map, iteration by iteration of EGM."""

import numpy as np

from rrtool.artifacts import Regions
from rrtool.core.discovery.expanding_gaussian_mixture import (
    Mixture,
    MixtureOptions,
    fit_mixtures,
    rectangles,
)
from rrtool.core.discovery.saliency import prepare_for_detection
from rrtool.reports.drawing import distinct_colours, rectangle_outline
from rrtool.reports.figures_page import Figure, Outline, View
from rrtool.reports.overlay import combine_maps, lay_over
from rrtool.stages.reports.figures.given import Given

_SIDE = 280
_SHOWN = (0, 1, 2, 3, 5, 8)  # iterations, and the last: the first ones do most


def figure(given: Given) -> Figure:
    """The photo, its feature saliency, and the regions after iterations of the mixture."""
    regions = given.salient_regions
    row = given.photo(regions)
    name = regions.names[row]
    saliency = regions.saliency_maps(row)[0]
    steps = mixture_steps(saliency, regions)
    loaded = given.pictures.load(name, _SIDE)
    picture = None if loaded is None else loaded[0]
    over = picture and lay_over(picture, combine_maps([saliency], picture.size))
    shown = [i for i in _SHOWN if i < len(steps) - 1] + [len(steps) - 1]
    height, width = saliency.shape
    last = len(steps[-1])
    return Figure(
        "5.3", "regions by iteration of the expanding Gaussian mixture",
        f"The feature saliency of {name}, {width} by {height} cells, and the rectangles of the "
        "mixture after iteration i, of which there are m. A small region begins at each position "
        f"that is salient once the map is raised to ρ = {regions.options['rho']:g}; stronger ones "
        "take over what they cover, grow, and settle on what stands out: "
        f"{last} {'region is' if last == 1 else 'regions are'} left after "
        f"{len(steps) - 1} iterations.",
        [
            [View("photo", picture), View("feature saliency", over)]
            + [
                View(f"i = {i}, m = {len(steps[i])}", over, _outlines(steps[i], saliency, over))
                for i in shown
            ]
        ],
        has_scale=True,
    )  # fmt: skip


def mixture_steps(saliency: np.ndarray, regions: Regions) -> list[Mixture]:
    """The mixture before the first iteration, and after each.

    Args:
        saliency: ``(h, w)``.
        regions: by whose options it is fitted.
    """
    options = regions.options
    prepared = prepare_for_detection(saliency, options["rho"])
    weighted = options["samples"] == "weighted"

    def after(n: int) -> Mixture:
        choices = MixtureOptions(
            options["sigma"], options["overlap"], max_iterations=n, weigh_samples=weighted
        )
        return fit_mixtures([prepared], choices)[0]

    everything = MixtureOptions(options["sigma"], options["overlap"], weigh_samples=weighted)
    (final,) = fit_mixtures([prepared], everything)
    n_iterations = len(final.component_counts)
    steps = [_start(prepared, options["sigma"]), *map(after, range(1, n_iterations)), final]
    return steps[: n_iterations + 1]  # one where nothing is salient


def _start(prepared: np.ndarray, sigma: float) -> Mixture:
    """A component at each position that is salient."""
    ys, xs = np.nonzero(prepared)
    weights = prepared[ys, xs].astype(np.float64)
    means = np.stack([xs, ys], axis=1).astype(np.float64)
    return Mixture(
        weights / max(weights.sum(), 1e-12), means, np.full((len(xs), 2), sigma),
        np.zeros(0, np.int32), False,
    )  # fmt: skip


def _outlines(mixture: Mixture, saliency: np.ndarray, picture) -> list[Outline]:
    if picture is None:
        return []
    height, width = saliency.shape
    scale = np.array(picture.size * 2) / [width, height, width, height]
    boxes = rectangles(mixture, saliency.shape) * scale
    return [
        Outline(rectangle_outline(box), "rgb({}, {}, {})".format(*colour))
        for box, colour in zip(boxes, distinct_colours(len(boxes)), strict=True)
    ]
