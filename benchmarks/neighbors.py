"""Lists of neighbours of a large collection: ours, faiss's inverted lists and small-world graph.

    python benchmarks/neighbors.py [--n 30000] [--repeats 3]

All sides find the 50 neighbours of every vector. Ours searches as many lists as
find 0.99 of a sample's neighbours; faiss's own inverted lists have the same centres and search as
many, all vectors at once; the small-world graph has the settings of ``build-graph --method hnsw``.
Recall is told on the same sample of all. Descriptors are made up (a mixture of clusters of 50); the
time depends on their number, not on what they show, the recall on how alike they are.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import faiss
import numpy as np
from build_graph import make_vectors
from timing import compare, print_machine, tell_goal

from rrtool.core.diffusion import knn

K = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=30_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print_machine()
    vectors = make_vectors(arguments.n, arguments.d)
    searcher = knn.Searcher(vectors, knn.KnnOptions(K, "ivf"))
    centres, n_probe = searcher._index.centres, searcher._index.n_probe
    print(f"{arguments.n} descriptors, {len(centres)} lists, of which {n_probe} are searched")
    found: dict[str, np.ndarray] = {}

    def keep(name: str, lists: Callable[[], np.ndarray]) -> Callable[[], None]:
        def run() -> None:
            found[name] = lists()

        return run

    def ours() -> np.ndarray:
        return searcher.neighbors(np.arange(len(vectors)))[1]

    def whole() -> np.ndarray:
        lists = knn.Searcher(vectors, knn.KnnOptions(K, "ivf"))
        return lists.neighbors(np.arange(len(vectors)))[1]

    quantizer = faiss.IndexFlatIP(arguments.d)
    quantizer.add(centres)
    index = faiss.IndexIVFFlat(quantizer, arguments.d, len(centres), faiss.METRIC_INNER_PRODUCT)
    index.is_trained, index.nprobe = True, n_probe
    index.add(vectors)

    def inverted() -> np.ndarray:
        return index.search(vectors, K + 1)[0][:, 1:]

    def small_world() -> np.ndarray:
        graph = faiss.IndexHNSWFlat(arguments.d, 16, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 60, 2 * K
        graph.add(vectors)
        return graph.search(vectors, K + 1)[0][:, 1:]

    sides = compare(
        {
            "rrtool, search alone": keep("ours", ours),
            "rrtool, index and search": keep("whole", whole),
            "faiss, inverted lists of the same centres, search alone": keep("inverted", inverted),
            "faiss, small-world graph, index and search": keep("small world", small_world),
        },
        arguments.repeats,
    )
    sample = np.random.default_rng(5).choice(len(vectors), 1000, replace=False)
    exact = np.sort(np.partition(-(vectors[sample] @ vectors.T), K, axis=1)[:, : K + 1], axis=1)
    for name, similarities in found.items():
        print(f"recall of {name}: {knn.recall(similarities[sample], -exact[:, 1:]):.4f}")
    search, everything, lists, graph = sides.values()
    what = f"neighbours of {arguments.n} descriptors, against faiss's"
    tell_goal(f"{what} inverted lists, the index apart", lists.over(search), least=1)
    tell_goal(f"{what} small-world graph, the index included", graph.over(everything), least=1)


if __name__ == "__main__":
    main()
