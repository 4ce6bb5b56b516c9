"""``rrtool discover``: regions, their graph and centrality → the objects that repeat."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import (
    Centrality,
    Graph,
    Objects,
    OutputFile,
    Regions,
    open_artifact,
    require_centrality_of,
    require_graph_of,
)
from rrtool.core.discovery.object_discovery import (
    DiscoveredObjects,
    DiscoveryOptions,
    discover_objects,
)
from rrtool.errors import ArtifactError
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.discovery.options import DiscoverOptions
from rrtool.stages.driver import as_inputs, make


def run(options: DiscoverOptions, progress: Progress) -> Path:
    """Find what is seen in several images of a collection.

    Raises:
        RrtoolError: the artifacts do not belong together, or one is damaged.
    """
    with (
        open_artifact(options.regions, Regions) as regions,
        open_artifact(options.graph, Graph) as graph,
        open_artifact(options.centrality, Centrality) as centrality,
    ):
        require_graph_of(graph, regions)
        require_centrality_of(centrality, graph)

        def work(outputs: list[OutputFile]) -> None:
            images = np.repeat(
                np.arange(regions.lengths["n"], dtype=np.int32), np.diff(regions.offsets)
            )
            boxes = regions.region_boxes
            rules = (options.min_images, options.quantile, options.cohesion, options.overlap)
            try:
                found = discover_objects(
                    graph.adjacency(), centrality.centrality, images, boxes,
                    DiscoveryOptions(*rules),
                )  # fmt: skip
            except ValueError as error:
                what, path = "the artifacts cannot be used", centrality.path
                raise ArtifactError(what, where=path, found=error, todo="make it again") from None
            facts = _facts(found, images, regions.lengths["n"])
            progress.message(_told(facts, options))
            columns = Objects.columns(
                names=regions.names, image_sizes=regions.image_sizes, **vars(found),
                images=images[found.regions], boxes=boxes[found.regions],
            )  # fmt: skip
            description = {**regions.options, "network": regions.network}
            outputs[0].publish(columns, extra={**facts, "description": description})

        def amount(outputs: Sequence[OutputFile]) -> Amount:
            memory = 2 * graph.adjacency_bytes
            return Amount(regions.lengths["r"], "regions", memory)

        return make(
            options, Objects, work, progress, amount=amount, network=regions.network,
            inputs=as_inputs(regions=regions, graph=graph, centrality=centrality),
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
