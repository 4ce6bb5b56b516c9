"""``rrtool build-graph``: features → k-nearest-neighbour graph (thesis §2.4)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from rrtool.artifacts import Artifact, OutputFile, Provenance, create, encode_texts, open_artifact
from rrtool.core.diffusion import knn
from rrtool.core.diffusion.diffusion import diffusion_spread
from rrtool.core.diffusion.graph import (
    SYMMETRIZATIONS,
    GraphStatistics,
    build_adjacency,
    graph_statistics,
    locality_ordering,
)
from rrtool.devices import resolve_device
from rrtool.errors import ArtifactError, UsageError, WorkFailed
from rrtool.progress import Progress
from rrtool.stages.parts import parts_of
from rrtool.stages.retrieval.descriptors import read_descriptors

_ROWS_PER_PART = 8192
_RECALL_SAMPLE = 1000


@dataclass(frozen=True)
class BuildGraphOptions:
    """Options of ``build-graph`` (METHODS §4).

    Attributes:
        k: neighbours of each vertex; None: 50, the thesis's, but fewer in a collection of less
            than 2000 images, which cannot bear them (see ``default_k``).
        gamma: exponent of the edge weight.
        method: ``exact``, ``ivf`` or ``hnsw``.
        symmetrize: ``mutual`` or ``sum``, see ``core.graph.build_adjacency``.
        device: of the exact search.
        seed: of the clustering of ``ivf`` and of the sample that recall is measured on.
    """

    k: int | None = None
    gamma: float = 3.0
    method: str = "exact"
    symmetrize: str = "mutual"
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise UsageError("bad --k", expected="at least 1", found=self.k)
        if not 0 < self.gamma <= 100:
            raise UsageError("bad --gamma", expected="(0, 100]", found=self.gamma)
        if self.seed < 0:
            raise UsageError("bad --seed", expected="0 or more", found=self.seed)
        for name, known in (("method", knn.METHODS), ("symmetrize", SYMMETRIZATIONS)):
            if getattr(self, name) not in known:
                raise UsageError(
                    f"unknown --{name}", expected=", ".join(known), found=getattr(self, name)
                )

    def identity(self, n_rows: int) -> dict[str, Any]:
        """What the graph depends on; the exact search knows no chance."""
        unseeded = {"device", "seed"} if self.method == "exact" else {"device"}
        options = {key: value for key, value in asdict(self).items() if key not in unseeded}
        return options | {"k": self.k or default_k(n_rows)}


def default_k(n_rows: int) -> int:
    """50 neighbours (§4.4.1), but at most a fortieth of a small collection, and at least 3.

    Groups of images that belong together are small in small collections; neighbours beyond them
    are chance, and carry the diffusion astray (measured: docs/methods.md).
    """
    return max(1, min(50, max(3, n_rows // 40), n_rows - 1))


def run(
    features: str,
    output: str | Path,
    options: BuildGraphOptions,
    *,
    overwrite: bool = False,
    progress: Progress,
) -> Path:
    """Connect every descriptor with its nearest neighbours.

    Rows that failed, that are zero or not finite keep their id and have no edges.

    Returns:
        The path of the ``graph`` artifact.

    Raises:
        RrtoolError: the features are unusable, or fewer than ``k + 1``.
    """
    device = _resolve_device(options)
    with open_artifact(features, "features", "regions") as source:
        identity = options.identity(source.shape("descriptors")[0])
        provenance = Provenance(
            "graph", identity, [source.as_input("features")], source.network, device
        )
        with create(output, provenance, overwrite=overwrite) as target:
            if target.is_current:
                progress.message(f"{target.path} is up to date")
                return target.path
            return _build(source, target, replace(options, k=identity["k"]), device, progress)


def _resolve_device(options: BuildGraphOptions) -> str:
    """Checked in any case; the approximate methods are for the CPU."""
    if options.method != "exact" and options.device == "auto":
        return "cpu"
    device = resolve_device(options.device)
    return device if options.method == "exact" else "cpu"


def _build(
    source: Artifact,
    target: OutputFile,
    options: BuildGraphOptions,
    device: str,
    progress: Progress,
) -> Path:
    found = read_descriptors(source, progress)
    vectors, usable = found.vectors, found.usable & found.vectors.any(axis=1)
    vertices = np.flatnonzero(usable).astype(np.int32)
    if not len(vertices):
        raise ArtifactError("no row is usable", where=source.path, found="zeros only")
    k = options.k or default_k(len(vectors))
    if k >= len(vertices):
        raise UsageError(
            "bad --k: there are not that many other descriptors",
            where=source.path,
            expected=f"at most {len(vertices) - 1}",
            found=k,
        )
    search = knn.KnnOptions(k, options.method, device, options.seed)
    parts = parts_of(len(vectors), _ROWS_PER_PART)
    recall = _find_neighbors(vectors, vertices, search, target, parts, progress)
    neighbor_ids = np.concatenate(list(target.read_parts("neighbor_ids", len(parts))))
    similarities = np.concatenate(list(target.read_parts("similarities", len(parts))))
    adjacency = build_adjacency(neighbor_ids, similarities, options.gamma, options.symmetrize)
    statistics = graph_statistics(adjacency, neighbor_ids)
    ordering = locality_ordering(adjacency)
    spread = diffusion_spread(adjacency, ordering, device)
    _tell(statistics, spread, recall, options, progress)
    return target.publish(
        {
            "indptr": adjacency.indptr.astype(np.int64),
            "indices": adjacency.indices.astype(np.int32),
            "weights": adjacency.data,
            "ordering": ordering,
            "status": np.where(usable, 0, 1).astype(np.uint8),
            "offsets": found.offsets,
            **encode_texts(source.read_texts("names"), "names"),
        },
        n_parts=len(parts),
        extra={
            "statistics": asdict(statistics) | {"diffusion_spread": spread},
            "recall": recall,
            "description": _made(source),
        },
    )


def _made(source: Artifact) -> dict[str, Any]:
    """How the vertices were described; what a ranking on this graph has to carry."""
    return {**source.options, "network": source.network}


def _find_neighbors(
    vectors: np.ndarray,
    vertices: np.ndarray,
    search: knn.KnnOptions,
    target: OutputFile,
    parts: list[range],
    progress: Progress,
) -> float:
    """Write the lists of neighbours, part by part; returns the recall, 1 for the exact search."""
    missing = target.missing_parts(len(parts))
    if search.method != "exact":
        progress.message(f"building the {search.method} index of {len(vertices)} vectors")
    try:
        searcher = knn.Searcher(_rows(vectors, vertices), search)
    except ImportError:
        raise WorkFailed(
            f"--method {search.method} needs faiss",
            todo="pip install faiss-cpu, or use --method exact",
        ) from None
    with progress.task("build-graph", len(vectors), "vertices") as advance:
        advance(len(vectors) - sum(len(parts[number]) for number in missing))
        for number in missing:
            target.write_part(number, _part(parts[number], vertices, searcher, search.k))
            advance(len(parts[number]))
    if search.method == "exact":
        return 1.0
    return _measured_recall(_rows(vectors, vertices), searcher, search)


def _rows(vectors: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Without a copy where every row is a vertex."""
    return vectors if len(vertices) == len(vectors) else vectors[vertices]


