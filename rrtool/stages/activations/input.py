"""Activations of a collection for a stage: from a network, or from maps made before."""

from collections.abc import Collection as Kinds
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rrtool.artifacts import ActivationMaps, Artifact, Features, open_artifact, require_same_names
from rrtool.cores import Threads, threads_of_a_worker
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError
from rrtool.images.collection import Collection, collect
from rrtool.networks import Network, load_network
from rrtool.progress import Progress
from rrtool.stages.activations.engines import Backbone, choose_engine, engine_like, require_engine
from rrtool.stages.activations.kept import SampledSource
from rrtool.stages.activations.options import ActivationsOptions, ImagesOptions, NetworkOptions
from rrtool.stages.activations.sources import MapsSource, NetworkSource
from rrtool.stages.activations.zoom import Zoom


@dataclass(frozen=True)
class Given:
    """What a worker is told, and finds out for itself nowhere else.

    Attributes:
        collection: some of the images.
        n_threads: for the network.
    """

    collection: Collection
    n_threads: int


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
        notes: about the weights, in sentences for people.
    """

    collection: Collection
    source: SampledSource
    options: dict[str, Any]
    network: dict[str, Any]
    n_channels: int
    device: str
    notes: tuple[str, ...] = ()

    @property
    def n_scales(self) -> int:
        return len(self.options["scales"])

    def choose_engine(
        self,
        kinds: Kinds[type[Artifact]],
        progress: Progress,
        like: Mapping[str, str] | None = None,
    ) -> dict[str, str]:
        """What runs the network from now on, to record with the outputs of these kinds.

        Args:
            like: what ran it for rows of them that are there; see ``engines.choose_engine``.
        """
        source = self.source.source
        if not isinstance(source, NetworkSource):
            return {}
        if like is not None:
            source = replace(source, options=engine_like(source.options, like))
        return choose_engine(source, set(kinds) == {Features}, progress)


def open_activations(
    options: ActivationsOptions, stack: ExitStack, given: Given | None = None
) -> ActivationInput:
    """List the images, and load the network or open the maps, until ``stack`` closes.

    Args:
        given: to a worker.

    Raises:
        RrtoolError: see ``open_network``; or the maps are of other images.
    """
    if options.maps is None:
        return open_network(options, given)[1]
    collection = given.collection if given else _collect(options)
    maps = stack.enter_context(open_artifact(options.maps, ActivationMaps))
    if given is None:
        _check_maps(maps, options.images, collection)
    source = SampledSource(MapsSource(maps), limit=0)  # they are read again in no time
    return ActivationInput(collection, source, maps.options, maps.network, maps.n_channels, "cpu")


def open_network(
    options: NetworkOptions, given: Given | None = None
) -> tuple[Network, ActivationInput]:
    """The network that the options name, on its device, and what it gives of their images.

    Args:
        given: to a worker.

    Raises:
        RrtoolError: see ``collect`` and ``load_network``.
    """
    collection = given.collection if given else _collect(options)
    device = resolve_device(options.device)
    network = load_network(
        options.network, options.weights,
        upsample=options.upsample, seed=options.seed, device=device,
        class_token=getattr(options, "pool", None) == "cls",
    )  # fmt: skip
    require_engine(options, device)
    network = replace(network, backbone=Backbone(network.backbone))
    threads = Threads(given.n_threads if given else _n_threads(options))
    zoom = _zoom(options)
    source = SampledSource(NetworkSource(network, collection, options, device, threads, zoom))
    facts = options.inference(), network.describe(), network.n_channels
    notes = tuple(f"{network.weights} {note}" for note in network.notes)
    return network, ActivationInput(collection, source, *facts, device, notes)


def _zoom(options: NetworkOptions) -> Zoom | None:
    """Of the command that describes regions."""
    side, n_levels = getattr(options, "zoom", None), getattr(options, "regions", None)
    return None if side is None or n_levels is None else Zoom(n_levels, side)


def _n_threads(options: NetworkOptions) -> int | None:
    """As many as workers take where there are workers, for results may depend on the number."""
    return threads_of_a_worker() if getattr(options, "workers_on", None) is not None else None


def _collect(options: ImagesOptions) -> Collection:
    return collect(options.images, getattr(options, "boxes", None), options.gallery)


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
