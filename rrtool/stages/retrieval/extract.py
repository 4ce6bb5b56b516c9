"""``rrtool extract``: images → global descriptors (and their activation maps, if wanted)."""

from pathlib import Path

import numpy as np
import torch

from rrtool.artifacts import (
    ActivationMaps,
    Artifact,
    Features,
    Regions,
    Whitening,
    offsets_of,
    open_artifact,
)
from rrtool.progress import Progress
from rrtool.stages.activations.input import open_network
from rrtool.stages.activations.run import Part, Task, describe_images
from rrtool.stages.driver import Datasets, Wanted, as_inputs
from rrtool.stages.retrieval import extract_regions
from rrtool.stages.retrieval.describer import Describer
from rrtool.stages.retrieval.options import ExtractOptions


def run(options: ExtractOptions, progress: Progress) -> Path:
    """Describe every image (or every box) by one l2-normalised vector, or by one a region.

    Raises:
        RrtoolError: see ``collect``, ``load_network`` and ``artifacts.create``.
    """
    network, activations = open_network(options)
    describer, inputs = Describer.of(network, options), []
    if options.region_whitening is not None:
        with open_artifact(options.region_whitening, Whitening) as whitening:
            describer = describer.with_whitened_regions(
                whitening, network, activations.device, progress
            )
            inputs = as_inputs(region_whitening=whitening)
    settings = {**activations.options, **describer.settings(), "boxes": options.boxes is not None}
    facts = {"n_channels": network.n_channels}
    kind: type[Artifact]
    if options.regions is None:
        kind, task = Features, _whole(describer, options, facts)
    else:
        settings["regions"], kind = f"uniform, {options.regions} levels", Regions
        task = extract_regions.task(describer, options.regions, facts)
    wanted = [Wanted(options.output, kind, settings)]
    if options.save_maps is not None:
        wanted.append(Wanted(options.save_maps, ActivationMaps, activations.options))
    return describe_images(options, activations, wanted, lambda: task, progress, inputs=inputs)


def _whole(describer: Describer, options: ExtractOptions, facts: dict[str, int]) -> Task:
    """Images as wholes, with their maps."""

    def describe(maps: list[torch.Tensor]) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        kept = [scale.cpu().numpy() for scale in maps] if options.save_maps else []
        return [(vector, [scale[i] for scale in kept]) for i, vector in enumerate(describer(maps))]

    def columns(part: Part) -> list[Datasets]:
        vectors = part.dense(lambda result: result[0], (describer.dimension,))
        features = Features.columns(descriptors=vectors)
        return [features, _maps(part, len(options.scales))] if options.save_maps else [features]

    return Task(describe, columns, facts)


def _maps(part: Part, n_scales: int) -> Datasets:
    """Activations of the rows of a part: flat, in the order row, scale, channel, y, x."""
    sizes = part.dense(
        lambda result: [(m.shape[2], m.shape[1]) for m in result[1]], (n_scales, 2), np.int32
    )
    counts = part.dense(lambda result: [m.size for m in result[1]], (n_scales,), np.int64)
    flat = part.joined(lambda result: np.concatenate([m.ravel() for m in result[1]]))
    return ActivationMaps.columns(map_sizes=sizes, activations=flat, offsets=offsets_of(counts))
