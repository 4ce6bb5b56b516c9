"""``rrtool saliency fs``: images → regions of feature saliency (thesis §5.3.3–5.3.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Provenance, create
from rrtool.core.discovery.expanding_gaussian_mixture import MixtureOptions
from rrtool.core.discovery.region_description import (
    AGGREGATIONS,
    DescribedImage,
    describe_by_regions,
    detect_regions,
)
from rrtool.core.discovery.saliency import feature_saliency
from rrtool.errors import UsageError
from rrtool.progress import Progress
from rrtool.stages.activations.input import open_activations
from rrtool.stages.activations.run import NetworkOptions
from rrtool.stages.discovery.saliency_output import (
    Columns,
    describe_all,
    feature_columns,
    map_columns,
    region_columns,
)

_NO_MAP = np.zeros((0, 0), dtype=np.float32)  # of an image too small for a scale


@dataclass(frozen=True)
class RegionOptions:
    """How regions are found on a saliency map and described (METHODS §7).

    Attributes:
        rho: the map is raised to it before detection: 7 for feature, 2 for object saliency.
        sigma: scale of the samples of EGM.
        overlap_threshold: τ of EGM.
        gem_exponent: ω of the regions' descriptors.
        aggregation: ``weighted`` or ``sum``, see ``describe_by_regions``.
    """

    rho: float
    sigma: float = 2.5
    overlap_threshold: float = 0.55
    gem_exponent: float = 3.0
    aggregation: str = "weighted"

    def __post_init__(self) -> None:
        if not 0 < self.rho <= 100:
            raise UsageError("bad --rho", expected="(0, 100]", found=self.rho)
        if not 0 < self.gem_exponent <= 100:
            raise UsageError("bad --gem-exponent", expected="(0, 100]", found=self.gem_exponent)
        if self.aggregation not in AGGREGATIONS:
            raise UsageError(
                "unknown --aggregate", expected=" or ".join(AGGREGATIONS), found=self.aggregation
            )
        self.mixture()

    def mixture(self) -> MixtureOptions:
        """The options of EGM.

        Raises:
            UsageError: one is out of its range.
        """
        try:
            return MixtureOptions(self.sigma, self.overlap_threshold)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def identity(self) -> dict[str, Any]:
        return {
            "rho": self.rho,
            "sigma": self.sigma,
            "overlap_threshold": self.overlap_threshold,
            "aggregate": self.aggregation,
            "pool": "gem",
            "gem_exponent": self.gem_exponent,
            "whitening": "none",
        }


def run(
    images: str,
    output: str | Path,
    inference: NetworkOptions,
    options: RegionOptions,
    *,
    features_output: str | Path | None = None,
    maps: str | None = None,
    gallery: str | None = None,
    keep_maps: bool = False,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Find and describe the salient regions of every image, at every scale.

    Args:
        features_output: where to write the FS.EGM descriptors of the images, if wanted.
        maps: activation maps to read in place of running the network.
        keep_maps: store the saliency maps beside the regions.

    Returns:
        The path of the ``regions`` artifact.

    Raises:
        RrtoolError: see ``open_activations`` and ``artifacts.create``.
    """
    with ExitStack() as stack:
        activations = open_activations(images, inference, stack, gallery=gallery, maps=maps)
        identity = {**activations.options, **options.identity(), "boxes": False}
        outputs = []
        for path, kind, extra in (
            (output, "regions", {"regions": "FS.EGM", "keep_maps": keep_maps}),
            (features_output, "features", {"described_by": "FS.EGM"}),
        ):
            if path is not None:
                provenance = Provenance(
                    kind, {**identity, **extra}, activations.collection.inputs,
                    activations.network, activations.device,
                )  # fmt: skip
                outputs.append(stack.enter_context(create(path, provenance, overwrite=overwrite)))
        todo = [target for target in outputs if not target.is_current]
        if not todo:
            progress.message(f"{outputs[0].path} is up to date")
            return outputs[0].path
        activations.mention_untrained(progress)
        k, n_scales = activations.n_channels, activations.n_scales

        def columns(
            rows: range, common: Mapping[str, np.ndarray], images: Mapping[int, DescribedImage]
        ) -> list[Columns]:
            regions = region_columns(rows, common, images, k, with_descriptors=True)
            if keep_maps:
                regions |= map_columns(rows, images, n_scales)
            return [regions, feature_columns(rows, images, k)][: len(outputs)]

        describe_all(
            activations, lambda scales: describe_batch(scales, options), columns, outputs,
            progress, "saliency fs",
        )  # fmt: skip
        return outputs[0].path


def describe_batch(
    scales: list[np.ndarray],
    options: RegionOptions,
    saliency_of: Callable[[np.ndarray], np.ndarray] = feature_saliency,
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
    regions = detect_regions(flat, options.rho, options.mixture())
    return [
        describe_by_regions(
            [maps[i] for maps in scales],
            saliencies[i],
            regions[i * len(scales) : (i + 1) * len(scales)],
            options.gem_exponent,
            options.aggregation,
        )
        for i in range(n_images)
    ]
