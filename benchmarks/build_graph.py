"""``rrtool build-graph`` as a whole against the bare faiss search that it contains."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import faiss
import numpy as np
from timing import compare, print_machine

from rrtool.artifacts import Provenance, create, encode_texts
from rrtool.progress import Silent
from rrtool.stages.diffusion import build_graph


def make_vectors(n: int, d: int) -> np.ndarray:
    """Unit vectors in clusters of about 50."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(n // 50 + 1, d)).astype(np.float32)
    vectors = centres[rng.integers(0, len(centres), n)]
    vectors += 0.7 * rng.normal(size=(n, d)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def write_features(path: Path, vectors: np.ndarray) -> None:
    names = encode_texts([f"{i}.jpg" for i in range(len(vectors))], "names")
    status = np.zeros(len(vectors), dtype=np.uint8)
    network = {"name": "none", "weights": "made", "weights_digest": "", "trained": False,
               "upsample": False}  # fmt: skip
    with create(path, Provenance("features", {}, [], network)) as target:
        boxes = np.zeros((len(vectors), 4), dtype=np.float32)
        target.publish({"descriptors": vectors, "status": status, "boxes": boxes, **names})


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
            options = build_graph.BuildGraphOptions(device="cpu")
            build_graph.run(
                str(folder / "features.h5"), folder / "graph.h5", options, progress=Silent()
            )

        def bare() -> None:
            faiss.knn(vectors, vectors, 51, metric=faiss.METRIC_INNER_PRODUCT)

        compare({"bare faiss search": bare, "build-graph": whole}, arguments.repeats)


if __name__ == "__main__":
    main()
