"""``rrtool build-graph`` as a whole against the bare faiss search that it contains."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import faiss
import numpy as np
from timing import compare, print_machine, tell_goal

from rrtool.artifacts import Provenance, create
from rrtool.artifacts.kinds import Features
from rrtool.progress import Silent
from rrtool.stages.diffusion import build_graph
from rrtool.stages.diffusion.options import BuildGraphOptions


def make_vectors(n: int, d: int) -> np.ndarray:
    """Unit vectors in clusters of about 50."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n // 50 + 1, d)).astype(np.float32)
    vectors = centres[rng.integers(0, len(centres), n)]
    vectors += 0.7 * rng.normal(size=(n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_features(path: Path, vectors: np.ndarray) -> None:
    n = len(vectors)
    network = {"name": "none", "weights": "made", "weights_digest": "", "trained": False,
               "upsample": False}  # fmt: skip
    with create(path, Provenance("features", {}, [], network)) as target:
        target.publish(
            Features.columns(
                names=[f"{i}.jpg" for i in range(n)],
                reasons=[""] * n,
                status=np.zeros(n, dtype=np.uint8),
                image_sizes=np.zeros((n, 2), dtype=np.int32),
                boxes=np.zeros((n, 4), dtype=np.float32),
                file_signatures=np.zeros((n, 2), dtype=np.int64),
                descriptors=vectors,
            )
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--d", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print_machine()
    vectors = make_vectors(arguments.n, arguments.d)
    print(f"{arguments.n} descriptors of {arguments.d} dimensions, k = 50")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_features(folder / "features.h5", vectors)

        def whole() -> None:
            (folder / "graph.h5").unlink(missing_ok=True)
            options = BuildGraphOptions(
                features=folder / "features.h5", output=folder / "graph.h5", device="cpu"
            )
            build_graph.run(options, Silent())

        def bare() -> None:
            faiss.knn(vectors, vectors, 51, metric=faiss.METRIC_INNER_PRODUCT)

        sides = compare({"bare faiss search": bare, "build-graph": whole}, arguments.repeats)
    bare_search, whole_stage = sides.values()
    what = f"build-graph, {arguments.n} descriptors, against the bare faiss search"
    tell_goal(what, whole_stage.over(bare_search), most=1.1)


if __name__ == "__main__":
    main()
