"""``rrtool saliency os``: what repeats in a collection → saliency, features (§5.3.8–5.3.10)."""

from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    Artifact,
    Centrality,
    Features,
    Regions,
    Saliency,
    Whitening,
    open_artifact,
    require_centrality_of_regions,
)
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.stages.activations.input import ActivationInput, Given, open_activations
from rrtool.stages.activations.run import describe_images
from rrtool.stages.activations.task import Job, Task
from rrtool.stages.discovery.options import SaliencyOsOptions
from rrtool.stages.discovery.saliency_mapper import Mapper, search_method
from rrtool.stages.discovery.saliency_output import saliency_task
from rrtool.stages.driver import Wanted, as_inputs
from rrtool.stages.retrieval.descriptors import open_described
from rrtool.stages.retrieval.whitening import in_doubles, read_whitening


def run(options: SaliencyOsOptions, progress: Progress) -> Path:
    """Map where each image shows what is central in the collection, and describe it by that.

    Raises:
        RrtoolError: the artifacts do not belong together.
    """
    return describe_images(options, opened, progress)


def opened(
    options: SaliencyOsOptions, stack: ExitStack, progress: Progress, given: Given | None
) -> tuple[ActivationInput, list[Job]]:
    """See ``describe_images``."""
    regions = stack.enter_context(open_artifact(options.regions, Regions))
    centrality = stack.enter_context(open_artifact(options.centrality, Centrality))
    require_centrality_of_regions(centrality, regions)
    activations = open_activations(options, stack, given)
    _require_made_alike(regions, activations, options)
    whitening = _whitening(regions, options, activations.n_channels, progress)
    settings = {
        **options.settings(),
        **activations.options,
        "method": search_method(options.method, regions.lengths["r"]),
        "described_by": "OS.EGM",
    }
    kinds: list[type[Artifact]] = [Saliency, Features]
    inputs = as_inputs(regions=regions, centrality=centrality)
    wanted = [
        Wanted(path, kind, settings, inputs=lambda opened: inputs)
        for path, kind in zip((options.output, options.features), kinds, strict=True)
    ]

    def task(known: Mapping[str, Any] | None) -> Task:
        mapper = Mapper.of(regions, centrality, whitening, options, progress)
        return saliency_task(activations, kinds, mapper, keep_maps=True)

    return activations, [Job(wanted, task)]


def _require_made_alike(
    regions: Regions, activations: ActivationInput, options: SaliencyOsOptions
) -> None:
    if Regions.region_saliencies not in regions:
        raise ArtifactError(
            "these regions have no saliency", where=regions.path, todo="make them by saliency fs"
        )
    for key in ("name", "weights_digest", "upsample"):
        if regions.network.get(key) != activations.network.get(key):
            raise ArtifactError(
                f"the regions were made with another network ({key})", where=regions.path,
                expected=activations.network.get(key), found=regions.network.get(key),
            )  # fmt: skip
    exponent = regions.options.get("gem_exponent")
    if exponent != options.gem_exponent:
        raise ArtifactError(
            "the regions were made with another --gem-exponent", where=regions.path,
            expected=options.gem_exponent, found=exponent,
        )  # fmt: skip


def _whitening(
    regions: Regions, options: SaliencyOsOptions, n_channels: int, progress: Progress
) -> tuple[np.ndarray, np.ndarray] | None:
    """Mean and projection with which patches are whitened as the regions were."""
    name, whitening, shape = "none", None, (n_channels, n_channels)
    if options.whitening is not None:
        with (
            open_artifact(options.whitening, Whitening) as w,
            open_described(options.center) if options.center else nullcontext() as c,
        ):
            name, mean, projection = read_whitening(w, c, progress)
        whitening, shape = in_doubles(mean, projection), projection.shape
    found = regions.options.get("whitening")
    if found != name:
        raise ArtifactError(
            "the regions were whitened otherwise",
            where=regions.path,
            expected=name,
            found=found,
            todo="give --whitening and --center as for whiten apply",
        )
    if shape != (regions.lengths["d"], n_channels):
        raise ArtifactError(
            "the regions are of another dimension than patches",
            where=regions.path,
            expected=f"{shape[0]} of {shape[1]} channels",
            found=f"{regions.lengths['d']} of {n_channels}",
            todo="make them again by saliency fs",
        )
    return whitening
