"""``rrtool build-graph``: features → k-nearest-neighbour graph (thesis §2.4)."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from rrtool.artifacts import (
    Graph,
    GraphShare,
    LocalFeaturesFile,
    OutputFile,
    open_artifact,
)
from rrtool.core.diffusion import knn
from rrtool.core.diffusion.neighbors import default_k
from rrtool.devices import resolve_device
from rrtool.engine.mapping import open_crew
from rrtool.errors import ArtifactError, OptionError, WorkFailed
from rrtool.progress import Progress, Silent
from rrtool.stages.amount import Amount, parts_of
from rrtool.stages.diffusion.finish_graph import Lists, Vertices, publish_graph
from rrtool.stages.diffusion.graph_update import KeptLists, kept_lists
from rrtool.stages.diffusion.options import BuildGraphOptions
from rrtool.stages.diffusion.verify_graph import require_verifiable, verify
from rrtool.stages.driver import Datasets, Wanted, as_inputs, fill_parts, make
from rrtool.stages.matching.pairs import PairMatcher
from rrtool.stages.retrieval.descriptors import (
    Described,
    Descriptors,
    open_described,
    read_descriptors,
)
from rrtool.stages.shares import own_parts, share_facts
from rrtool.stages.workers import Compute

# Each part is a file that is written durably; a share is of whole parts.
_ROWS_PER_PART, _MOST_PARTS = 1024, 1000
# Descriptors: of more, inverted lists take a fraction of the time (docs/benchmarks.md).
_EXACT_LIMIT = 65_536


def run(options: BuildGraphOptions, progress: Progress) -> Path:
    """Connect every descriptor with its nearest neighbours.

    Rows that failed, that are zero or not finite keep their id and have no edges.

    Raises:
        RrtoolError: the features are unusable, or fewer than ``k + 1``.
    """
    device = resolve_device(options.device, gpu=options.method in ("auto", "exact"))
    with (
        open_described(options.features) as source,
        open_artifact(options.verify, LocalFeaturesFile)
        if options.verify
        else nullcontext() as local,
    ):
        if local is not None:
            require_verifiable(source, local)
        n_images = source.lengths["n"]
        n_vertices = source.lengths.get("r", n_images)
        chosen = replace(options, method=_method(options, n_vertices, device))
        k = options.k or default_k(n_images, n_vertices)
        search = knn.KnnOptions(k, chosen.method, device, options.seed)
        settings = {**chosen.settings(), "k": k}
        kind = Graph if options.share[1] == 1 else GraphShare
        # A k that is found from the number of images may follow it.
        follows = ("features", "k") if options.k is None else ("features",)
        return make(
            options, Wanted(options.output, kind, settings, follows=follows),
            lambda outputs: _build(source, local, outputs[0], chosen, search, progress), progress,
            amount=lambda outputs: _amount(source, k),
            inputs=as_inputs(features=source, verify=local), network=source.network,
            device=device,
        )  # fmt: skip


def _method(options: BuildGraphOptions, n_vertices: int, device: str) -> str:
    """What ``auto`` stands for: kept lists and shares are of exact ones."""
    if options.method != "auto":
        return options.method
    is_exact = n_vertices <= _EXACT_LIMIT or device != "cpu" or options.update or options.shard
    return "exact" if is_exact or not knn.has_faiss() else "ivf"


def _amount(source: Described, k: int) -> Amount:
    """The vectors twice, and the lists of neighbours with the edges of both their ends."""
    n_vertices = source.lengths.get("r", source.lengths["n"])
    memory = 8 * n_vertices * source.lengths["d"] + 40 * n_vertices * k
    return Amount(n_vertices, "vertices", memory, parts_of(n_vertices, _ROWS_PER_PART))


def _build(
    source: Described,
    local: LocalFeaturesFile | None,
    output: OutputFile,
    options: BuildGraphOptions,
    search: knn.KnnOptions,
    progress: Progress,
) -> None:
    found = read_descriptors(source, progress)
    ids = found.vertices
    search = _within(search, options.k, len(ids), source.path)
    if len(ids) == 1:
        progress.message(f"{source.path}: only one photo, or region, has a descriptor")
    vertices = Vertices.of(source, found, ids)
    updated = os.path.abspath(output.path) if output.is_update else None
    rows_per_part = max(_ROWS_PER_PART, -(-len(found.vectors) // _MOST_PARTS))
    parts = own_parts(parts_of(len(found.vectors), rows_per_part), options.share, "vertices")
    if search.method != "exact":
        progress.message(f"building the {search.method} index of {len(ids)} vectors")
    neighbors = _neighbors_of(found, search, updated, progress)
    with open_crew(options.crew) as crew:
        opener = partial(lists_of, os.path.abspath(source.path), search, updated)
        n_parts = fill_parts(
            output, parts, neighbors, progress, label="build-graph", unit="vertices",
            hands=None if crew is None else (crew, opener),
        )  # fmt: skip
    if facts := share_facts(options.share, parts, len(found.vectors)):
        columns = GraphShare.columns(**vertices.columns())
        extra = {**facts, "description": vertices.description}
        output.publish(columns, n_parts=n_parts, extra=extra)
        return
    made = {**options.settings(), "k": search.k, "recall": neighbors.measured_recall()}
    lists = Lists.of_parts(output, n_parts)
    if local is not None:
        matcher = PairMatcher(local, search.device)
        lists = verify(output, lists, matcher, options.seed, progress)
    publish_graph(output, vertices, lists, made, search.device, progress)


def lists_of(path: str, search: knn.KnnOptions, updated: str | None) -> Compute:
    """On a worker: what finds the lists of neighbours of some rows."""
    with open_described(path) as source:
        found = read_descriptors(source, Silent())
    return _neighbors_of(found, search, updated, Silent())


def _neighbors_of(
    found: Descriptors, search: knn.KnnOptions, updated: str | None, progress: Progress
) -> Neighbors:
    """What finds them, with what serves again of the graph that is updated."""
    vertices, kept = found.vertices, None
    if updated is not None:
        kept = kept_lists(updated, found, search, progress)
    return Neighbors(found.vectors, vertices, search, kept)


def _within(
    search: knn.KnnOptions, asked: int | None, n_vertices: int, path: str
) -> knn.KnnOptions:
    """Of one or two descriptors, and where no number was asked for, as many as there are."""
    if not n_vertices:
        raise ArtifactError("no row is usable", where=path, found="zeros only")
    if n_vertices < 3:
        return replace(search, k=1, method="exact")
    if asked is None:
        return replace(search, k=min(search.k, n_vertices - 1))
    if asked >= n_vertices:
        raise OptionError(
            "bad --k: there are not that many other descriptors",
            option="k", where=path, expected=f"at most {n_vertices - 1}", found=asked,
        )  # fmt: skip
    return search


def searcher_of(vectors: np.ndarray, search: knn.KnnOptions) -> knn.Searcher:
    """Finds nearest vectors.

    Raises:
        WorkFailed: the method needs faiss, which is not there.
    """
    try:
        return knn.Searcher(vectors, search)
    except ImportError:
        raise WorkFailed(
            f"--method {search.method} needs faiss",
            todo="pip install faiss-cpu, or use --method exact",
        ) from None


class Neighbors:
    """Finds the lists of neighbours of the rows of a part.

    Args:
        vectors: ``(n, d)`` of all rows.
        vertices: ids of those that have lists.
        kept: lists that serve again.

    Raises:
        WorkFailed: see ``searcher_of``.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        vertices: np.ndarray,
        search: knn.KnnOptions,
        kept: KeptLists | None = None,
    ) -> None:
        # Without a copy where every row is a vertex.
        self._vectors = vectors if len(vertices) == len(vectors) else vectors[vertices]
        self._vertices = vertices
        self._search = search
        self._kept = kept
        self._searcher = searcher_of(self._vectors, search)

    def __call__(self, rows: range) -> Datasets:
        """Ids and similarities ``(rows, k)``; rows that are no vertices have empty lists."""
        places = np.arange(*np.searchsorted(self._vertices, [rows.start, rows.stop]))
        ids = np.full((len(rows), self._search.k), -1, dtype=np.int32)
        similarities = np.zeros(ids.shape, dtype=np.float32)
        if len(self._vertices) > 1:  # an only one has no neighbour
            own = self._vertices[places] - rows.start
            ids[own], similarities[own] = self._lists(places)
        return Graph.columns(neighbor_ids=ids, similarities=similarities)

    def _lists(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of some vertices, by their places among all."""
        if self._kept is None:
            return self._searched(places)
        rows, vectors = self._vertices[places], self._vectors[places]
        ids, similarities, is_right = self._kept.neighbors(rows, vectors, self._search.k)
        ids[~is_right], similarities[~is_right] = self._searched(places[~is_right])
        return ids, similarities

    def _searched(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found, similarities = self._searcher.neighbors(places)
        return np.where(found >= 0, self._vertices[found], -1), similarities

    def measured_recall(self) -> float:
        """Of an approximate search, on a sample of the vertices; 1 if it is exact."""
        return 1.0 if self._search.method == "exact" else self._searcher.sampled_recall()
