"""Activations of a collection for a stage: from a network, or from maps made before."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, open_artifact
from rrtool.artifacts.compatibility import require_same_names
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError
from rrtool.images.collection import Collection, collect
from rrtool.progress import Progress
from rrtool.stages.activations.run import NetworkOptions
from rrtool.stages.activations.sources import ActivationSource, MapsSource


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
        if not self.network["trained"]:
            progress.message("the network is untrained (seeded random weights)")


def open_activations(
    images: str,
    inference: NetworkOptions,
    stack: ExitStack,
    *,
    boxes: str | None = None,
    gallery: str | None = None,
    maps: str | None = None,
) -> ActivationInput:
    """List the images, and load the network or open the maps, until ``stack`` closes.

    Args:
        maps: an ``activation-maps`` artifact of the same images, read in place of the network.

    Raises:
        RrtoolError: see ``collect`` and ``load_network``; or the maps are of other images.
    """
    collection = collect(images, boxes, gallery)
    if maps is None:
        network = inference.load()
        return ActivationInput(
            collection,
            inference.source(network, collection),
            inference.identity(),
            network.describe(),
            network.n_channels,
            resolve_device(inference.device),
        )
    opened = stack.enter_context(open_artifact(maps, "activation-maps"))
    _check_maps(opened, maps, images, collection)
    source = MapsSource(opened, len(opened.options["scales"]))
    return ActivationInput(
        collection, source, opened.options, opened.network, opened.extra["n_channels"], "cpu"
    )


def _check_maps(maps: Artifact, path: str, images: str, collection: Collection) -> None:
    require_same_names(collection.names, images, maps.read_texts("names"), path)
    if not np.array_equal(maps.read("file_signatures"), collection.signatures):
        raise ArtifactError(
            "images have changed since these maps were made",
            where=path,
            todo="make the maps again with extract --save-maps",
        )
