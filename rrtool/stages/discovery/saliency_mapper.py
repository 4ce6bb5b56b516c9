"""Saliency, regions and descriptors of one batch of images after the other (thesis §5.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rrtool.artifacts import Centrality, Regions
from rrtool.core.diffusion import knn
from rrtool.core.discovery.expanding_gaussian_mixture import MixtureOptions
from rrtool.core.discovery.object_saliency import object_saliency
from rrtool.core.discovery.region_description import (
    DescribedImage,
    describe_by_regions,
    detect_regions,
)
from rrtool.core.discovery.region_pooling import pool_windows
from rrtool.core.discovery.saliency import feature_saliency
from rrtool.core.retrieval.whitening import apply_whitening, l2_normalize
from rrtool.progress import Progress
from rrtool.stages.diffusion.build_graph import searcher_of
from rrtool.stages.discovery.options import ObjectSaliencyOptions, RegionsOptions
from rrtool.stages.retrieval.descriptors import read_descriptors

_NO_MAP = np.zeros((0, 0), dtype=np.float32)  # of an image too small for a scale
# Positions of less significance cannot reach the threshold of detection, and are not searched for.
_LEAST_SIGNIFICANCE = 1e-3

# A map has thousands of patches: among more regions than this an exact search takes most of the
# time, and inverted lists find the same maps (docs/benchmarks.md).
_EXACT_LIMIT = 10_000
_N_PROBE = 24


def describe_batch(
    scales: list[np.ndarray],
    options: RegionsOptions,
    saliency_of: Callable[[np.ndarray], np.ndarray],
) -> list[DescribedImage]:
    """Saliency, its regions and their descriptors of each image of a batch.

    Args:
        scales: ``(b, k, h, w)`` float32 at each scale.
        saliency_of: from the activations ``(k, h, w)`` of an image at one scale to its ``(h, w)``.
    """
    n_images = len(scales[0])
    saliencies = [
        [saliency_of(maps[i]) if maps.size else _NO_MAP for maps in scales] for i in range(n_images)
    ]
    flat = [saliency for image in saliencies for saliency in image]
    mixture = MixtureOptions(
        options.sigma, options.overlap, weigh_samples=options.samples == "weighted"
    )
    regions = detect_regions(flat, options.rho, mixture)
    return [
        describe_by_regions(
            [maps[i] for maps in scales],
            saliencies[i],
            regions[i * len(scales) : (i + 1) * len(scales)],
            options.gem_exponent,
            options.aggregate,
            options.whole,
        )
        for i in range(n_images)
    ]


def search_method(method: str, n_regions: int) -> str:
    """What ``auto`` stands for."""
    if method != "auto":
        return method
    return "ivf" if n_regions > _EXACT_LIMIT and knn.has_faiss() else "exact"


def patch_searcher(vectors: np.ndarray, k: int, method: str) -> knn.Searcher:
    """Finds the regions that patches resemble; see ``build_graph.searcher_of``."""
    return searcher_of(vectors, knn.KnnOptions(min(k, len(vectors)), method, n_probe=_N_PROBE))


@dataclass(frozen=True)
class Mapper:
    """Object saliency of one batch of images after the other (§5.3.8–5.3.10)."""

    searcher: knn.Searcher
    usable: np.ndarray
    saliencies: np.ndarray
    centrality: np.ndarray
    whitening: tuple[np.ndarray, np.ndarray] | None
    options: ObjectSaliencyOptions

    @staticmethod
    def of(
        regions: Regions,
        centrality: Centrality,
        whitening: tuple[np.ndarray, np.ndarray] | None,
        options: ObjectSaliencyOptions,
        progress: Progress,
    ) -> Mapper:
        found = read_descriptors(regions, progress)
        usable = found.vertices
        method = search_method(options.method, len(found.vectors))
        return Mapper(
            patch_searcher(found.vectors[usable], options.k, method),
            usable,
            regions.region_saliencies,
            centrality.centrality,
            whitening,
            options,
        )

    def __call__(self, scales: list[np.ndarray]) -> list[DescribedImage]:
        """Saliency, regions and descriptors from ``(b, k, h, w)`` activations at each scale."""
        return describe_batch(scales, self.options, self._saliency)

    def _saliency(self, activations: np.ndarray) -> np.ndarray:
        """``(h, w)`` of one map; all positions are searched for at once."""
        height, width = activations.shape[1:]
        features = feature_saliency(activations)
        positions = np.flatnonzero(features.ravel() ** self.options.theta > _LEAST_SIGNIFICANCE)
        side = self.options.patch or max(1, round(min(height, width) / 3))
        exponent = self.options.gem_exponent if self.options.patch_pooling == "gem" else np.inf
        patches = l2_normalize(pool_windows(activations, side, exponent)[positions])
        if self.whitening is not None:
            patches = apply_whitening(patches, *self.whitening)
        k = min(self.options.k, len(self.usable))
        ids = np.full((height * width, k), -1, dtype=np.int32)
        similarities = np.zeros((height * width, k), dtype=np.float32)
        found, similarities[positions] = self.searcher.search(patches, k)
        ids[positions] = np.where(found >= 0, self.usable[found], -1)
        return object_saliency(
            features, ids, similarities, self.saliencies, self.centrality,
            theta=self.options.theta, gamma=self.options.gamma,
        )  # fmt: skip
