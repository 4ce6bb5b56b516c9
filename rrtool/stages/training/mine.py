"""``rrtool mine``: features, their graph and local features, or labels → tuples (thesis §4.5)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np

from rrtool import ground_truth as ground_truths
from rrtool.artifacts import (
    Features,
    Graph,
    LocalFeaturesFile,
    OutputFile,
    Tuples,
    open_artifact,
    require_graph_of,
    require_same_names,
    source_input,
)
from rrtool.devices import resolve_device
from rrtool.errors import RrtoolError, UsageError
from rrtool.ground_truth.groups import ADVICE, PROTOCOL, Groups
from rrtool.progress import Progress
from rrtool.stages.amount import Amount
from rrtool.stages.driver import as_inputs, make
from rrtool.stages.matching.pairs import PairMatcher
from rrtool.stages.retrieval.descriptors import read_usable
from rrtool.stages.training.mine_options import MineOptions
from rrtool.stages.training.unlabelled import Mined, Unlabelled


def run(options: MineOptions, progress: Progress) -> Path:
    """Say which photos show the same thing, by what they show or by labels.

    Raises:
        RrtoolError: the artifacts are of other photos; or no two photos show the same thing.
    """
    device = resolve_device(options.device) if options.local else "cpu"
    with (
        open_artifact(options.features, Features) as features,
        open_artifact(options.graph, Graph) if options.graph else nullcontext() as graph,
        open_artifact(options.local, LocalFeaturesFile)
        if options.local
        else nullcontext() as local,
    ):
        mine: Callable[[OutputFile, Progress], Mined]
        if graph is None:
            mine = partial(_labelled, features, str(options.groups))
        else:
            _require_together(features, graph, local)
            matcher = None if local is None else PairMatcher(local, device)
            mine = Unlabelled(features, graph, matcher, options).mine

        def work(outputs: list[OutputFile]) -> None:
            mined = mine(outputs[0], progress)
            _tell(mined.groups, progress)
            columns = Tuples.columns(names=features.names, groups=mined.groups, **mined.columns)
            outputs[0].publish(columns, extra={"images": _images_of(features), **mined.facts})

        inputs = as_inputs(features=features, graph=graph, local=local)
        inputs += [source_input(role, path) for role, path in options.of_role("file").items()]
        return make(
            options, Tuples, work, progress, amount=lambda outputs: _amount(features, graph),
            inputs=inputs, network=features.network, device=device,
        )  # fmt: skip


def _amount(features: Features, graph: Graph | None) -> Amount:
    """The descriptors twice, and the graph."""
    n, d = features.lengths["n"], features.lengths["d"]
    return Amount(n, "images", 8 * n * d + (3 * graph.adjacency_bytes if graph else 0))


def _images_of(features: Features) -> str:
    """Where the photos were, also of features that were whitened later; empty if nobody knows."""
    known = {record.role: record.path for record in features.inputs}
    if "images" in known or "features" not in known:
        return known.get("images", "")
    try:
        with open_artifact(known["features"], Features) as unwhitened:
            return unwhitened.input("images").path
    except RrtoolError:  # they may be gone
        return ""


def _require_together(features: Features, graph: Graph, local: LocalFeaturesFile | None) -> None:
    """All are of the same photos, and what matches is known or can be found out."""
    require_graph_of(graph, features)
    if local is not None:
        require_same_names(features.names, features.path, local.names, local.path)
    elif Graph.n_inliers not in graph:
        raise UsageError(
            "nobody knows what of this graph matches", where=graph.path,
            expected="--local, or a graph from build-graph --verify",
        )  # fmt: skip


def _labelled(features: Features, rule: str, output: OutputFile, progress: Progress) -> Mined:
    """Groups by labels; photos without a label, and distractors, are groups of their own.

    Raises:
        UsageError: some photos have no label, no two have the same, or all have.
    """
    truth = cast(Groups, ground_truths.load(rule, PROTOCOL))
    truth.resolve([], features.names, tell=progress.message)
    numbers: dict[object, int] = {}
    labels = truth.labels(features.names)
    groups = np.array(
        [numbers.setdefault(label or row, len(numbers)) for row, label in enumerate(labels)],
        np.int32,
    )
    vectors, usable = read_usable(features, progress)
    groups[~(usable & vectors.any(axis=1))] = -1
    sizes = np.unique(groups[groups >= 0], return_counts=True)[1]
    if not (sizes > 1).any():
        raise UsageError(
            "no two photos have the same label", where=rule, expected="a group of two or more",
            found=f"{len(sizes)} groups of one", todo=ADVICE,
        )  # fmt: skip
    if len(sizes) == 1:
        raise UsageError(
            "all photos are in one group: there are no negatives", where=rule,
            expected="two groups or more", found=f"one of {sizes[0]} photos", todo=ADVICE,
        )  # fmt: skip
    return Mined(groups, {"pairs": np.zeros((0, 2), np.int32)})


def _tell(groups: np.ndarray, progress: Progress) -> None:
    """How large the groups are, and whether one leaves few negatives."""
    sizes = np.unique(groups[groups >= 0], return_counts=True)[1]
    n, n_groups, largest = int(sizes.sum()), int((sizes > 1).sum()), int(sizes.max(initial=0))
    progress.message(
        f"{n_groups} groups of two photos or more, the largest of {largest}; {(sizes == 1).sum()} "
        "photos are alone"
    )
    if 2 * largest > n:
        progress.message(
            f"one group holds {largest} of {n} photos: negatives of these are only among the rest"
        )
