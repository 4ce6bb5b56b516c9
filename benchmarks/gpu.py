"""Everything that a GPU is for, in one command of at most 8 minutes: tests, then one table.

python benchmarks/gpu.py [--device cuda] [--skip-tests]

The tests of torch's forms of spatial matching, conjugate gradients and nearest neighbours run on
the GPU. Then the same work is timed on the CPU and on the GPU, and what they give is compared.
Without a GPU it says so and ends with exit code 5; with code 1 if tests fail or results differ.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT)]

import numpy as np
import torch
from build_graph import make_vectors
from diffusion import make_graph
from extract import random_photos
from fsm import make_features, plant_query
from timing import print_machine
from training import N_CLASSES, Fixed, random_dataset

from rrtool.artifacts import Features, open_artifact
from rrtool.core.diffusion.conjugate_gradients import solve
from rrtool.core.diffusion.graph import normalize
from rrtool.core.diffusion.knn import KnnOptions, Searcher
from rrtool.core.matching import spatial_matching, spatial_matching_torch
from rrtool.progress import Silent
from rrtool.stages.extraction import extract as extract_stage
from rrtool.stages.extraction.options import OnePassOptions
from rrtool.training.learner import Learner
from rrtool.training.options import TrainingOptions

EXIT_NO_GPU = 5
LIMIT_S = 480.0  # of all together; tests get a half of it
TESTS = (
    "tests/core/matching/test_spatial_matching.py",
    "tests/core/diffusion/test_conjugate_gradients.py",
    "tests/core/diffusion/test_knn.py",
)
Call = Callable[[str], Any]  # from a device to what is computed on it


@dataclass(frozen=True)
class Sizes:
    """How much of each work is done."""

    network: str = "resnet50"
    photos: int = 32
    photo_size: int = 1024
    matched_images: int = 100
    local_features: int = 512
    vertices: int = 300_000
    queries: int = 70
    vectors: int = 50_000
    dimension: int = 512
    training_images: int = 2000


@dataclass(frozen=True)
class Row:
    """A row of the table: medians in seconds, and whether both devices gave the same."""

    work: str
    cpu_s: float
    device_s: float
    agreement: str
    agrees: bool


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--skip-tests", action="store_true")
    arguments = parser.parse_args()
    if arguments.device != "cpu" and not torch.cuda.is_available():
        print("there is no GPU here that torch can use: nothing was run", file=sys.stderr)
        return EXIT_NO_GPU
    start = time.monotonic()
    print_machine()
    if arguments.device != "cpu":
        print(f"GPU: {torch.cuda.get_device_name(arguments.device)}, CUDA {torch.version.cuda}")
    tests_pass = arguments.skip_tests or run_tests(arguments.device)
    rows = measure(arguments.device, Sizes(), deadline=start + LIMIT_S)
    print(table(rows, arguments.device))
    return 0 if tests_pass and all(row.agrees for row in rows) else 1


def run_tests(device: str) -> bool:
    """Whether the tests of torch's forms pass on the device."""
    environment = {**os.environ, "RRTOOL_TEST_DEVICE": device}
    command = [sys.executable, "-m", "pytest", "-q", "-k", "torch", *TESTS]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, check=False, timeout=LIMIT_S / 2)
    except subprocess.TimeoutExpired:
        print(f"the tests on {device} were stopped after {LIMIT_S / 2:g} seconds")
        return False
    return done.returncode == 0


