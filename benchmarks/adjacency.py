"""The mutual k-NN adjacency from lists of neighbours: ours, and a loop over the vertices."""

from __future__ import annotations

import argparse

import numpy as np
from scipy import sparse
from timing import compare, print_machine

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
    """As it is often written: for each vertex, which neighbours have it in their lists."""
    n = len(ids)
    weights = edge_weight(similarities, 3.0)
    rows, columns, values = [], [], []
    for i in range(n):
        listed = ids[ids[i]] == i
        mutual = np.isin(ids[i], ids[i][listed.any(axis=1)])
        rows.append(np.full(mutual.sum(), i))
        columns.append(ids[i][mutual])
        back = weights[ids[i]][listed]
        values.append(np.minimum(weights[i][mutual], back))
    entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.coo_array(entries, shape=(n, n)).tocsr()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=30_000)
    parser.add_argument("--k", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print_machine()
    ids, similarities = make_lists(arguments.n, arguments.k)
    difference = abs(build_adjacency(ids, similarities) - loop(ids, similarities)).max()
    print(f"n = {arguments.n}, k = {arguments.k}, largest difference {difference:g}")
    compare(
        {
            "loop over vertices": lambda: loop(ids, similarities),
            "rrtool": lambda: build_adjacency(ids, similarities),
        },
        arguments.repeats,
    )


if __name__ == "__main__":
    main()
