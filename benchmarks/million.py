"""A million made-up descriptors through build-graph, katz and truncated diffusion, by the stages.

Each stage runs as a process of its own; its time and the largest memory it held are printed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from build_graph import write_features
from timing import print_machine

from rrtool.artifacts.kinds import open_any


def make_vectors(n: int, d: int) -> np.ndarray:
    """Unit vectors in clusters of 20 to 100, block by block."""
    rng = np.random.default_rng(0)
    sizes = rng.integers(20, 101, n // 20)
    labels = np.repeat(np.arange(len(sizes)), sizes)[:n]
    centres = rng.normal(size=(labels[-1] + 1, d)).astype(np.float32)
    vectors = np.empty((n, d), dtype=np.float32)
    for start in range(0, n, 1 << 16):
        block = labels[start : start + (1 << 16)]
        noise = rng.normal(size=(len(block), d)).astype(np.float32)
        vectors[start : start + len(block)] = centres[block] + 0.8 * noise
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[rng.permutation(n)]


def run_stage(*arguments: object) -> None:
    """Run rrtool, and print its seconds and the peak of its resident memory."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "rrtool", *map(str, arguments)]
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds, peak = time.perf_counter() - start, usage.ru_maxrss / 2**20
    print(f"== {arguments[0]}: {seconds:.0f} s, peak {peak:.1f} GiB", flush=True)
    if status:
        raise SystemExit(f"{arguments[0]} failed")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--d", type=int, default=256)
    parser.add_argument("--queries", type=int, default=70)
    parser.add_argument("--method", default="hnsw")
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        vectors = make_vectors(arguments.n, arguments.d)
        write_features(folder / "database.h5", vectors)
        rng = np.random.default_rng(1)
        queries = vectors[rng.choice(len(vectors), arguments.queries, replace=False)]
        queries += 0.03 * rng.normal(size=queries.shape).astype(np.float32)
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        write_features(folder / "queries.h5", queries)
        del vectors
        graph = folder / "graph.h5"
        run_stage("build-graph", folder / "database.h5", "-o", graph, "--method", arguments.method)
        with open_any(graph) as made:
            print(f"recall {made.extra['recall']:.4f}", made.extra["statistics"], flush=True)
        run_stage("centrality", graph, "-o", folder / "katz.h5", "--measure", "katz")
        common = ("--graph", graph, "--queries", folder / "queries.h5")
        common += ("--database", folder / "database.h5", "--top", 1000)
        run_stage("diffuse", *common, "-o", folder / "t.h5", "--truncate", 10_000)
        run_stage("diffuse", *common, "-o", folder / "f.h5")
        print_overlap(folder / "t.h5", folder / "f.h5")


def print_overlap(first: Path, second: Path) -> None:
    """Of the first 100 of two rankings, how many are in both."""
    with open_any(first) as one, open_any(second) as other:
        heads = [ranking.ids[:, :100] for ranking in (one, other)]
    shares = [len(np.intersect1d(a, b)) / 100 for a, b in zip(*heads, strict=True)]
    print(f"overlap of the first 100, truncated and full: {np.mean(shares):.3f}")


if __name__ == "__main__":
    main()
