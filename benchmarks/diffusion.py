"""Diffusion of many queries on a large graph: ours, and SciPy's cg per query; and Katz.

The graph is one of clusters in random order, as collections are; our time includes bringing it
into the order in which it is solved only where the line says so (that is done once per graph).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg
from timing import compare, print_machine

from rrtool.core.diffusion.diffusion import Diffusion, Seeds
from rrtool.core.diffusion.graph import locality_ordering, normalize
from rrtool.core.discovery.centrality import katz


def make_graph(n: int, degree: int) -> sparse.csr_array:
    """A symmetric graph with neighbours close together in an order that is then shuffled."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n), degree // 2)
    columns = (rows + 1 + np.abs(rng.normal(0, 200, len(rows))).astype(np.int64)) % n
    shuffled = rng.permutation(n)
    entries = (rng.random(len(rows), dtype=np.float32), (shuffled[rows], shuffled[columns]))
    half = sparse.coo_array(entries, shape=(n, n)).tocsr()
    return (half + half.T).tocsr()


def make_seeds(n: int, n_queries: int) -> Seeds:
    rng = np.random.default_rng(1)
    ids = np.stack([rng.choice(n, 10, replace=False) for _ in range(n_queries)])
    return Seeds(ids.astype(np.int32), rng.random(ids.shape, dtype=np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=300_000)
    parser.add_argument("--degree", type=int, default=34)
    parser.add_argument("--queries", type=int, default=70)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print_machine()
    graph = make_graph(arguments.n, arguments.degree)
    n, n_queries = arguments.n, arguments.queries
    seeds = make_seeds(n, n_queries)
    start = time.perf_counter()
    order = locality_ordering(graph)
    print(f"{n} vertices, {graph.nnz} entries; ordering {time.perf_counter() - start:.2f} s, once")
    diffusion = Diffusion(graph, order=order)
    laplacian = (sparse.eye_array(n) - 0.99 * normalize(graph)).tocsr()
    laplacian32 = laplacian.astype(np.float32)
    g = 0.01 * seeds.dense(n)
    few = range(0, n_queries, max(1, n_queries // 5))

    def scipy_cg(matrix: sparse.csr_array) -> None:
        for query in few:
            cg(matrix, g[:, query].astype(matrix.dtype), rtol=1e-6, maxiter=20)

    timings = compare(
        {
            f"scipy cg float64, {len(few)} queries": lambda: scipy_cg(laplacian),
            f"scipy cg float32, {len(few)} queries": lambda: scipy_cg(laplacian32),
            f"rrtool, {n_queries} queries": lambda: diffusion(seeds),
        },
        arguments.repeats,
    )
    sides = list(timings.values())
    ours = sides[2].median / n_queries
    for side in sides[:2]:
        theirs = side.median / len(few)
        print(f"{side.name}: {theirs:.3f} s a query, {theirs / ours:.1f} times ours")
    print(f"rrtool: {ours:.4f} s a query")
    print_bandwidth(graph, n_queries, sides[2].median)
    single = Diffusion(graph, order=order, max_iterations=100)
    compare(
        {
            "one query to 1e-6": lambda: single(Seeds(seeds.ids[:1], seeds.weights[:1])),
            "katz to 1e-6 (orders the graph itself)": lambda: katz(graph),
        },
        arguments.repeats,
    )


def print_bandwidth(graph: sparse.csr_array, n_queries: int, seconds: float) -> None:
    """Bytes that 20 iterations must move at least, against a plain copy on this machine."""
    n, column = graph.shape[0], 4 * graph.shape[0] * n_queries
    matrix = graph.nnz * 8 + n * 8
    # An iteration: p in, Ap out; r, Ap in, r out; x, p, r in, x, p out.
    moved = 20 * (matrix + 10 * column)
    source = np.ones(50_000_000, dtype=np.float32)
    target = np.empty_like(source)
    copies = []
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, source)
        copies.append(2 * source.nbytes / (time.perf_counter() - start))
    print(
        f"at least {moved / 1e9:.1f} GB in 20 iterations: {moved / seconds / 1e9:.1f} GB/s, "
        f"a copy by one thread reaches {np.median(copies) / 1e9:.1f} GB/s "
        "(rows of p that the matrix asks for more than once are not counted)"
    )


if __name__ == "__main__":
    main()
