"""``rrtool build-graph``: features → k-nearest-neighbour graph (thesis §2.4)."""

import os
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np

from rrtool.artifacts import Graph, OutputFile
from rrtool.core.diffusion import knn
from rrtool.core.diffusion.diffusion import diffusion_spread
from rrtool.core.diffusion.graph import (
    GraphStatistics,
    build_adjacency,
    graph_statistics,
    locality_ordering,
)
from rrtool.core.diffusion.neighbors import default_k, is_too_many
from rrtool.devices import resolve_device
from rrtool.engine.crew import Crew
from rrtool.engine.mapping import open_crew
from rrtool.errors import ArtifactError, OptionError, WorkFailed
from rrtool.progress import Progress, Silent
from rrtool.stages.diffusion.options import BuildGraphOptions
from rrtool.stages.driver import Datasets, Wanted, as_inputs, fill, make
from rrtool.stages.retrieval.descriptors import Described, open_described, read_descriptors
from rrtool.stages.workers import Compute

_ROWS_PER_PART = 8192
_RECALL_SAMPLE = 1000


def run(options: BuildGraphOptions, progress: Progress) -> Path:
    """Connect every descriptor with its nearest neighbours.

    Rows that failed, that are zero or not finite keep their id and have no edges.

    Raises:
        RrtoolError: the features are unusable, or fewer than ``k + 1``.
    """
    device = resolve_device(options.device, gpu=options.method == "exact")
    with open_described(options.features) as source:
        n_images = source.lengths["n"]
        k = options.k or default_k(n_images, source.lengths.get("r", n_images))
        search = knn.KnnOptions(k, options.method, device, options.seed)
        return make(
            options, Wanted(options.output, Graph, {**options.settings(), "k": k}),
            lambda outputs: _build(source, outputs[0], options, search, progress), progress,
            inputs=as_inputs(features=source), network=source.network, device=device,
        )  # fmt: skip


def _build(
    source: Described,
    output: OutputFile,
    options: BuildGraphOptions,
    search: knn.KnnOptions,
    progress: Progress,
) -> None:
    found = read_descriptors(source, progress)
    vertices = found.vertices
    status = np.ones(len(found.vectors), dtype=np.uint8)
    status[vertices] = 0
    search = _within(search, options.k, len(vertices), source.path)
    if len(vertices) == 1:
        progress.message(f"{source.path}: only one photo, or region, has a descriptor")
    with open_crew(options.crew) as crew:
        hands = None if crew is None else (crew, _opener(source, search))
        n_parts, recall = _find_neighbors(found.vectors, vertices, search, output, progress, hands)
    neighbor_ids = np.concatenate(list(output.read_parts(Graph.neighbor_ids, n_parts)))
    similarities = np.concatenate(list(output.read_parts(Graph.similarities, n_parts)))
    adjacency = build_adjacency(neighbor_ids, similarities, options.gamma, options.symmetrize)
    statistics = graph_statistics(adjacency, neighbor_ids)
    ordering = locality_ordering(adjacency)
    spread = diffusion_spread(adjacency, ordering, search.device)
    _tell(statistics, spread, recall, options.method, progress)
    if is_too_many(search.k, source.lengths["n"], len(found.vectors)):
        progress.message(
            f"k = {search.k} neighbours are many for {source.lengths['n']} images: those that do "
            "not belong together are joined"
        )
    output.publish(
        Graph.columns(
            indptr=adjacency.indptr.astype(np.int64),
            indices=adjacency.indices.astype(np.int32),
            weights=adjacency.data,
            ordering=ordering,
            status=status,
            offsets=found.offsets,
            names=source.names,
        ),
        n_parts=n_parts,
        extra={
            "statistics": asdict(statistics) | {"diffusion_spread": spread},
            "recall": recall,
            # How the vertices were described; what a ranking on this graph has to carry.
            "description": {**source.options, "network": source.network},
        },
    )


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


def _find_neighbors(
    vectors: np.ndarray,
    vertices: np.ndarray,
    search: knn.KnnOptions,
    output: OutputFile,
    progress: Progress,
    hands: tuple[Crew, Callable[[], Compute]] | None,
) -> tuple[int, float]:
    """Write the lists of neighbours; the number of parts, and the recall, 1 if exact."""
    if search.method != "exact":
        progress.message(f"building the {search.method} index of {len(vertices)} vectors")
    searcher = searcher_of(_rows(vectors, vertices), search)
    n_parts = fill(
        output, len(vectors), lambda rows: _part(rows, vertices, searcher, search.k), progress,
        label="build-graph", unit="vertices", rows_per_part=_ROWS_PER_PART, hands=hands,
    )  # fmt: skip
    if search.method == "exact":
        return n_parts, 1.0
    return n_parts, _measured_recall(_rows(vectors, vertices), searcher, search)


def _opener(source: Described, search: knn.KnnOptions) -> Callable[[], Compute]:
    return partial(lists_of, os.path.abspath(source.path), search)


def lists_of(path: str, search: knn.KnnOptions) -> Compute:
    """On a worker: what finds the lists of neighbours of some rows."""
    with open_described(path) as source:
        found = read_descriptors(source, Silent())
    vertices = found.vertices
    searcher = searcher_of(_rows(found.vectors, vertices), search)
    return lambda rows: _part(rows, vertices, searcher, search.k)


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


def _rows(vectors: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Without a copy where every row is a vertex."""
    return vectors if len(vertices) == len(vectors) else vectors[vertices]


def _part(rows: range, vertices: np.ndarray, searcher: knn.Searcher, k: int) -> Datasets:
    """Lists of the rows of a part, as row ids; rows that are no vertices have empty ones."""
    first, last = np.searchsorted(vertices, [rows.start, rows.stop])
    ids = np.full((len(rows), k), -1, dtype=np.int32)
    similarities = np.zeros((len(rows), k), dtype=np.float32)
    if len(vertices) == 1:  # it has no neighbour
        return Graph.columns(neighbor_ids=ids, similarities=similarities)
    found, values = searcher.neighbors(np.arange(first, last))
    places = vertices[first:last] - rows.start
    ids[places] = np.where(found >= 0, vertices[found], -1)
    similarities[places] = values
    return Graph.columns(neighbor_ids=ids, similarities=similarities)


def _measured_recall(vectors: np.ndarray, searcher: knn.Searcher, search: knn.KnnOptions) -> float:
    """Of the exact neighbours of a sample of vertices, how many the approximate search finds."""
    generator = np.random.default_rng(search.seed)
    n_sample = min(len(vectors), _RECALL_SAMPLE)
    sample = np.sort(generator.choice(len(vectors), n_sample, replace=False))
    exact = knn.Searcher(vectors, knn.KnnOptions(search.k))
    ids, found = searcher.neighbors(sample)
    return knn.recall(np.where(ids < 0, -np.inf, found), exact.neighbors(sample)[1])


def _tell(
    statistics: GraphStatistics, spread: float, recall: float, method: str, progress: Progress
) -> None:
    progress.message(
        f"{statistics.n_vertices} vertices, {statistics.n_edges} edges, mean degree "
        f"{statistics.mean_degree:.1f}, {statistics.n_components} components "
        f"(largest {statistics.largest_component}), {statistics.n_isolated} isolated, "
        f"{100 * statistics.mutual_fraction:.0f} % of neighbours mutual, "
        f"a diffusion spreads over {100 * spread:.1f} % of them"
    )
    if method != "exact":
        progress.message(f"recall of --method {method}: {recall:.4f} on a sample")
    if not statistics.n_edges:
        progress.message("the graph has no edges: no two descriptors are mutual neighbours")
