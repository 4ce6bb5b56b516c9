"""Activations of a collection for a stage: from a network, or from maps made before."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import ActivationMaps, open_artifact, require_same_names
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError
from rrtool.images.collection import Collection, collect
from rrtool.networks import Network, load_network
from rrtool.progress import Progress
from rrtool.stages.activations.options import (
    ActivationsOptions,
    BoxesOptions,
    InferenceOptions,
    NetworkOptions,
)
from rrtool.stages.activations.sources import ActivationSource, MapsSource, NetworkSource


@dataclass(frozen=True)
class ActivationInput:
    """Where the activations of a collection come from.

    Attributes:
        collection: the images.
        source: gives their activations.
        options: what the activations depend on, for the provenance.
        network: description of the network.
        n_channels: of the activation maps.
        device: where the network runs.
    """

    collection: Collection
    source: ActivationSource
    options: dict[str, Any]
    network: dict[str, Any]
    n_channels: int
    device: str

    @property
    def n_scales(self) -> int:
        return len(self.options["scales"])

    def mention_untrained(self, progress: Progress) -> None:
        if not self.network.get("trained", True):
            progress.message("the network is untrained (seeded random weights)")


def open_activations(options: ActivationsOptions, stack: ExitStack) -> ActivationInput:
    """List the images, and load the network or open the maps, until ``stack`` closes.

    Raises:
        RrtoolError: see ``collect`` and ``load_network``; or the maps are of other images.
    """
    boxes = options.boxes if isinstance(options, BoxesOptions) else None
    collection = collect(options.images, boxes, options.gallery)
    if options.maps is None:
        return of_network(load_network_of(options), collection, options)
    maps = stack.enter_context(open_artifact(options.maps, ActivationMaps))
    _check_maps(maps, options.images, collection)
    return ActivationInput(
        collection, MapsSource(maps), maps.options, maps.network, maps.n_channels, "cpu"
    )


def of_network(
    network: Network, collection: Collection, options: InferenceOptions
) -> ActivationInput:
    """The activations that a network gives."""
    device = resolve_device(options.device)
    source = NetworkSource(
        network, collection.paths, collection.boxes, options.scales, options.max_size,
        options.max_pixels, device, options.workers, options.batch_size,
    )  # fmt: skip
    return ActivationInput(
        collection, source, options.inference(), network.describe(), network.n_channels, device
    )


def load_network_of(options: NetworkOptions | ActivationsOptions) -> Network:
    """The network that the options name, on its device."""
    return load_network(
        options.network or "",
        options.weights or "",
        upsample=options.upsample,
        seed=options.seed,
        device=resolve_device(options.device),
    )


def _check_maps(maps: ActivationMaps, images: str, collection: Collection) -> None:
    require_same_names(collection.names, images, maps.names, maps.path)
    if maps.n_scales != len(maps.options["scales"]):
        raise maps.damaged(f"maps at {maps.n_scales} scales, made at {maps.options['scales']}")
    if not np.array_equal(maps.file_signatures, collection.signatures):
        raise ArtifactError(
            "images have changed since these maps were made",
            where=maps.path,
            todo="make the maps again with extract --save-maps",
        )
