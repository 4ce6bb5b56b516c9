"""Object saliency of one batch of images after the other (thesis §5.3.8–5.3.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact
from rrtool.core.diffusion import knn
from rrtool.core.discovery.object_saliency import object_saliency
from rrtool.core.discovery.region_description import DescribedImage
from rrtool.core.discovery.region_pooling import pool_windows
from rrtool.core.discovery.saliency import feature_saliency
from rrtool.core.retrieval.whitening import apply_whitening, l2_normalize
from rrtool.errors import UsageError, WorkFailed
from rrtool.progress import Progress
from rrtool.stages.discovery.saliency_fs import RegionOptions, describe_batch
from rrtool.stages.retrieval.descriptors import read_descriptors

# Positions of less significance cannot reach the threshold of detection, and are not searched for.
_LEAST_SIGNIFICANCE = 1e-3

# A map has thousands of patches: among more regions than this an exact search takes most of the
# time, and inverted lists find the same maps (docs/benchmarks.md).
_EXACT_LIMIT = 10_000
_N_PROBE = 24
METHODS = ("auto", *knn.METHODS)


@dataclass(frozen=True)
class ObjectSaliencyOptions:
    """Options of ``saliency os`` (METHODS §7).

    Attributes:
        regions: how regions are found on the maps and described.
        theta: θ of (5.14), how much feature saliency counts.
        patch: side of the patches in cells; None: a third of the map's shorter side.
        k: regions that a patch is compared with.
        gamma: exponent of their similarity.
        method: of the search for them: ``exact``, ``ivf``, ``hnsw``, or ``auto``: exact among at
            most 10,000 regions, ``ivf`` among more where faiss is there.
    """

    regions: RegionOptions
    theta: float = 3.0
    patch: int | None = None
    k: int = 50
    gamma: float = 3.0
    method: str = "auto"

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError("unknown --method", expected=", ".join(METHODS), found=self.method)
        if not 0 <= self.theta <= 100:
            raise UsageError("bad --theta", expected="[0, 100]", found=self.theta)
        if not 0 < self.gamma <= 100:
            raise UsageError("bad --gamma", expected="(0, 100]", found=self.gamma)
        for name, value in (("--patch", self.patch), ("--k", self.k)):
            if value is not None and value < 1:
                raise UsageError(f"bad {name}", expected="at least 1", found=value)

    def identity(self, n_regions: int) -> dict[str, Any]:
        return {
            **self.regions.identity(),
            "theta": self.theta,
            "patch": self.patch,
            "k": self.k,
            "gamma": self.gamma,
            "method": self.search_method(n_regions),
        }

    def search_method(self, n_regions: int) -> str:
        """What ``auto`` stands for."""
        if self.method != "auto":
            return self.method
        return "ivf" if n_regions > _EXACT_LIMIT and knn.has_faiss() else "exact"


def searcher_of(vectors: np.ndarray, options: ObjectSaliencyOptions, method: str) -> knn.Searcher:
    """Finds the regions that patches resemble.

    Raises:
        WorkFailed: the method needs faiss, which is not there.
    """
    search = knn.KnnOptions(min(options.k, len(vectors)), method, n_probe=_N_PROBE)
    try:
        return knn.Searcher(vectors, search)
    except ImportError:
        raise WorkFailed(
            f"--method {method} needs faiss",
            todo="pip install faiss-cpu, or use --method exact",
        ) from None


@dataclass(frozen=True)
class Mapper:
    """Object saliency of one batch of images after the other."""

    searcher: knn.Searcher
    usable: np.ndarray
    saliencies: np.ndarray
    centrality: np.ndarray
    whitening: tuple[np.ndarray, np.ndarray] | None
    options: ObjectSaliencyOptions

    @staticmethod
    def of(
        regions: Artifact,
        centrality: Artifact,
        whitening: tuple[np.ndarray, np.ndarray] | None,
        options: ObjectSaliencyOptions,
        progress: Progress,
    ) -> Mapper:
        found = read_descriptors(regions, progress)
        usable = np.flatnonzero(found.usable & found.vectors.any(axis=1)).astype(np.int32)
        return Mapper(
            searcher_of(found.vectors[usable], options, options.search_method(len(found.vectors))),
            usable,
            regions.read("region_saliencies"),
            centrality.read("centrality"),
            whitening,
            options,
        )

    def __call__(self, scales: list[np.ndarray]) -> list[DescribedImage]:
        """Saliency, regions and descriptors from ``(b, k, h, w)`` activations at each scale."""
        return describe_batch(scales, self.options.regions, self._saliency)

    def _saliency(self, activations: np.ndarray) -> np.ndarray:
        """``(h, w)`` of one map; all positions are searched for at once."""
        height, width = activations.shape[1:]
        features = feature_saliency(activations)
        positions = np.flatnonzero(features.ravel() ** self.options.theta > _LEAST_SIGNIFICANCE)
        side = self.options.patch or max(1, round(min(height, width) / 3))
        exponent = self.options.regions.gem_exponent
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
