"""The mutual k-NN adjacency from lists: ours, the leanest loop, and SciPy's minimum."""

from __future__ import annotations

import argparse

import numpy as np
from scipy import sparse
from timing import compare, print_machine, tell_goal

from rrtool.core.diffusion.graph import build_adjacency, edge_weight


def make_lists(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Lists of neighbours in shuffled clusters, two thirds of them mutual or so."""
    rng = np.random.default_rng(0)
    offsets = np.stack([rng.permutation(3 * k // 2)[:k] + 1 for _ in range(997)])
    signs = rng.choice([-1, 1], size=(997, k))
    places = (np.arange(n)[:, None] + (offsets * signs)[np.arange(n) % 997]) % n
    shuffled = rng.permutation(n)
    ids = np.empty((n, k), dtype=np.int32)
    ids[shuffled] = shuffled[places]
    similarities = np.sort(rng.random((n, k), dtype=np.float32), axis=1)[:, ::-1].copy()
    return ids, similarities


def loop(ids: np.ndarray, similarities: np.ndarray) -> sparse.csr_array:
    """For each vertex, which neighbours have it in their lists; nothing is computed twice."""
    n = len(ids)
    weights = edge_weight(similarities, 3.0)
    columns, values, counts = [], [], np.empty(n, np.int64)
    for i, neighbors in enumerate(ids):
        which, places = np.nonzero(ids[neighbors] == i)
        own = neighbors[which]
        columns.append(own)
        values.append(np.minimum(weights[i, which], weights[own, places]))
        counts[i] = len(own)
    ends = np.concatenate([[0], np.cumsum(counts)])
    found = sparse.csr_array((np.concatenate(values), np.concatenate(columns), ends), shape=(n, n))
    found.sort_indices()
    return found


def minimum(ids: np.ndarray, similarities: np.ndarray) -> sparse.csr_array:
    """By SciPy alone: the lists as a matrix, and the smaller of it and its transpose."""
    n, k = ids.shape
    weights = edge_weight(similarities, 3.0).ravel()
    listed = sparse.csr_array((weights, ids.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))
    listed.sort_indices()
    return listed.minimum(listed.T.tocsr())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=30_000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print_machine()
    ids, similarities = make_lists(arguments.n, arguments.k)
    own = build_adjacency(ids, similarities)
    difference = max(abs(own - other(ids, similarities)).max() for other in (loop, minimum))
    print(f"n = {arguments.n}, k = {arguments.k}, largest difference {difference:g}")
    ours, by_loop, by_scipy = compare(
        {
            "rrtool": lambda: build_adjacency(ids, similarities),
            "loop over vertices": lambda: loop(ids, similarities),
            "scipy's minimum": lambda: minimum(ids, similarities),
        },
        arguments.repeats,
    ).values()
    what = f"adjacency of {arguments.n} vertices, k = {arguments.k}, against"
    tell_goal(f"{what} the leanest loop", by_loop.over(ours), least=100)
    tell_goal(f"{what} SciPy's `minimum`", by_scipy.over(ours), least=1)


if __name__ == "__main__":
    main()
