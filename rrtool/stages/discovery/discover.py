"""``rrtool discover``: regions, their graph and centrality → the objects that repeat."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rrtool.artifacts import (
    Centrality,
    Graph,
    LocalFeaturesFile,
    Objects,
    OutputFile,
    Regions,
    file_input,
    open_artifact,
    require_centrality_of,
    require_graph_of,
    require_same_names,
)
from rrtool.core.discovery.merging import merge_parts
from rrtool.core.discovery.object_discovery import (
    DiscoveredObjects,
    DiscoveryOptions,
    group_regions,
    require_usable,
    strong_links,
)
from rrtool.core.discovery.region_labels import Classes, classes_of_objects, spread_labels
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.discovery.options import DiscoverOptions
from rrtool.stages.discovery.photo_labels import PhotoLabels
from rrtool.stages.discovery.verify_regions import verified_links
from rrtool.stages.driver import as_inputs, make

if TYPE_CHECKING:
    from scipy.sparse import csr_array


def run(options: DiscoverOptions, progress: Progress) -> Path:
    """Find what is seen in several images of a collection.

    Raises:
        RrtoolError: the artifacts do not belong together, or one is damaged.
    """
    with (
        open_artifact(options.regions, Regions) as regions,
        open_artifact(options.graph, Graph) as graph,
        open_artifact(options.centrality, Centrality) as centrality,
        open_artifact(options.verify, LocalFeaturesFile)
        if options.verify
        else nullcontext() as local,
    ):
        require_graph_of(graph, regions)
        require_centrality_of(centrality, graph)
        if local is not None:
            require_same_names(regions.names, regions.path, local.names, local.path)
        labels = None
        if options.labels is not None:
            labels = PhotoLabels.read(options.labels, regions.names, progress)
        opened = _Inputs(regions, graph, centrality, local, labels)

        def amount(outputs: Sequence[OutputFile]) -> Amount:
            memory = 2 * graph.adjacency_bytes
            if local is not None:
                columns = LocalFeaturesFile.means, LocalFeaturesFile.covariances
                memory += 4 * local.n_bytes(*columns)
            return Amount(regions.lengths["r"], "regions", memory)

        return make(
            options, Objects, lambda outputs: _discover(opened, options, outputs[0], progress),
            progress, amount=amount, network=regions.network,
            inputs=[
                *as_inputs(regions=regions, graph=graph, centrality=centrality, verify=local),
                *([file_input("labels", options.labels)] if options.labels else []),
            ],
        )  # fmt: skip


@dataclass(frozen=True)
class _Inputs:
    """What is read; ``local`` with ``--verify``, ``labels`` with ``--labels`` alone."""

    regions: Regions
    graph: Graph
    centrality: Centrality
    local: LocalFeaturesFile | None
    labels: PhotoLabels | None


def _discover(
    inputs: _Inputs, options: DiscoverOptions, output: OutputFile, progress: Progress
) -> None:
    regions = inputs.regions
    images = np.repeat(np.arange(regions.lengths["n"], dtype=np.int32), np.diff(regions.offsets))
    boxes = regions.region_boxes
    found, verified = _found(inputs, images, options, progress)
    around = boxes[found.regions]
    if options.merge:
        found, around = merge_parts(found, images, boxes, options.min_images)
    facts = _facts(found, images, regions.lengths["n"])
    progress.message(_told(facts, options))
    columns = Objects.columns(
        names=regions.names, image_sizes=regions.image_sizes, **vars(found),
        images=images[found.regions], boxes=around,
    )  # fmt: skip
    if inputs.labels is not None:
        adjacency = inputs.graph.adjacency()
        columns |= _classes(inputs.labels, adjacency, images, found, progress)
    description = {**regions.options, "network": regions.network}
    output.publish(columns, extra={**facts, **verified, "description": description})


def _found(
    inputs: _Inputs, images: np.ndarray, options: DiscoverOptions, progress: Progress
) -> tuple[DiscoveredObjects, dict[str, Any]]:
    """The objects, and what was verified of the edges that make them.

    Raises:
        ArtifactError: the artifacts cannot be used.
    """
    rules = (options.min_images, options.quantile, options.cohesion, options.overlap)
    adjacency, facts = inputs.graph.adjacency(), dict[str, Any]()
    centrality, boxes = inputs.centrality.centrality, inputs.regions.region_boxes
    try:
        require_usable(adjacency, centrality, images, boxes)
        links = strong_links(adjacency, images, options.quantile)
        if inputs.local is not None:
            links, facts = verified_links(links, inputs.regions, inputs.local, progress)
        return group_regions(links, centrality, images, boxes, DiscoveryOptions(*rules)), facts
    except ValueError as error:
        what, path = "the artifacts cannot be used", inputs.centrality.path
        raise ArtifactError(what, where=path, found=error, todo="make it again") from None


def _classes(
    labels: PhotoLabels,
    adjacency: csr_array,
    images: np.ndarray,
    found: DiscoveredObjects,
    progress: Progress,
) -> dict[str, np.ndarray]:
    """The columns of ``--labels``."""
    mass = spread_labels(adjacency, images, labels.labels, len(labels.class_names))
    own, of_regions = classes_of_objects(mass, found.offsets, found.regions), Classes.of(mass)
    n_labeled = int((labels.labels >= 0).sum())
    progress.message(
        f"{n_labeled} labels of {len(labels.class_names)} classes: {(own.classes >= 0).sum()} of "
        f"{len(found)} objects and {(of_regions.classes >= 0).sum()} of {len(images)} regions get "
        "a class"
    )
    return Objects.columns(
        class_names=labels.class_names, classes=own.classes, class_shares=own.shares,
        region_classes=of_regions.classes, region_class_shares=of_regions.shares,
    )  # fmt: skip


def _facts(found: DiscoveredObjects, images: np.ndarray, n_images: int) -> dict[str, Any]:
    sizes = np.diff(found.offsets)
    return {
        "n_objects": len(found),
        "largest": int(sizes.max(initial=0)),
        "n_images_with_objects": len(np.unique(images[found.regions])),
        "n_images": n_images,
    }


def _told(facts: dict[str, Any], options: DiscoverOptions) -> str:
    if not facts["n_objects"]:
        return (
            f"nothing was found in {options.min_images} or more of {facts['n_images']} images; "
            "try a smaller --quantile or --min-images"
        )
    return (
        f"{facts['n_objects']} objects, seen in {options.min_images} to {facts['largest']} images; "
        f"{facts['n_images_with_objects']} of {facts['n_images']} images show one"
    )
