"""The graph, Katz and both diffusions of ``million.py``, their peers, and how far they agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from million_peers import TOP, TRUNCATE
from million_runs import run_peer, run_stage

from rrtool.artifacts.kinds import open_any


def measure_graph(folder: Path, method: str) -> None:
    """The graph, Katz and both diffusions in turn with their peers, and how far they agree."""
    graph = folder / "graph.h5"
    run_stage("build-graph", folder / "database.h5", "-o", graph, "--method", method)
    with open_any(graph) as made:
        print(f"recall {made.extra['recall']:.4f}", made.extra["statistics"], flush=True)
    if method != "exact":
        run_peer("neighbors", folder)
        print_recall(folder)
    run_stage("centrality", graph, "-o", folder / "katz.h5", "--measure", "katz")
    run_peer("katz", folder)
    print_difference(folder)
    common = ("--graph", graph, "--queries", folder / "queries.h5")
    common += ("--database", folder / "database.h5", "--top", TOP)
    run_stage("diffuse", *common, "-o", folder / "t.h5", "--truncate", TRUNCATE)
    run_peer("truncated", folder)
    run_stage("diffuse", *common, "-o", folder / "f.h5")
    run_peer("whole", folder)
    heads = {"truncated": _heads(folder / "t.h5"), "whole": _heads(folder / "f.h5")}
    for name in ("truncated", "whole"):
        print_overlap(f"{name}, and its peer", heads[name], np.load(folder / f"peer-{name}.npy"))
    print_overlap("truncated and whole", *heads.values())


def print_recall(folder: Path) -> None:
    """Of the exact neighbours of 1000 vertices, how many both sides found."""
    import faiss

    with open_any(folder / "graph.h5") as graph, open_any(folder / "database.h5") as features:
        ours, vectors = graph.neighbor_ids, features.descriptors
    sample = np.random.default_rng(5).choice(len(vectors), min(1000, len(vectors)), replace=False)
    k = ours.shape[1]
    _, exact = faiss.knn(vectors[sample], vectors, k + 1, metric=faiss.METRIC_INNER_PRODUCT)
    theirs = np.load(folder / "peer-neighbors.npy", mmap_mode="r")
    for name, ids in (("rrtool", ours[sample]), ("the peer", theirs[sample])):
        hits = [
            len(np.intersect1d(found[found != row][:k], true[true != row][:k]))
            for row, found, true in zip(sample, ids, exact, strict=True)
        ]
        print(f"recall of {name} on {len(sample)} vertices: {np.mean(hits) / k:.4f}", flush=True)


def print_difference(folder: Path) -> None:
    """Between two vectors of values, each divided by its mean."""
    with open_any(folder / "katz.h5") as made:
        ours = made.centrality
    theirs = np.load(folder / "peer-katz.npy")
    difference = np.abs(ours / ours.mean() - theirs / theirs.mean()).max()
    print(f"katz: largest difference to the peer {difference:.1e} of the mean", flush=True)


def _heads(path: Path) -> np.ndarray:
    with open_any(path) as ranking:
        return np.asarray(ranking.ids[:, :100])


def print_overlap(names: str, first: np.ndarray, second: np.ndarray) -> None:
    """Of the first 100 of two rankings, how many are in both."""
    shares = [
        len(np.intersect1d(a[:100], b[:100])) / 100 for a, b in zip(first, second, strict=True)
    ]
    print(f"{names}: {np.mean(shares):.4f} of the first 100 are the same", flush=True)
