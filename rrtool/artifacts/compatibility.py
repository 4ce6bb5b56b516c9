"""Checks of artifacts against each other, before any work."""

from collections.abc import Sequence
from typing import Any

from rrtool.artifacts.kinds import Centrality, Graph, OverImages, Regions
from rrtool.artifacts.ragged import EncodedTexts
from rrtool.artifacts.reader import Artifact
from rrtool.errors import ArtifactError


def require_same_names(
    first: Sequence[str], first_path: str, second: Sequence[str], second_path: str
) -> None:
    """Both artifacts must be about the same images in the same order.

    Raises:
        ArtifactError: naming the first difference.
    """
    if isinstance(first, EncodedTexts) and first.is_same(second):
        return
    first, second = list(first), list(second)
    if first == second:
        return
    in_first, in_second = set(first), set(second)
    only_first = [name for name in first if name not in in_second]
    only_second = [name for name in second if name not in in_first]
    if only_first or only_second:
        found = f"{len(only_first)} images only in {first_path}, {len(only_second)} only here"
        found += f", e.g. {(only_first or only_second)[0]}"
    else:
        pairs = enumerate(zip(first, second, strict=False))
        row = next((i for i, (one, other) in pairs if one != other), min(len(first), len(second)))
        found = f"the same images in another order, first at row {row}"
    raise ArtifactError(
        "the artifact is about other images",
        where=second_path,
        expected=f"the {len(first)} images of {first_path}",
        found=found,
        todo="make both from the same image list",
    )


def require_equal(
    what: str, first: Artifact, first_value: Any, second: Artifact, second_value: Any,
    todo: str = "make both with the same options",
) -> None:  # fmt: skip
    """A property that two artifacts must share.

    Raises:
        ArtifactError: they differ in it.
    """
    if first_value != second_value:
        raise ArtifactError(
            f"the artifacts differ in {what}",
            where=second.path,
            expected=f"{first_value} as in {first.path}",
            found=second_value,
            todo=todo,
        )


def require_same_network(first: Artifact, second: Artifact) -> None:
    """Activations of two networks cannot be compared.

    Raises:
        ArtifactError: the networks differ.
    """
    labels = {"name": "network", "weights_digest": "weights", "upsample": "--upsample"}
    todo = "make both with the same options"
    if "imported" in (first.network.get("weights"), second.network.get("weights")):
        todo = "if one network made both, say so of both with import --network-name"
    for key, label in labels.items():
        values = first.network.get(key), second.network.get(key)
        require_equal(label, first, values[0], second, values[1], todo)


def require_graph_of(graph: Graph, features: OverImages) -> None:
    """A graph's vertices are the rows of the very features that it was built from.

    Raises:
        ArtifactError: it was built from others, or is damaged.
    """
    made_from = graph.input("features")
    if made_from.digest != features.digest:
        raise ArtifactError(
            "the graph is of other features",
            where=graph.path,
            expected=f"a graph of {features.path}",
            found=f"a graph of {made_from.path}",
            todo="build it from these with build-graph",
        )
    n_vertices, n_vectors = graph.lengths["v"], features.lengths.get("r", features.lengths["n"])
    if n_vertices != n_vectors:
        raise graph.damaged(f"{n_vertices} vertices of {n_vectors} descriptors")


def require_centrality_of(centrality: Centrality, graph: Graph) -> None:
    """Centrality is of the vertices of the very graph that it was measured on.

    Raises:
        ArtifactError: it was measured on another.
    """
    measured_on = centrality.input("graph")
    if measured_on.digest != graph.digest or centrality.lengths["v"] != graph.lengths["v"]:
        raise ArtifactError(
            "the centrality is not that of this graph",
            where=centrality.path,
            expected=f"that of {graph.path}",
            found=f"that of {measured_on.path}",
            todo="run centrality on this graph",
        )


def require_centrality_of_regions(centrality: Centrality, regions: Regions) -> None:
    """Centrality is of these regions, by whichever graph.

    Raises:
        ArtifactError: it is of others.
    """
    made_of, n_vertices = centrality.extra["vertices"], centrality.lengths["v"]
    if made_of != regions.digest or n_vertices != regions.lengths["r"]:
        raise ArtifactError(
            "the centrality is not that of these regions",
            where=centrality.path,
            expected=f"that of a graph of {regions.path}",
            todo="build-graph on these regions, then centrality on the graph",
        )
