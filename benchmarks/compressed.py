"""Would search be quicker by half-precision or product-quantised descriptors? Recall and time.

The nearest by compressed descriptors are scored again by the float32 ones; the recall is that of
the exact ranking's first 10, 100 and 1000. Descriptors are held in memory, so that what a file
costs is not in the times; those of the processor count on a busy machine.

Run: ``python benchmarks/compressed.py --n 100000`` on STAND-IN data (``million.py``), or
``python benchmarks/compressed.py FEATURES.h5 …`` with photos' features, all queries of themselves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import faiss
import numpy as np
from million import make_vectors
from timing import print_machine

from rrtool.artifacts import Features, open_artifact

BLOCK, CENTROIDS, N_TRAINED = 1 << 15, 256, 20_000
DEPTHS = (10, 100, 1000)


def timed(name: str, work: Callable[[], np.ndarray]) -> np.ndarray:
    """Call twice; the seconds of the processor of the second are printed."""
    work()
    start = time.process_time()
    found = work()
    print(f"  {name}: {time.process_time() - start:.3f} s of the processor", flush=True)
    return found


def products(queries: np.ndarray, database: np.ndarray) -> np.ndarray:
    """``(q, n)`` similarities, block by block as ``search`` computes them."""
    blocks = (database[start : start + BLOCK] for start in range(0, len(database), BLOCK))
    return np.concatenate([queries @ each.astype(np.float32, copy=False).T for each in blocks], 1)


def print_recall(found: np.ndarray, exact: np.ndarray) -> None:
    shares = [
        f"@{k} {np.mean([len(np.intersect1d(a, b)) / k for a, b in pairs]):.4f}"
        for k in DEPTHS
        if k <= exact.shape[1]
        for pairs in [zip(found[:, :k], exact[:, :k], strict=True)]
    ]
    print("    recall " + ", ".join(shares), flush=True)


def rescored(ids: np.ndarray, queries: np.ndarray, database: np.ndarray) -> np.ndarray:
    """Each list in the order of the exact similarities."""
    orders = [
        row[np.argsort(-(database[row] @ query), kind="stable")]
        for row, query in zip(ids, queries, strict=True)
    ]
    return np.stack(orders)


def measure(database: np.ndarray, queries: np.ndarray, sizes: tuple[int, ...]) -> None:
    """Args: sizes: how many of the nearest by compressed descriptors are scored again."""
    exact = np.argsort(-products(queries, database), axis=1, kind="stable")[:, : max(DEPTHS)]
    timed(f"float32, {len(queries)} queries", lambda: products(queries, database))
    timed("float32, 1 query", lambda: products(queries[:1], database))
    half = database.astype(np.float16)
    found = timed(f"half, {len(queries)} queries", lambda: products(queries, half))
    timed("half, 1 query", lambda: products(queries[:1], half))
    print_recall(np.argsort(-found, axis=1, kind="stable")[:, : max(DEPTHS)], exact)
    if len(database) < CENTROIDS or database.shape[1] % 64:
        return
    index = faiss.IndexPQ(database.shape[1], 64, 8, faiss.METRIC_INNER_PRODUCT)
    chosen = np.random.default_rng(2).permutation(len(database))[:N_TRAINED]
    start = time.process_time()
    index.train(database[np.sort(chosen)])
    index.add(database)
    print(f"  64 bytes each: made in {time.process_time() - start:.1f} s of the processor")
    timed("64 bytes, 1 query", lambda: index.search(queries[:1], min(sizes))[1])
    for size in sizes:
        ids = timed(
            f"64 bytes, {len(queries)} queries, {size} scored again",
            lambda size=size: rescored(index.search(queries, size)[1], queries, database),
        )
        print_recall(ids, exact[:, : min(size, exact.shape[1])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", nargs="*", help="Features of photos.")
    parser.add_argument("--n", type=int, default=100_000)
    arguments = parser.parse_args()
    print_machine()
    for path in arguments.features:
        with open_artifact(path, Features) as features:
            vectors = features.descriptors[features.status == 0].astype(np.float32)
        print(f"{path}: {len(vectors)} photos, {vectors.shape[1]} dimensions")
        measure(vectors, vectors, (min(100, len(vectors)),))
    if not arguments.features:
        print(f"STAND-IN data, no photos: {arguments.n} made-up descriptors, 512 dimensions")
        vectors, rng = make_vectors(arguments.n, 512), np.random.default_rng(1)
        queries = vectors[rng.choice(arguments.n, 70, replace=False)]
        queries += 0.03 * rng.normal(size=queries.shape).astype(np.float32)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        measure(vectors, queries, (1000, 2000, 4000))


if __name__ == "__main__":
    main()
