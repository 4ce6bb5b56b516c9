"""Diffusion of many queries on a large graph: ours, and SciPy's by query and by block; and Katz.

The graph is one of clusters in random order, as collections are; our time includes bringing it
into the order in which it is solved only where the line says so (that is done once per graph).
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import cg
from timing import Timing, compare, copy_bandwidth, print_machine, tell_goal

from rrtool.core.diffusion.diffusion import Diffusion, Seeds
from rrtool.core.diffusion.graph import locality_ordering, normalize, permute
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


def block_cg(matrix: sparse.csr_array, b: np.ndarray, n_iterations: int) -> np.ndarray:
    """Conjugate gradients of all queries at once, in the precision and order that it is given."""
    x, r, p = np.zeros_like(b), b.copy(), b.copy()
    rr = np.einsum("ij,ij->j", r, r)
    for _ in range(n_iterations):
        product = matrix @ p
        step = rr / np.einsum("ij,ij->j", p, product)
        x += step * p
        r -= step * product
        before, rr = rr, np.einsum("ij,ij->j", r, r)
        p *= rr / before
        p += r
    return x


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
    ordered = permute(laplacian32, order)
    g = 0.01 * seeds.dense(np.arange(n))
    g32 = np.ascontiguousarray(g[order], np.float32)
    few = range(0, n_queries, max(1, n_queries // 5))

    def scipy_cg(matrix: sparse.csr_array) -> None:
        for query in few:
            cg(matrix, g[:, query].astype(matrix.dtype), rtol=1e-6, maxiter=20)

    timings = compare(
        {
            f"scipy cg float64, {len(few)} queries": lambda: scipy_cg(laplacian),
            f"scipy cg float32, {len(few)} queries": lambda: scipy_cg(laplacian32),
            f"rrtool, {n_queries} queries": lambda: diffusion(seeds),
            "scipy block cg in our order, float32": lambda: block_cg(ordered, g32, 20),
        },
        arguments.repeats,
    )
    sides = list(timings.values())
    ours = sides[2].median / n_queries
    for side in sides[:2]:
        theirs = side.median / len(few)
        print(f"{side.name}: {theirs:.3f} s a query, {theirs / ours:.1f} times ours")
    print(f"rrtool: {ours:.4f} s a query")
    block = block_cg(ordered, g32, 20)
    difference = np.abs(diffusion(seeds).x[order] - block).max() / np.abs(block).max()
    print(f"largest difference from the block, of its largest value: {difference:.1e}")
    what = f"diffusion, {n_queries} queries, {n} vertices, against"
    tell_goal(f"{what} a block of SciPy's in our order", sides[3].over(sides[2]), least=1)
    ratios = tell_bandwidth(graph, n_queries, sides[2])
    tell_goal(f"{what} two threads' bandwidth", ratios, most=2.5)
    single = Diffusion(graph, order=order, max_iterations=100)
    compare(
        {
            "one query to 1e-6": lambda: single(Seeds(seeds.ids[:1], seeds.weights[:1])),
            "katz to 1e-6 (orders the graph itself)": lambda: katz(graph),
        },
        arguments.repeats,
    )


def tell_bandwidth(graph: sparse.csr_array, n_queries: int, ours: Timing) -> np.ndarray:
    """How many times as long as a copy by two threads of what 20 iterations must move at least."""
    n, column = graph.shape[0], 4 * graph.shape[0] * n_queries
    matrix = graph.nnz * 8 + n * 8
    # An iteration: p in, Ap out; r, Ap in, r out; x, p, r in, x, p out.
    moved = 20 * (matrix + 10 * column)
    bound = moved / copy_bandwidth(2)
    print(
        f"at least {moved / 1e9:.1f} GB in 20 iterations: {moved / ours.median / 1e9:.1f} GB/s; "
        f"a copy by two threads would take {bound:.2f} s "
        "(rows of p that the matrix asks for more than once are not counted)"
    )
    return np.divide(ours.seconds, bound)


if __name__ == "__main__":
    main()