def measure(device: str, sizes: Sizes, deadline: float, repeats: int = 3) -> list[Row]:
    """The rows of the table; what there is no time left for is said to be left out."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for work, make in WORKS.items():
            if time.monotonic() > deadline - LIMIT_S / 8:
                rows.append(Row(work, np.nan, np.nan, "left out: no time", False))
                continue
            call, compare = make(sizes, Path(folder))
            on_cpu, cpu_s = _timed(call, "cpu", repeats)
            on_device, device_s = _timed(call, device, repeats)
            rows.append(Row(work, cpu_s, device_s, *compare(on_cpu, on_device)))
    return rows


def _timed(call: Call, device: str, repeats: int) -> tuple[Any, float]:
    """What a call gives, and the median of its seconds after a first one that does not count."""
    result, seconds = call(device), []
    for _ in range(repeats):
        start = time.perf_counter()
        result = call(device)
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return result, float(np.median(seconds))


Compare = Callable[[Any, Any], tuple[str, bool]]


def _extract(sizes: Sizes, folder: Path) -> tuple[Call, Compare]:
    photos = random_photos(folder, sizes.photos, sizes.photo_size)

    def call(device: str) -> np.ndarray:
        output = folder / "features.h5"
        output.unlink(missing_ok=True)
        options = OnePassOptions(
            images=photos, output=str(output), network=sizes.network, weights="none", device=device,
            max_size=sizes.photo_size, engine="torch",
        )  # fmt: skip
        extract_stage.run(options, Silent())
        with open_artifact(output, Features) as features:
            return features.descriptors[:]

    def compare(first: np.ndarray, second: np.ndarray) -> tuple[str, bool]:
        cosine = (first * second).sum(axis=1).min()
        return f"cosine at least {cosine:.6f}", cosine >= 0.9999

    return call, compare


def _spatial_matching(sizes: Sizes, folder: Path) -> tuple[Call, Compare]:
    generator = np.random.default_rng(0)
    database = make_features(sizes.matched_images, sizes.local_features, 512, generator)
    query, ids = plant_query(database, generator), np.arange(sizes.matched_images)
    options = spatial_matching.MatchingOptions()

    def call(device: str) -> spatial_matching.Matches:
        if device == "cpu":
            return spatial_matching.match(query, 0, database, ids, options)
        return spatial_matching_torch.match(query, 0, database, ids, options, device=device)

    def compare(
        first: spatial_matching.Matches, second: spatial_matching.Matches
    ) -> tuple[str, bool]:
        same = np.array_equal(first.inliers, second.inliers)
        return "the same inliers" if same else "other inliers", same

    return call, compare


def _conjugate_gradients(sizes: Sizes, folder: Path) -> tuple[Call, Compare]:
    matrix = normalize(make_graph(sizes.vertices, 34))
    generator = np.random.default_rng(1)
    b = np.zeros((sizes.vertices, sizes.queries))
    for column in range(sizes.queries):
        b[generator.choice(sizes.vertices, 10, replace=False), column] = generator.random(10)

    def call(device: str) -> np.ndarray:
        return solve(matrix, b, 0.99, device=device).x

    return call, _largest_difference


def _largest_difference(first: np.ndarray, second: np.ndarray) -> tuple[str, bool]:
    difference = float(np.abs(first - second).max() / max(np.abs(first).max(), 1e-30))
    return f"differ by {difference:.1e} of the largest", difference < 1e-4


def _nearest_neighbours(sizes: Sizes, folder: Path) -> tuple[Call, Compare]:
    vectors = make_vectors(sizes.vectors, sizes.dimension)
    rows = np.arange(min(len(vectors), 10_000))

    def call(device: str) -> np.ndarray:
        return Searcher(vectors, KnnOptions(k=20, device=device)).neighbors(rows)[1]

    return call, _largest_difference


def _training(sizes: Sizes, folder: Path) -> tuple[Call, Compare]:
    dataset = random_dataset(sizes.training_images, 28, 1)
    ids, labels = np.arange(20), dataset.labels[:20]
    guesses = Fixed(dataset.labels, np.ones(sizes.training_images))

    def call(device: str) -> np.ndarray:
        options = TrainingOptions(
            epochs=1, semi_epochs=1, batch_size=10, semi_batch_size=64, semi_labeled=10,
            width=0.5, device=device, flip=False,
        )  # fmt: skip
        learner = Learner(dataset, N_CLASSES, options, 0)
        learner.fit_semi_supervised(ids, labels, lambda features: guesses)
        return learner.predict().probabilities

    def compare(first: np.ndarray, second: np.ndarray) -> tuple[str, bool]:
        # Dropout draws other numbers on a GPU: both must only have learnt something finite.
        fine = bool(np.isfinite(first).all() and np.isfinite(second).all())
        return "finite probabilities" if fine else "NaN", fine

    return call, compare


WORKS: Mapping[str, Callable[[Sizes, Path], tuple[Call, Compare]]] = {
    "extract, three scales": _extract,
    "spatial matching": _spatial_matching,
    "conjugate gradients": _conjugate_gradients,
    "nearest neighbours": _nearest_neighbours,
    "training, one epoch": _training,
}


def table(rows: list[Row], device: str) -> str:
    """In Markdown, for docs/benchmarks.md."""
    lines = [f"| work | CPU, s | {device}, s | ratio | results |", "|---|---|---|---|---|"]
    for row in rows:
        ratio = row.cpu_s / row.device_s
        verdict = row.agreement if row.agrees else f"{row.agreement}: NOT THE SAME"
        lines.append(
            f"| {row.work} | {row.cpu_s:.3f} | {row.device_s:.3f} | {ratio:.1f} | {verdict} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
