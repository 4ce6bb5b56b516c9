"""Describe an image by the regions of its saliency maps (thesis §5.3.9–5.3.10)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from rrtool.core.discovery.expanding_gaussian_mixture import (
    MixtureOptions,
    fit_mixtures,
    rectangles,
)
from rrtool.core.discovery.region_pooling import pool_regions, region_saliency
from rrtool.core.discovery.saliency import prepare_for_detection
from rrtool.core.retrieval.pooling import combine_scales
from rrtool.core.retrieval.whitening import l2_normalize

AGGREGATIONS = ("weighted", "sum")


@dataclass(frozen=True)
class Regions:
    """Regions of one saliency map.

    Attributes:
        rectangles: ``(r, 4)`` int32 in cells, half-open.
        weights: ``(r,)`` float64, mixing coefficients π of EGM, of sum 1: which share of the
            map's saliency each explains.
    """

    rectangles: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class DescribedImage:
    """An image by its regions, those of all scales one after the other.

    Attributes:
        descriptors: ``(r, k)`` float32, GeM of each region, l2-normalised (eq. 5.10).
        shares: ``(r, 4)`` float32 x0, y0, x1, y1 as shares of the map's width and height.
        scales: ``(r,)`` uint8, which scale.
        saliencies: ``(r,)`` float32, mean saliency of each (eq. 5.9).
        weights: ``(r,)`` float32, see ``Regions``.
        descriptor: ``(k,)`` float32: per scale the sum over regions, l2-normalised; scales
            combined by the generalized mean; not whitened.
        n_without_regions: scales on whose map no region was found: there the whole map counts.
        maps: ``(h, w)`` float32 saliency at each scale.
    """

    descriptors: np.ndarray
    shares: np.ndarray
    scales: np.ndarray
    saliencies: np.ndarray
    weights: np.ndarray
    descriptor: np.ndarray
    n_without_regions: int
    maps: list[np.ndarray]


def detect_regions(
    saliency_maps: Sequence[np.ndarray], rho: float, options: MixtureOptions
) -> list[Regions]:
    """The regions of each map, by EGM on the map raised to ρ (§5.3.4)."""
    prepared = [prepare_for_detection(saliency_map, rho) for saliency_map in saliency_maps]
    mixtures = fit_mixtures(prepared, options)
    return [
        Regions(rectangles(mixture, saliency_map.shape), mixture.weights)
        for mixture, saliency_map in zip(mixtures, saliency_maps, strict=True)
    ]


def describe_by_regions(
    activations: Sequence[np.ndarray],
    saliency_maps: Sequence[np.ndarray],
    regions: Sequence[Regions],
    exponent: float,
    aggregation: str = "weighted",
    whole: float = 0.0,
) -> DescribedImage:
    """Pool the regions of every scale, and aggregate them to one descriptor.

    Args:
        activations: ``(k, h, w)`` float32 at each scale; a scale without positions is left out.
        saliency_maps: ``(h, w)`` at each scale.
        regions: at each scale.
        exponent: ω of GeM.
        aggregation: how an image's descriptor adds up those of its regions: ``weighted`` by π,
            our default, so that many small regions do not outvote the object; or their plain
            ``sum``, as in the thesis.
        whole: share of the whole map in the descriptor of each scale, the rest is its regions';
            0 is the thesis's FS.EGM or OS.EGM, 1 plain GeM. 0.8, the default of the stages, adds
            a quarter of the regions to the whole: more of them loses where the scene is a cue.
    """
    k = len(activations[0])
    vectors, shares, scales = [np.zeros((0, k), np.float32)], [np.zeros((0, 4))], [np.zeros(0)]
    saliencies, weights, per_scale, n_without = [np.zeros(0)], [np.zeros(0)], [], 0
    for scale, maps in enumerate(activations):
        if not maps.size:
            continue
        height, width = maps.shape[1:]
        boxes, share = regions[scale].rectangles, regions[scale].weights
        pooled = l2_normalize(pool_regions(maps, boxes, exponent))
        vectors.append(pooled)
        shares.append(boxes / [width, height, width, height])
        scales.append(np.full(len(pooled), scale))
        saliencies.append(region_saliency(saliency_maps[scale], boxes))
        weights.append(share)
        n_without += not len(pooled)
        if aggregation == "sum":
            share = np.ones(len(pooled))
        total = (pooled * share[:, None]).sum(axis=0, keepdims=True).astype(np.float32)
        share_of_whole = whole if len(pooled) else 1.0
        if share_of_whole:
            everything = np.array([[0, 0, width, height]], dtype=np.int32)
            global_one = l2_normalize(pool_regions(maps, everything, exponent))
            total = (1 - share_of_whole) * l2_normalize(total) + share_of_whole * global_one
        per_scale.append(torch.from_numpy(l2_normalize(total)))
    return DescribedImage(
        np.concatenate(vectors),
        np.concatenate(shares).astype(np.float32),
        np.concatenate(scales).astype(np.uint8),
        np.concatenate(saliencies).astype(np.float32),
        np.concatenate(weights).astype(np.float32),
        combine_scales(per_scale, exponent).numpy()[0],
        n_without,
        list(saliency_maps),
    )