def _part(
    rows: range, vertices: np.ndarray, searcher: knn.Searcher, k: int
) -> dict[str, np.ndarray]:
    """Lists of the rows of a part, as row ids; rows that are no vertices have empty ones."""
    first, last = np.searchsorted(vertices, [rows.start, rows.stop])
    found, values = searcher.neighbors(np.arange(first, last))
    ids = np.full((len(rows), k), -1, dtype=np.int32)
    similarities = np.zeros((len(rows), k), dtype=np.float32)
    places = vertices[first:last] - rows.start
    ids[places] = np.where(found >= 0, vertices[found], -1)
    similarities[places] = values
    return {"neighbor_ids": ids, "similarities": similarities}


def _measured_recall(vectors: np.ndarray, searcher: knn.Searcher, search: knn.KnnOptions) -> float:
    """Of the exact neighbours of a sample of vertices, how many the approximate search finds."""
    generator = np.random.default_rng(search.seed)
    n_sample = min(len(vectors), _RECALL_SAMPLE)
    sample = np.sort(generator.choice(len(vectors), n_sample, replace=False))
    exact = knn.Searcher(vectors, knn.KnnOptions(search.k))
    ids, found = searcher.neighbors(sample)
    return knn.recall(np.where(ids < 0, -np.inf, found), exact.neighbors(sample)[1])


def _tell(
    statistics: GraphStatistics,
    spread: float,
    recall: float,
    options: BuildGraphOptions,
    progress: Progress,
) -> None:
    progress.message(
        f"{statistics.n_vertices} vertices, {statistics.n_edges} edges, mean degree "
        f"{statistics.mean_degree:.1f}, {statistics.n_components} components "
        f"(largest {statistics.largest_component}), {statistics.n_isolated} isolated, "
        f"{100 * statistics.mutual_fraction:.0f} % of neighbours mutual, "
        f"a diffusion spreads over {100 * spread:.1f} % of them"
    )
    if options.method != "exact":
        progress.message(f"recall of --method {options.method}: {recall:.4f} on a sample")
    if not statistics.n_edges:
        progress.message("the graph has no edges: no two descriptors are mutual neighbours")
