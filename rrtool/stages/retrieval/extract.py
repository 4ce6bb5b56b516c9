"""``rrtool extract``: images → global descriptors (and their activation maps, if wanted)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rrtool.artifacts import ActivationMaps, Features, offsets_of
from rrtool.errors import UsageError
from rrtool.images.collection import collect
from rrtool.progress import Progress
from rrtool.stages.activations.input import load_network_of, of_network
from rrtool.stages.activations.run import Part, describe_images
from rrtool.stages.driver import Datasets, Wanted, make
from rrtool.stages.retrieval import extract_regions
from rrtool.stages.retrieval.describer import Describer
from rrtool.stages.retrieval.options import ExtractOptions


def run(options: ExtractOptions, progress: Progress) -> Path:
    """Describe every image (or every box) by one l2-normalised vector.

    Returns:
        The path of the ``features`` artifact; of ``regions`` with ``--regions``.

    Raises:
        RrtoolError: see ``collect``, ``load_network`` and ``artifacts.create``.
    """
    if options.regions is not None:
        return extract_regions.run(options, progress)
    if options.save_maps and Path(options.save_maps).absolute() == Path(options.output).absolute():
        raise UsageError("--save-maps and --output name the same file", found=options.output)
    network = load_network_of(options)
    activations = of_network(
        network, collect(options.images, options.boxes, options.gallery), options
    )
    describer = Describer.of(network, options)
    settings = {**activations.options, **describer.settings(), "boxes": options.boxes is not None}
    wanted = [Wanted(options.output, Features, settings)]
    if options.save_maps is not None:
        wanted.append(Wanted(options.save_maps, ActivationMaps, activations.options))

    def work(maps: list[torch.Tensor]) -> list[tuple[np.ndarray, list[np.ndarray]]]:
        kept = [scale.cpu().numpy() for scale in maps] if options.save_maps else []
        return [(vector, [scale[i] for scale in kept]) for i, vector in enumerate(describer(maps))]

    def columns(part: Part) -> list[Datasets]:
        features = _descriptors(part, describer.dimension)
        return [features, _maps(part, len(options.scales))][: len(wanted)]

    activations.mention_untrained(progress)
    return make(
        options,
        wanted,
        lambda outputs: describe_images(
            activations.source, activations.collection, outputs, work, columns, progress,
            label="extract", facts={"n_channels": network.n_channels},
        ),
        progress,
        inputs=activations.collection.inputs,
        network=activations.network,
        device=activations.device,
    )  # fmt: skip


def _descriptors(part: Part, dimension: int) -> Datasets:
    """Descriptors of the rows of a part; rows that failed are zero."""
    descriptors = np.zeros((len(part.rows), dimension), dtype=np.float32)
    for row, (vector, _) in part.results.items():
        descriptors[row - part.rows.start] = vector
    return Features.columns(descriptors=descriptors)


def _maps(part: Part, n_scales: int) -> Datasets:
    """Activations of the rows of a part: flat, in the order row, scale, channel, y, x."""
    map_sizes = np.zeros((len(part.rows), n_scales, 2), dtype=np.int32)
    counts = np.zeros((len(part.rows), n_scales), dtype=np.int64)
    flat = [np.zeros(0, dtype=np.float32)]
    for row in sorted(part.results):
        maps: Sequence[Any] = part.results[row][1]
        for scale, activations in enumerate(maps):
            map_sizes[row - part.rows.start, scale] = activations.shape[2], activations.shape[1]
            counts[row - part.rows.start, scale] = activations.size
            flat.append(activations.ravel())
    return ActivationMaps.columns(
        map_sizes=map_sizes, activations=np.concatenate(flat), offsets=offsets_of(counts)
    )
