"""``rrtool discover``: regions, their graph and centrality → the objects that repeat."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, OutputFile, Provenance, create, open_artifact
from rrtool.artifacts.compatibility import require_graph_of
from rrtool.core.discovery.object_discovery import (
    DiscoveredObjects,
    DiscoveryOptions,
    discover_objects,
)
from rrtool.errors import ArtifactError, UsageError
from rrtool.progress import Progress
from rrtool.stages.diffusion.graph_input import read_adjacency

_COPIED = ("names/bytes", "names/offsets", "image_sizes")


def discovery_options(
    min_images: int = 3, quantile: float = 0.7, cohesion: float = 0.5, overlap: float = 0.5
) -> DiscoveryOptions:
    """See ``DiscoveryOptions``.

    Raises:
        UsageError: one is out of its range.
    """
    try:
        return DiscoveryOptions(min_images, quantile, cohesion, overlap)
    except ValueError as error:
        raise UsageError(str(error)) from None


def run(
    regions: str,
    output: str | Path,
    options: DiscoveryOptions,
    *,
    graph: str,
    centrality: str,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Find what is seen in several images of a collection.

    Args:
        regions: of the collection, from ``saliency fs``, whitened or not.
        graph: of these regions.
        centrality: of this graph.

    Returns:
        The path of the ``objects`` artifact.

    Raises:
        RrtoolError: the artifacts do not belong together, or one is damaged.
    """
    with ExitStack() as stack:
        r = stack.enter_context(open_artifact(regions, "regions"))
        g = stack.enter_context(open_artifact(graph, "graph"))
        c = stack.enter_context(open_artifact(centrality, "centrality"))
        require_graph_of(g, r)
        _require_centrality_of(c, g)
        inputs = [r.as_input("regions"), g.as_input("graph"), c.as_input("centrality")]
        provenance = Provenance("objects", asdict(options), inputs, r.network)
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            return _discover(r, g, c, options, target, progress)


def _require_centrality_of(centrality: Artifact, graph: Artifact) -> None:
    if centrality.inputs[0].digest != graph.digest:
        raise ArtifactError(
            "the centrality is not that of this graph",
            where=centrality.path,
            expected=f"that of {graph.path}",
            found=f"that of {centrality.inputs[0].path}",
            todo="run centrality on this graph",
        )


def _discover(
    regions: Artifact,
    graph: Artifact,
    centrality: Artifact,
    options: DiscoveryOptions,
    target: OutputFile,
    progress: Progress,
) -> Path:
    counts = np.diff(regions.read("offsets"))
    images = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    boxes = regions.read("region_boxes")
    significance = centrality.read("centrality")
    try:
        found = discover_objects(read_adjacency(graph), significance, images, boxes, options)
    except ValueError as error:
        raise ArtifactError(
            "the artifacts cannot be used", where=centrality.path, found=error, todo="make it again"
        ) from None
    facts = _facts(found, images, len(counts))
    progress.message(_told(facts, options))
    return target.publish(
        {
            **{name: regions.read(name) for name in _COPIED},
            "offsets": found.offsets,
            "regions": found.regions,
            "weights": found.weights,
            "images": images[found.regions],
            "boxes": boxes[found.regions],
        },
        extra={**facts, "description": {**regions.options, "network": regions.network}},
    )


def _facts(found: DiscoveredObjects, images: np.ndarray, n_images: int) -> dict[str, Any]:
    sizes = np.diff(found.offsets)
    return {
        "n_objects": len(found),
        "largest": int(sizes.max(initial=0)),
        "n_images_with_objects": len(np.unique(images[found.regions])),
        "n_images": n_images,
    }


def _told(facts: dict[str, Any], options: DiscoveryOptions) -> str:
    if not facts["n_objects"]:
        return (
            f"nothing was found in {options.min_images} or more of {facts['n_images']} images; "
            "try a smaller --quantile or --min-images"
        )
    return (
        f"{facts['n_objects']} objects, seen in {options.min_images} to {facts['largest']} images; "
        f"{facts['n_images_with_objects']} of {facts['n_images']} images show one"
    )
